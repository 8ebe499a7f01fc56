"""A model as data: a chain of layers with shapes, parameter counts and work per sample. No tensors here.

The parameters of a chain are one float32 vector: all weights, layer by layer, then all biases. So "the prunable
part" is a prefix, a mask is a boolean vector, and an update is a slice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from cosim.rng import Streams

Vector: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]


@final
@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution (weights (out, in, k, k), stride 1, no padding) or a dense layer (weights (out, in)) with biases (out,).

    After it come max pooling over ``pool`` x ``pool`` and then a ReLU, where ``relu``. (The two commute; pooling first is
    less work.) ``positions``: output positions per sample before pooling, that is, how often each weight is used.
    """

    weight_shape: tuple[int, ...]
    positions: int = 1
    pool: int = 1
    relu: bool = True

    @property
    def weights(self) -> int:
        """Number of weights."""
        return math.prod(self.weight_shape)

    @property
    def biases(self) -> int:
        """Number of biases: one per output channel or unit."""
        return self.weight_shape[0]

    @property
    def forward_flops(self) -> int:
        """Work of the forward pass per sample: a multiplication and an addition per weight and position [FLOP].

        Pooling, ReLU and loss are not counted: less than 1 % of it.
        """
        return 2 * self.positions * self.weights


def parameter_count(layers: Sequence[Layer]) -> int:
    """Length of the parameter vector of a chain."""
    return sum(layer.weights + layer.biases for layer in layers)


def views(vector: Any, layers: Sequence[Layer]) -> list[Any]:
    """The chain's tensors as views into its parameter vector (numpy or torch): weights of each layer, then biases of each."""
    shapes = [layer.weight_shape for layer in layers] + [(layer.biases,) for layer in layers]
    ends = np.cumsum([math.prod(shape) for shape in shapes], dtype=np.int64).tolist()
    return [vector[end - math.prod(shape) : end].reshape(shape) for shape, end in zip(shapes, ends, strict=True)]


def initial(layers: Sequence[Layer], streams: Streams, *, first: int = 0) -> Vector:
    """Initial parameter vector of layers ``first``, ``first + 1``, ... of a model.

    Weights are uniform in +-sqrt(6 / fan_in), so their variance is 2 / fan_in (He et al., ICCV 2015, eq. 10);
    biases are zero. Layer i draws from stream ("init", i): where a model is split does not change it.
    """
    vector = np.zeros(parameter_count(layers), np.float32)
    for index, (layer, weights) in enumerate(zip(layers, views(vector, layers), strict=False), start=first):
        bound = math.sqrt(6.0 * layer.biases / layer.weights)
        weights[...] = streams.generator("init", index).uniform(-bound, bound, layer.weight_shape)
    return vector
