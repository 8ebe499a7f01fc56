"""Plain dense networks of several devices at once: one batched matrix product where each device alone would need small ones.

Every tensor has the devices as its first axis. With inputs x, h_0 = x, h_l = relu(h_{l-1} W_l' + b_l) but for the last layer z = h W' + b,
and mean cross-entropy over b samples, dF/dz = (softmax(z) - y)/b, dF/dW_l = d_l' h_{l-1}, dF/db_l = sum d_l,
d_{l-1} = (d_l W_l) [h_{l-1} > 0].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from cosim.learn.chain import Chain, Network
from cosim.learn.layers import Layer
from cosim.learn.side_by_side import placed, side_by_side

Slopes: TypeAlias = list[Tensor | None]
"""Where the gradient of each tensor goes, in the order of the network's tensors; None: not wanted."""


def is_dense(network: Network) -> bool:
    """Whether a network is a chain of dense layers, with ReLU or nothing between them."""
    return isinstance(network, Chain) and all(_is_plain(layer) for layer in network.layers)


def _is_plain(layer: Layer) -> bool:
    return len(layer.weight_shape) == 2 and not layer.groups and layer.residual is None and layer.pool == layer.average == 1


def add_gradients(
    layers: Sequence[Layer], tensors: Sequence[Tensor], x: Tensor, labels: Tensor, slopes: Slopes, *, step: float | None = None
) -> Tensor:
    """Losses (devices, b) at ``tensors``; each slope becomes the gradient of their mean, or loses ``step`` x the gradient.

    So a gradient step is folded into the matrix products, where the tensors are their own slopes.
    ``tensors``: weights (devices, out, in) of each layer, then biases (devices, out) of each; ``x`` (devices, b, ...);
    ``labels`` (devices, b).
    """
    count = len(layers)
    inputs = [placed(x.flatten(2))]
    for i, layer in enumerate(layers):
        out = side_by_side((*labels.shape, layer.weight_shape[0]), x.device)
        torch.baddbmm(tensors[count + i].unsqueeze(1), inputs[-1], tensors[i].mT, out=out)
        inputs.append(out.relu_() if layer.relu else out)
    logits = inputs.pop().log_softmax(dim=2)
    chosen = labels.unsqueeze(2)
    losses = logits.gather(2, chosen).squeeze(2).neg_()
    delta = logits.exp_()  # b times dF/dz, once 1 is taken from what is right
    delta.scatter_add_(2, chosen, delta.new_full((), -1.0).expand(chosen.shape))
    delta = placed(delta)
    keep, factor = (0.0, 1.0 / labels.shape[1]) if step is None else (1.0, -step / labels.shape[1])
    first = min(i % count for i, slope in enumerate(slopes) if slope is not None)
    for i in range(count - 1, first - 1, -1):
        before = delta
        if i > first:  # with the weights as they were
            before = torch.bmm(delta, tensors[i], out=side_by_side(inputs[i].shape, x.device))
        weight, bias = slopes[i], slopes[count + i]
        if weight is not None:
            weight.baddbmm_(delta.mT, inputs[i], beta=keep, alpha=factor)
        if bias is not None:
            bias.add_(delta.sum(dim=1), alpha=factor) if keep else torch.sum(delta, dim=1, out=bias).mul_(factor)
        if i > first:
            delta = (
                torch.ops.aten.threshold_backward.grad_input(before, inputs[i], 0.0, grad_input=before) if layers[i - 1].relu else before
            )
    return losses
