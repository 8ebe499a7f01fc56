"""Which layers are shared and which are personal, and where their parameters lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from cosim.component import Component, quantity
from cosim.interfaces import FloatArray
from cosim.learn.layers import Layer, Vector, initial, parameter_count
from cosim.rng import Streams


@final
class Split(Component):
    """The model's parameters (u, v_k): the last layers are personal, all before them are the shared global part."""

    personal_layers: int = quantity(1, "", "number of last layers that are personal and never leave the device; 0: none", ge=0, le=1000)


@final
@dataclass(frozen=True, slots=True)
class Parts:
    """A model cut in two chains: ``shared`` (the global part u) and ``personal`` (v).

    The vector u is [N prunable weights, M biases]: biases are shared, but never pruned.
    """

    shared: tuple[Layer, ...]
    personal: tuple[Layer, ...]

    @classmethod
    def of(cls, layers: tuple[Layer, ...], split: Split) -> Parts:
        """Cut a chain. Raises ValueError unless at least one layer stays shared."""
        count = len(layers) - split.personal_layers
        if count < 1:
            raise ValueError(
                f"split.personal_layers = {split.personal_layers}: the model has {len(layers)} layers and at least one"
                f" must stay shared; allowed: 0 to {len(layers) - 1}"
            )
        return cls(layers[:count], layers[count:])

    @property
    def prunable_sizes(self) -> tuple[int, ...]:
        """Prunable weights of each shared layer; N is their sum."""
        return tuple(layer.weights for layer in self.shared)

    @property
    def prunable(self) -> int:
        """N, the number of prunable parameters."""
        return sum(self.prunable_sizes)

    @property
    def unprunable(self) -> int:
        """M, the number of shared parameters that are never pruned."""
        return sum(layer.biases for layer in self.shared)

    @property
    def personal_parameters(self) -> int:
        """Number of parameters in v."""
        return parameter_count(self.personal)

    @property
    def shared_flops(self) -> FloatArray:
        """Forward work per sample of each shared layer [FLOP]."""
        return np.array([layer.forward_flops for layer in self.shared], np.float64)

    @property
    def personal_flops(self) -> float:
        """Forward work per sample of the personal part [FLOP]."""
        return float(sum(layer.forward_flops for layer in self.personal))

    def initial(self, streams: Streams) -> tuple[Vector, Vector]:
        """(u, v) before any training, v the same on every device."""
        return initial(self.shared, streams), initial(self.personal, streams, first=len(self.shared))
