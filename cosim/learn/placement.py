"""Where the tensors of local training are, and how many devices' networks train together there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import torch

from cosim.errors import ScenarioError
from cosim.learn.chain import Chain
from cosim.learn.dense import is_dense
from cosim.learn.layers import Layer, parameter_count
from cosim.learn.remembered import Remembered

if TYPE_CHECKING:
    from cosim.learn.split import Parts

Device = Literal["cpu", "cuda", "auto"]

_TOGETHER: Final = 32
"""Devices with a dense network that work together on a processor, at most: more gain little, and fewer jobs share the threads worse."""
_CACHED: Final = 800_000
"""Parameters that stay in a core's cache: larger networks work together in smaller groups."""
_STACKED: Final = 64
"""Devices that work together on a GPU, at most: it has enough to do, and their results are in memory together."""
_GPU_BYTES: Final = 4 << 30
"""Memory for what the steps of devices that work together keep for their backward pass."""


class Placement(NamedTuple):
    """``stacked``: networks of any kind train together, see ``stacked``; otherwise only dense ones do, where that is faster."""

    device: torch.device
    stacked: bool

    def together(self, parts: Parts, batch_size: int) -> int:
        """How many devices train together at most; the same on every machine, since it may change the rounding."""
        if self.stacked:
            return max(1, min(_STACKED, _GPU_BYTES // _bytes(parts, batch_size)))
        return max(1, min(_TOGETHER, _CACHED // parameter_count(parts.network.layers))) if is_dense(parts.network) else 1


CPU: Final = Placement(torch.device("cpu"), stacked=False)


def placement(device: Device) -> Placement:
    """``auto``: a GPU where there is one. Raises ScenarioError where ``cuda`` is not to be had."""
    if device == "cpu":
        return CPU
    if torch.cuda.is_available():
        return Placement(torch.device("cuda"), stacked=True)
    if device == "cuda":
        why = f"PyTorch {torch.__version__} finds no CUDA device here"
        raise ScenarioError(f"learning.trainer.device = cuda: {why}; allowed on this machine: cpu, or auto, which takes what there is")
    return CPU


def _bytes(parts: Parts, batch_size: int) -> int:
    """About what a step of one device keeps for its backward pass: the columns of convolutions, outputs, and their gradients."""
    layers = parts.network.layers
    if not isinstance(parts.network, Chain):
        return 256 * parameter_count(layers)  # activations are not known: as many as in usual convolutional networks
    return 8 * batch_size * sum(_values(layer) for layer in parts.network.layers) + 16 * parameter_count(layers)


def _values(layer: Layer) -> int:
    """Of one sample: columns, and a few tensors of the size of the output before pooling."""
    return layer.positions * (layer.weights // layer.weight_shape[0] + 4 * layer.weight_shape[0])


resident: Final = Remembered(lambda array, device: torch.tensor(array, device=device))
"""The array, which nobody writes to, as a tensor on a device: moved there once."""
