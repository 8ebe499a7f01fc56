"""A network as a chain of layers, each of which may also add the output of an earlier one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, final

import numpy as np

from cosim.learn.layers import Described, Layer, Vector, convolution, dense
from cosim.rng import Streams

if TYPE_CHECKING:
    from torch import Tensor


class Network(Protocol):
    """What a model kind means for samples of a given shape; its tensors come in the order of ``layers.tensor_shapes``."""

    @property
    def layers(self) -> Sequence[Described]:
        """In the order in which they work."""
        ...

    def initial(self, streams: Streams) -> list[Vector]:
        """All tensors before any training."""
        ...

    def forward(self, tensors: Sequence[Tensor], x: Tensor, *, start: int = 0, stop: int | None = None) -> Tensor:
        """What layer ``stop`` - 1 puts out when layer ``start`` gets x (batch, ...); called from several threads at once."""
        ...

    def prefix(self, layers: int) -> int:
        """The largest ``stop`` <= ``layers`` after which the network can go on from the output of layer ``stop`` - 1 alone."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Chain:
    """Layers one after the other."""

    layers: tuple[Layer, ...]

    def initial(self, streams: Streams) -> list[Vector]:
        """All tensors before any training.

        Weights are uniform in +-sqrt(6 / fan_in), so their variance is 2 / fan_in (He et al., ICCV 2015, eq. 10); biases and
        shifts are 0, scales 1. Layer i draws from stream ("init", i): neither a split nor an adapter changes that. The
        adapter after it draws from ("init", i, 1), and what it adds is 0 at first.
        """
        weights: list[Vector] = []
        index = -1
        for layer in self.layers:
            index += not layer.adapter
            key = (index, 1) if layer.adapter else (index,)
            bound = 0.0 if layer.adapter and layer.residual is not None else math.sqrt(6.0 * layer.weight_shape[0] / layer.weights)
            weights.append(streams.generator("init", *key).uniform(-bound, bound, layer.weight_shape).astype(np.float32))
        scales = [(shape, layer.groups and i == 0) for layer in self.layers for i, shape in enumerate(layer.value_shapes)]
        return weights + [np.full(shape, 1.0 if scale else 0.0, np.float32) for shape, scale in scales]

    def forward(self, tensors: Sequence[Tensor], x: Tensor, *, start: int = 0, stop: int | None = None) -> Tensor:
        """What layer ``stop`` - 1 puts out when layer ``start`` gets x."""
        from cosim.learn.network import forward

        return forward(self.layers, tensors, x, start, len(self.layers) if stop is None else stop)

    def prefix(self, layers: int) -> int:
        """The largest cut at or before ``layers`` over which no residual connection reaches."""
        sources = [(i, layer.residual) for i, layer in enumerate(self.layers) if layer.residual is not None]
        return max(cut for cut in range(layers + 1) if not any(source < cut - 1 and i >= cut for i, source in sources))


def with_adapters(chain: Chain, width: int) -> Chain:
    """The chain with a small residual network after each layer but the last: x + up(relu(down(x))), ``width`` channels or units between.

    ``down`` and ``up`` are 1 x 1 convolutions after a convolution, dense layers after a dense layer. Sources: Houlsby et
    al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019; with convolutions Rebuffi et al., CVPR 2018; as personal
    part of a federated model Pillutla et al., ICML 2022.
    """
    made: list[Layer] = []
    moved: list[int] = []  # position of what was layer i, adapter included
    for layer in chain.layers:
        made.append(layer if layer.residual is None else replace(layer, residual=moved[layer.residual]))
        if len(moved) < len(chain.layers) - 1:
            made += _adapter(layer, width, source=len(made) - 1)
        moved.append(len(made) - 1)
    return Chain(tuple(made))


def _adapter(layer: Layer, width: int, *, source: int) -> tuple[Layer, Layer]:
    shape, channels, names = layer.output_shape, layer.output_shape[0], (f"{layer.name}.adapter.down", f"{layer.name}.adapter.up")
    if len(shape) == 1:
        down = dense(names[0], shape, width, adapter=True)
        return down, dense(names[1], down.output_shape, channels, adapter=True, residual=source, relu=False)
    down = convolution(names[0], shape, width, 1, adapter=True)
    return down, convolution(names[1], down.output_shape, channels, 1, adapter=True, residual=source, relu=False)
