"""Networks from any torch module of the user's: its parameters as data, its forward pass as a function of them."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from cosim.errors import ScenarioError, SimulationError
from cosim.learn.layers import Shape, Vector, tensor_names, tensor_shapes
from cosim.rng import Streams


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleLayer:
    """One weight of a module (or none) and the values that belong to it; ``tensors``: the names of them all."""

    name: str
    weight_shape: Shape
    value_shapes: tuple[Shape, ...]
    forward_flops: float
    tensors: tuple[str, ...]

    @property
    def weights(self) -> int:
        """Number of prunable weights."""
        return math.prod(self.weight_shape) if self.weight_shape else 0

    @property
    def values(self) -> int:
        """Number of parameters that are never pruned."""
        return sum(math.prod(shape) for shape in self.value_shapes)


class _Own(threading.local):
    """Each thread's copy of a module: a functional call exchanges its parameters for the time being."""

    def __init__(self, module: nn.Module) -> None:
        self.module = copy.deepcopy(module)


@final
class ModuleNetwork:
    """A torch module as a network.

    A parameter with two or more dimensions is a weight and can be pruned; all others are values. A layer is a submodule
    that owns parameters, and has its name; one that owns several weights counts as several layers, each with its parameter's
    name. Layers work in the order in which the module lists them. Work is counted by torch's flop counter on one sample; what
    happens in a submodule without weights is shared out in proportion to the weights' sizes.
    """

    def __init__(self, make: Callable[[], nn.Module], input_shape: Shape, classes: int) -> None:
        """``make()`` gives the module. Raises ScenarioError where it cannot be used."""
        self._make = make
        self._module = _made(make, seed=0)
        self._own = _Own(self._module)
        flops = _measured(self._module, input_shape, classes)
        self.layers = tuple(_layers(self._module, flops))
        if not any(layer.weights for layer in self.layers):
            raise ScenarioError("the model has no parameter with two or more dimensions, so nothing of it could be pruned")
        self._names = tensor_names(self.layers)

    def initial(self, streams: Streams) -> list[Vector]:
        """The parameters of a new module, made with torch's generator seeded from stream ("init", 0)."""
        parameters = dict(_made(self._make, seed=streams.integer("init", 0)).named_parameters())
        tensors = [parameters[name].detach().numpy().astype(np.float32) for name in self._names]
        if [tensor.shape for tensor in tensors] != tensor_shapes(self.layers):
            raise ScenarioError("the model's factory gives parameters of other shapes when it is called again")
        return tensors

    def forward(self, tensors: Sequence[Tensor], x: Tensor, *, start: int = 0, stop: int | None = None) -> Tensor:
        """Output for x, or x itself where ``start`` is the end. Raises SimulationError where the module raises."""
        assert start in {0, len(self.layers)}
        assert stop in {None, 0, len(self.layers)}
        if start == len(self.layers) or stop == 0:
            return x
        try:
            module, buffers = self._own.module, dict[str, Tensor]()
            if x.device.type != "cpu":
                buffers = {name: buffer.to(x.device) for name, buffer in module.named_buffers()}
            output: Tensor = functional_call(module, {**buffers, **dict(zip(self._names, tensors, strict=True))}, (x,))
        except Exception as error:
            raise SimulationError(f"the user's model raised {type(error).__name__}: {error}") from error
        return output

    def prefix(self, layers: int) -> int:
        """All layers or none: where a module can be cut is not known."""
        return layers if layers == len(self.layers) else 0


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's generator with a seed; as it was before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _made(make: Callable[[], nn.Module], *, seed: int) -> nn.Module:
    with _seeded(seed), torch.device("cpu"):
        try:
            module = make()
        except Exception as error:
            raise ScenarioError(f"the model's factory raised {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise ScenarioError(f"the model's factory gave a {type(module).__name__}; it must give a torch.nn.Module")
    return module.float().train()


def _measured(module: nn.Module, input_shape: Shape, classes: int) -> dict[str, float]:
    """Work of each submodule, its children's included, by name [FLOP per sample]; refuses what cannot be trained as a function."""
    x = torch.linspace(-1.0, 1.0, 2 * math.prod(input_shape), dtype=torch.float32, device="cpu").reshape(2, *input_shape)
    trial = copy.deepcopy(module)
    buffers = {name: buffer.clone() for name, buffer in trial.named_buffers()}
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter, _seeded(1):
            output = trial(x)
        with torch.no_grad(), _seeded(2):
            again = copy.deepcopy(module)(x)
    except Exception as error:
        raise ScenarioError(f"the model raised {type(error).__name__} for an input of shape {tuple(x.shape)}: {error}") from error
    if not isinstance(output, Tensor) or output.shape != (2, classes):
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ScenarioError(
            f"the model's output for an input of shape {tuple(x.shape)} is {found}, must be (2, {classes}): a value per class"
        )
    changed = [name for name, buffer in trial.named_buffers() if not torch.equal(buffer, buffers[name])]
    if changed:
        raise ScenarioError(
            f"the model's buffer {changed[0]} changes in training, as running averages of batch normalisation do: they would be neither"
            " shared nor personal; use torch.nn.GroupNorm instead"
        )
    if not torch.equal(output, again):
        raise ScenarioError(
            "the model draws random numbers (dropout?): results would depend on the number of training threads; leave it out"
        )
    totals = {str(name): sum(counts.values()) / 2 for name, counts in counter.get_flop_counts().items()}
    return {name: totals.get(f"{type(module).__name__}.{name}" if name else "Global", 0.0) for name, _ in module.named_modules()}


def _layers(module: nn.Module, flops: dict[str, float]) -> Iterator[ModuleLayer]:
    """The layers in the module's own order."""
    owners = {name: list(part.named_parameters(name, recurse=False)) for name, part in module.named_modules()}
    seen: set[int] = set()
    groups: list[tuple[str, list[tuple[str, nn.Parameter]], list[tuple[str, nn.Parameter]]]] = []
    for name, parameters in owners.items():
        new = [(full, p) for full, p in parameters if id(p) not in seen]  # a parameter used twice belongs to its first owner
        seen |= {id(p) for _, p in new}
        weights, values = ([(full, p) for full, p in new if (p.ndim > 1) == prunable] for prunable in (True, False))
        if weights or values:
            groups.append((name, weights, values))
    sizes = {full: p.numel() for _, weights, _ in groups for full, p in weights}
    own = {name: max(flops[name] - sum(flops[other] for other in _children(module, name)), 0.0) for name in owners}
    rest = flops[""] - sum(own[name] for name, weights, _ in groups if weights)
    for name, weights, values in groups:
        shapes, names = tuple(tuple(p.shape) for _, p in values), tuple(full for full, _ in values)
        if not weights:
            yield ModuleLayer(name=name or "model", weight_shape=(), value_shapes=shapes, forward_flops=0.0, tensors=names)
        total = sum(sizes[full] for full, _ in weights)
        for i, (full, p) in enumerate(weights):
            yield ModuleLayer(
                name=(name or "model") if len(weights) == 1 else full,
                weight_shape=tuple(p.shape),
                value_shapes=() if i else shapes,
                forward_flops=own[name] * sizes[full] / total + rest * sizes[full] / sum(sizes.values()),
                tensors=(full,) if i else (full, *names),
            )


def _children(module: nn.Module, name: str) -> list[str]:
    """Full names of the direct children of a submodule."""
    return [f"{name}.{child}" if name else child for child, _ in module.get_submodule(name).named_children()]
