"""A chain of layers as torch operations: functions of (parameters, input), without modules and without state."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear, max_pool2d

from cosim.learn.layers import Layer, Vector, views
from cosim.learn.roles import Images


def forward(layers: Sequence[Layer], parameters: Sequence[Tensor], x: Tensor) -> Tensor:
    """Output of a chain; ``parameters`` in the order of ``layers.views``; x (batch, ...)."""
    count = len(layers)
    for layer, weight, bias in zip(layers, parameters[:count], parameters[count:], strict=True):
        x = conv2d(x, weight, bias) if weight.ndim == 4 else linear(x.flatten(1), weight, bias)
        if layer.pool > 1:
            x = max_pool2d(x, layer.pool) if x.requires_grad else _pooled(x, layer.pool)
        if layer.relu:
            x = torch.relu(x)
    return x


def _pooled(x: Tensor, size: int) -> Tensor:
    """The same values as ``max_pool2d``, five times as fast, but slow to differentiate: the largest of shifted images."""
    height, width = (extent // size * size for extent in x.shape[-2:])
    corners = [x[..., i:height:size, j:width:size] for i in range(size) for j in range(size)]
    return reduce(torch.maximum, corners)


def outputs(layers: Sequence[Layer], vector: Vector, x: Images) -> Images:
    """``forward`` from and to numpy arrays, without gradients."""
    with torch.no_grad():
        result: Images = forward(layers, views(torch.from_numpy(vector), layers), torch.from_numpy(x)).numpy()
    return result
