"""A chain of layers as torch operations: functions of (parameters, input), without modules and without state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, avg_pool2d, conv1d, conv2d, group_norm, linear, pad

from cosim.learn.layers import Layer
from cosim.learn.roles import Images

if TYPE_CHECKING:
    from cosim.learn.chain import Network


def forward(layers: Sequence[Layer], tensors: Sequence[Tensor], x: Tensor, start: int, stop: int) -> Tensor:
    """Output of layers ``start`` .. ``stop`` - 1; ``tensors`` of all layers in the order of ``layers.views``; x (batch, ...)."""
    if x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)  # convolution and pooling take half the time
    needed = {layer.residual for layer in layers[start:stop]}
    values = len(layers) + sum(len(layer.value_shapes) for layer in layers[:start])
    kept = {start - 1: x}
    for i, layer in enumerate(layers[start:stop], start):
        count = len(layer.value_shapes)
        source = None if layer.residual is None else kept[layer.residual]
        x = _layer(layer, tensors[i], tensors[values : values + count], x, source)
        values += count
        if i in needed:
            kept[i] = x
    return x


def _layer(layer: Layer, weight: Tensor, values: Sequence[Tensor], x: Tensor, source: Tensor | None) -> Tensor:
    """One layer with what follows it, in the order that ``layers.Layer`` tells."""
    bias = None if layer.groups else values[0]
    if weight.ndim == 4:
        x = conv2d(x, weight, bias, layer.stride, layer.padding)
    elif weight.ndim == 3:
        x = conv1d(x.reshape(len(x), weight.shape[1], -1), weight, bias, layer.stride, layer.padding)
    else:
        x = linear(x.flatten(1), weight, bias)
    if layer.groups:
        x = group_norm(x, layer.groups, weight=values[0], bias=values[1])
    if source is not None:
        x = x + _shortcut(source, x.shape)
    if layer.pool > 1:
        x = torch.max_pool2d(x, layer.pool) if x.ndim == 4 else torch.max_pool1d(x, layer.pool)
    if layer.relu:
        x = torch.relu(x)
    return x if layer.average == 1 else _averaged(x, layer.average)


def _shortcut(x: Tensor, shape: torch.Size) -> Tensor:
    """What is added: x (batch, channels, ...) subsampled and filled up with zero channels to ``shape``."""
    if x.shape == shape:
        return x
    steps = [-(-size // wanted) for size, wanted in zip(x.shape[2:], shape[2:], strict=True)]
    x = x[_slices(slice(None, None, step) for step in steps)]
    return pad(x, (*(0 for _ in steps for _ in "ab"), 0, shape[1] - x.shape[1]))


def _slices(last: Iterable[slice]) -> tuple[slice, ...]:
    """Index of the last axes of a tensor (batch, channels, ...)."""
    return (slice(None), slice(None), *last)


def _averaged(x: Tensor, size: int) -> Tensor:
    if size == 0:
        return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)
    return avg_pool2d(x, size) if x.ndim == 4 else avg_pool1d(x, size)


def outputs(network: Network, tensors: Sequence[Images], x: Images, *, start: int = 0, stop: int | None = None) -> Images:
    """``Network.forward`` from and to numpy arrays, without gradients."""
    with torch.no_grad():
        result: Images = network.forward([torch.from_numpy(t) for t in tensors], torch.from_numpy(x), start=start, stop=stop).numpy()
    return result
