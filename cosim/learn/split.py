"""Which layers are shared and which are personal, and where their parameters lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, final

import numpy as np
from pydantic import Field

from cosim.component import Component, quantity
from cosim.interfaces import FloatArray
from cosim.learn.chain import Chain, Network, with_adapters
from cosim.learn.layers import Described, Vector, parameter_count
from cosim.rng import Streams

Count = Annotated[int, Field(ge=0, le=1000)]
Pattern = Annotated[str, Field(min_length=1)]
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1, strict=False)]


@final
class Split(Component):
    """The model's parameters (u, v_k): which layers are personal and never leave the device; all others are the shared global part.

    Patterns are those of file names, matched against the names of layers: ``fc2``, ``["stage3.*", "fc"]``. One that begins with
    ``!`` takes layers out again: ``["*", "!conv1"]`` is all but the first. ``copy``: every device has a whole model of its own beside
    the global one.
    """

    personal_layers: Count | Pattern | Patterns = quantity(
        1,
        "",
        "personal layers: number of last layers, or a pattern of names, or several; copy: a whole model of its own; 0: none",
    )
    personal_first_layers: int = quantity(0, "", "number of first layers that are personal too", ge=0, le=1000)
    adapters: int = quantity(0, "", "width of personal adapters added after each layer but the last; 0: none", ge=0, le=65_536)

    def network(self, network: Network) -> Network:
        """The network with its adapters. Raises ValueError where it cannot have any."""
        if not self.adapters:
            return network
        if not isinstance(network, Chain):
            raise ValueError(  # noqa: TRY004 - the scenario is wrong, not a type in the code
                f"split.adapters = {self.adapters}: only models made of cosim's own layers can have adapters; allowed: 0"
            )
        return with_adapters(network, self.adapters)

    def personal(self, names: Sequence[str], adapter: Sequence[bool]) -> tuple[bool, ...]:
        """Which of these layers are personal; adapters are, and do not count. Raises ValueError where a pattern matches nothing."""
        if self.personal_layers == "copy":
            if self.adapters or self.personal_first_layers:
                raise ValueError("split.personal_layers = copy: nothing else can be personal; set adapters and personal_first_layers to 0")
            return (True,) * len(names)
        own = [name for name, added in zip(names, adapter, strict=True) if not added]
        chosen = set(own[: self.personal_first_layers])
        if isinstance(self.personal_layers, int):
            chosen |= set(own[max(len(own) - self.personal_layers, 0) :])
        else:
            chosen |= _matching(own, (self.personal_layers,) if isinstance(self.personal_layers, str) else self.personal_layers)
        if len(chosen) >= len(own):
            last = f"allowed: 0 to {len(own) - 1}" if isinstance(self.personal_layers, int) else f"layers: {', '.join(own)}"
            raise ValueError(
                f"split.personal_layers = {self.personal_layers}: the model has {len(own)} layers and at least one must stay shared; {last}"
            )
        return tuple(added or name in chosen for name, added in zip(names, adapter, strict=True))


def _matching(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    chosen: set[str] = set()
    for pattern in patterns:
        found = {name for name in names if fnmatchcase(name, pattern.removeprefix("!"))}
        if not found:
            raise ValueError(f"split.personal_layers: no layer is named {pattern.removeprefix('!')!r}; layers: {', '.join(names)}")
        chosen = chosen - found if pattern.startswith("!") else chosen | found
    return chosen


@final
@dataclass(frozen=True, slots=True)
class Parts:
    """A network cut in a shared part (the global part u) and a personal part (v).

    ``is_personal``: of each layer. ``copy``: v is a whole network of its own beside the whole of u. The vectors u and v hold all weights
    of their layers, then all their other values: u is [N prunable weights, M biases, scales and shifts]. These M are never pruned.
    """

    network: Network
    is_personal: tuple[bool, ...]
    copy: bool = False

    @classmethod
    def of(cls, network: Network, split: Split) -> Parts:
        """Cut a network. Raises ValueError unless at least one layer stays shared."""
        network = split.network(network)
        adapter = [isinstance(network, Chain) and network.layers[i].adapter for i in range(len(network.layers))]
        personal = split.personal([layer.name for layer in network.layers], adapter)
        parts = cls(network, personal, copy=split.personal_layers == "copy")
        if not parts.prunable:
            raise ValueError("split: the shared layers have no weights; at least one layer with weights must stay shared")
        return parts

    @property
    def shared(self) -> tuple[Described, ...]:
        """Layers of u."""
        return tuple(layer for layer, own in zip(self.network.layers, self.is_personal, strict=True) if self.copy or not own)

    @property
    def personal(self) -> tuple[Described, ...]:
        """Layers of v."""
        return tuple(layer for layer, own in zip(self.network.layers, self.is_personal, strict=True) if own)

    @property
    def prunable_layers(self) -> tuple[Described, ...]:
        """Shared layers with weights."""
        return tuple(layer for layer in self.shared if layer.weights)

    @property
    def prunable_sizes(self) -> tuple[int, ...]:
        """Prunable weights of each of ``prunable_layers``; N is their sum."""
        return tuple(layer.weights for layer in self.prunable_layers)

    @property
    def prunable(self) -> int:
        """N, the number of prunable parameters."""
        return sum(self.prunable_sizes)

    @property
    def unprunable(self) -> int:
        """M, the number of shared parameters that are never pruned."""
        return sum(layer.values for layer in self.shared)

    @property
    def personal_parameters(self) -> int:
        """Number of parameters in v."""
        return parameter_count(self.personal)

    @property
    def shared_flops(self) -> FloatArray:
        """Forward work per sample of each of ``prunable_layers`` [FLOP]."""
        return np.array([layer.forward_flops for layer in self.prunable_layers], np.float64)

    @property
    def personal_flops(self) -> float:
        """Forward work per sample of the personal part [FLOP]."""
        return float(sum(layer.forward_flops for layer in self.personal))

    @property
    def prefix(self) -> int:
        """Number of leading layers whose output is the same on every device that has the same u."""
        first = self.is_personal.index(True) if any(self.is_personal) else len(self.is_personal)
        return self.network.prefix(first)

    def initial(self, streams: Streams) -> tuple[Vector, Vector]:
        """(u, v) before any training, v the same on every device."""
        tensors, own = self.network.initial(streams), self._tensors_personal()
        shared = [tensor.ravel() for tensor, mine in zip(tensors, own, strict=True) if self.copy or not mine]
        personal = [tensor.ravel() for tensor, mine in zip(tensors, own, strict=True) if mine]
        return np.concatenate(shared), np.concatenate(personal) if personal else np.empty(0, np.float32)

    def joined(self, shared: Sequence[Any], personal: Sequence[Any]) -> list[Any]:
        """The network's tensors from the views of u and v: what the device uses, with a copy of its own that."""
        if self.copy:
            return list(personal)
        one, other = iter(shared), iter(personal)
        return [next(other if mine else one) for mine in self._tensors_personal()]

    def _tensors_personal(self) -> list[bool]:
        return [*self._weights_personal(), *self._values_personal()]

    def _weights_personal(self) -> Iterator[bool]:
        yield from (own for layer, own in zip(self.network.layers, self.is_personal, strict=True) if layer.weights)

    def _values_personal(self) -> Iterator[bool]:
        yield from (own for layer, own in zip(self.network.layers, self.is_personal, strict=True) for _ in layer.value_shapes)
