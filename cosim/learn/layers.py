"""A model as data: layers with shapes, parameter counts and work per sample. No tensors here.

The parameters of some layers are one float32 vector: all weights, layer by layer, then all other values (biases; scales
and shifts of normalisations). So "the prunable part" is a prefix, a mask is a boolean vector, and an update is a slice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Importance: TypeAlias = NDArray[np.floating]
Shape: TypeAlias = tuple[int, ...]
"""Of one sample: (channels, height, width), (channels, length) or (units,)."""


class Described(Protocol):
    """What everything but the tensor code needs to know of a layer."""

    @property
    def name(self) -> str: ...
    @property
    def weight_shape(self) -> Shape:
        """Shape of the prunable weights, outputs first; () where there are none."""
        ...

    @property
    def value_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the parameters that are never pruned."""
        ...

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the weights, where there are any, and of the parameters that are never pruned, as in a module's ``state_dict``."""
        ...

    @property
    def weights(self) -> int:
        """Number of prunable weights."""
        ...

    @property
    def values(self) -> int:
        """Number of parameters that are never pruned."""
        ...

    @property
    def forward_flops(self) -> float:
        """Work of the forward pass per sample [FLOP]."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A convolution or dense layer with what follows it, in this order:

    - weights: (out, in, k, k) or (out, in, k): a convolution with ``stride`` and zero ``padding``; (out, in): dense;
    - biases (out,); or, where ``groups`` > 0, normalisation of so many groups of channels (Wu and He, "Group
      Normalization", ECCV 2018) with a scale and a shift (out,) each;
    - + the output of layer ``residual`` (its position in the network), where that is not None: subsampled and filled up with
      zero channels to the shape it is added to (the parameter-free shortcut "A" of He et al., CVPR 2016, sec. 4.1);
    - max pooling over ``pool`` x ``pool``, then a ReLU, where ``relu``. (The two commute; pooling first is less work.)
    - average pooling over ``average`` x ``average``; 0: over all positions.

    ``input_shape``: of one sample; a dense layer takes any shape. ``adapter``: added to a model to be personal.
    """

    name: str
    weight_shape: Shape
    input_shape: Shape
    stride: int = 1
    padding: int = 0
    groups: int = 0
    residual: int | None = None
    pool: int = 1
    relu: bool = True
    average: int = 1
    adapter: bool = False

    @property
    def tensors(self) -> tuple[str, ...]:
        """``conv1.weight``, ``conv1.bias``; of a layer with normalisation ``conv1.weight``, ``conv1.norm.weight``, ``conv1.norm.bias``."""
        values = ("norm.weight", "norm.bias") if self.groups else ("bias",)
        return tuple(f"{self.name}.{tensor}" for tensor in ("weight", *values))

    @property
    def weights(self) -> int:
        """Number of weights."""
        return math.prod(self.weight_shape)

    @property
    def values(self) -> int:
        """Number of biases, or of scales and shifts."""
        return sum(math.prod(shape) for shape in self.value_shapes)

    @property
    def value_shapes(self) -> tuple[Shape, ...]:
        """Of the biases, or of scales and shifts."""
        return ((self.weight_shape[0],),) * (2 if self.groups else 1)

    @property
    def extents(self) -> Shape:
        """Height and width, or length, of the output before pooling; () of a dense layer."""
        kernel = self.weight_shape[2:]
        return tuple((size + 2 * self.padding - k) // self.stride + 1 for size, k in zip(self.input_shape[1:], kernel, strict=False))

    @property
    def output_shape(self) -> Shape:
        """Of one sample, after pooling."""
        pooled = (size // self.pool for size in self.extents)
        return (self.weight_shape[0], *(size // self.average if self.average else 1 for size in pooled))

    @property
    def positions(self) -> int:
        """How often each weight is used per sample: output positions before pooling."""
        return math.prod(self.extents)

    @property
    def forward_flops(self) -> float:
        """Work of the forward pass per sample: a multiplication and an addition per weight and position [FLOP].

        Biases, normalisation, pooling, ReLU and loss are not counted: less than 1 % of it, with normalisation a few per cent.
        """
        return 2.0 * self.positions * self.weights


def convolution(name: str, input_shape: Shape, filters: int, kernel: int, **rest: Any) -> Layer:
    """A convolution over all extents of (channels, ...). Raises ValueError where nothing would be left of the image."""
    layer = Layer(name=name, weight_shape=(filters, input_shape[0], *(kernel for _ in input_shape[1:])), input_shape=input_shape, **rest)
    gets, leaves = (" x ".join(map(str, extents)) for extents in (input_shape[1:], layer.extents))
    if min(layer.extents) < 1:
        raise ValueError(f"layer {name} gets {gets} values: its kernel of {kernel} is larger")
    if min(layer.output_shape) < 1:
        raise ValueError(f"layer {name} gets {gets} values: its kernel of {kernel} leaves {leaves}, too few to pool by {layer.pool}")
    return layer


def dense(name: str, input_shape: Shape, units: int, **rest: Any) -> Layer:
    """A dense layer on all values of an input of any shape."""
    return Layer(name=name, weight_shape=(units, math.prod(input_shape)), input_shape=input_shape, **rest)


def parameter_count(layers: Iterable[Described]) -> int:
    """Length of the parameter vector of these layers."""
    return sum(layer.weights + layer.values for layer in layers)


def tensor_shapes(layers: Sequence[Described]) -> list[Shape]:
    """Shapes of the tensors of these layers in the order of their parameter vector."""
    weights = [layer.weight_shape for layer in layers if layer.weights]
    return weights + [shape for layer in layers for shape in layer.value_shapes]


def tensor_names(layers: Sequence[Described]) -> list[str]:
    """Names of the tensors of these layers in the order of their parameter vector."""
    weights = [layer.tensors[0] for layer in layers if layer.weights]
    return weights + [name for layer in layers for name in layer.tensors[bool(layer.weights) :]]


def views(vector: Any, layers: Sequence[Described]) -> list[Any]:
    """The tensors of these layers as views into their parameter vector (numpy or torch): weights of each, then values of each."""
    shapes = tensor_shapes(layers)
    ends = np.cumsum([math.prod(shape) for shape in shapes], dtype=np.int64).tolist()
    return [vector[end - math.prod(shape) : end].reshape(shape) for shape, end in zip(shapes, ends, strict=True)]
