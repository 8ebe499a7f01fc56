"""Networks of any kind, of several devices at once: every tensor has the devices as its first axis, so a step is a few large operations.

A chain's images are (devices, channels, b, ...): a convolution is one batched product of the filters (devices, out, in k k) with the
columns (devices, in k k, b positions), the patches of the images, and what it puts out needs no reordering. Other networks
are mapped over the devices by ``torch.vmap``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, avg_pool2d, cross_entropy, max_pool1d, max_pool2d, pad

from cosim.errors import SimulationError
from cosim.learn.chain import Chain
from cosim.learn.dense import Slopes
from cosim.learn.layers import Layer, tensor_shapes

if TYPE_CHECKING:
    from cosim.learn.chain import Network

_EPSILON: Final = 1e-5
"""What is added to the variance in a normalisation: as in ``torch.nn.functional.group_norm``."""


def losses_and_slopes(network: Network, tensors: Sequence[Tensor], x: Tensor, labels: Tensor, slopes: Slopes) -> Tensor:
    """Losses (devices, b) of networks with ``tensors`` (devices, ...); each slope that is wanted becomes the gradient of their mean.

    ``x`` (devices, b, ...), ``labels`` (devices, b). The gradient of the sum of the devices' means is each device's own.
    """
    own = [tensor.detach().requires_grad_(slope is not None) for tensor, slope in zip(tensors, slopes, strict=True)]
    logits = forward(network, own, x)
    losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
    wanted = [(tensor, slope) for tensor, slope in zip(own, slopes, strict=True) if slope is not None]
    torch._foreach_copy_(
        [slope for _, slope in wanted], list(torch.autograd.grad(losses.mean(dim=1).sum(), [tensor for tensor, _ in wanted]))
    )
    return losses.detach()


def obstacle(network: Network, x: Tensor) -> str | None:
    """Why the network of several devices cannot be one, tried out on samples x (b, ...); None where it can."""
    if isinstance(network, Chain):
        return None
    tensors: list[Tensor] = [torch.zeros(2, *shape, device=x.device) for shape in tensor_shapes(network.layers)]
    try:
        logits = forward(network, tensors, torch.stack([x, x]))
    except SimulationError as error:
        return str(error)
    return None if logits.ndim == 3 else f"its output has shape {tuple(logits.shape[1:])}"


def forward(network: Network, tensors: Sequence[Tensor], x: Tensor) -> Tensor:
    """Logits (devices, b, classes) for x (devices, b, ...)."""
    if not isinstance(network, Chain):
        mapped: Tensor = torch.vmap(network.forward)(list(tensors), x)
        return mapped
    layers, values = network.layers, len(network.layers)
    needed, kept = {layer.residual for layer in layers}, dict[int | None, Tensor]()
    image = len(layers[0].weight_shape) > 2
    x = x.reshape(*x.shape[:2], *layers[0].input_shape).transpose(1, 2) if image else x.flatten(2)
    for i, layer in enumerate(layers):
        count = len(layer.value_shapes)
        x = _layer(layer, tensors[i], tensors[values : values + count], x, kept.get(layer.residual))
        values += count
        if i in needed:
            kept[i] = x
    return x


def _layer(layer: Layer, weight: Tensor, values: Sequence[Tensor], x: Tensor, source: Tensor | None) -> Tensor:
    """One layer with what follows it, in the order that ``layers.Layer`` tells."""
    bias = None if layer.groups else values[0]
    x = _dense(x, weight, bias) if weight.ndim == 3 else _convolved(x, weight, bias, layer)
    if layer.groups:
        x = _normalised(x, values[0], values[1], layer.groups)
    if source is not None:
        x = x + _shortcut(source, x.shape)
    if layer.pool > 1:
        x = _pooled(x, max_pool2d if x.ndim == 5 else max_pool1d, layer.pool)
    if layer.relu:
        x = torch.relu(x)
    if layer.average == 1:
        return x
    if layer.average == 0:
        return x.mean(dim=tuple(range(3, x.ndim)), keepdim=True)
    return _pooled(x, avg_pool2d if x.ndim == 5 else avg_pool1d, layer.average)


def _dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(devices, b, out) of x (devices, b, in) or (devices, channels, b, ...)."""
    x = x.transpose(1, 2).flatten(2) if _is_image(x) else x
    return torch.bmm(x, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight.mT)


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
    """(devices, out, b, ...) of x (devices, in, b, ...)."""
    axes = weight.ndim - 3
    if layer.padding:
        x = pad(x, (layer.padding, layer.padding) * axes)
    for axis in range(axes):
        x = x.unfold(3 + axis, weight.shape[3 + axis], layer.stride)
    positions, taps = range(3, 3 + axes), range(3 + axes, 3 + 2 * axes)
    shape = x.shape[2 : 3 + axes]  # (b, ...)
    columns = x.permute(0, 1, *taps, 2, *positions).reshape(len(x), weight[0, 0].numel(), -1)
    filters = weight.flatten(2)
    out = torch.bmm(filters, columns) if bias is None else torch.baddbmm(bias.unsqueeze(2), filters, columns)
    return out.view(*weight.shape[:2], *shape)


def _normalised(x: Tensor, scale: Tensor, shift: Tensor, groups: int) -> Tensor:
    """Over each group of channels of each sample."""
    image = _is_image(x)
    grouped = x.view(len(x), groups, -1, *x.shape[2:]) if image else x.view(*x.shape[:2], groups, -1)
    over = (2, *range(4, grouped.ndim)) if image else (3,)
    variance, mean = torch.var_mean(grouped, dim=over, correction=0, keepdim=True)
    normal = ((grouped - mean) * torch.rsqrt(variance + _EPSILON)).view(x.shape)
    form = (*scale.shape, *(1 for _ in x.shape[2:])) if image else (len(scale), 1, -1)
    return torch.addcmul(shift.view(form), normal, scale.view(form))


def _shortcut(x: Tensor, shape: torch.Size) -> Tensor:
    """What is added: subsampled and filled up with zero channels to ``shape``; see ``network``."""
    if x.shape == shape:
        return x
    for axis in range(3, x.ndim):
        x = x[(*(slice(None) for _ in range(axis)), slice(None, None, -(-x.shape[axis] // shape[axis])))]
    return pad(x, (*(0 for _ in range(2 * (x.ndim - 2))), 0, shape[1] - x.shape[1]))


def _pooled(x: Tensor, pool: Callable[[Tensor, int], Tensor], size: int) -> Tensor:
    """Each image of each channel on its own."""
    pooled = pool(x.flatten(0, 1), size)
    return pooled.view(*x.shape[:2], *pooled.shape[1:])


def _is_image(x: Tensor) -> bool:
    return x.ndim > 3
