"""Pruners: which weights a device's sub-model keeps.

The N prunable weights compete within each layer (scope ``layer``: floor(rho N_l) of each layer's N_l are pruned) or all
together (scope ``global``: floor(rho N)). The least important go; of equally important ones the first in the vector.

For unstructured magnitude masks ||u - u m||^2 <= rho ||u||^2: the floor(rho n) <= rho n entries of a group of n with the
smallest squares hold at most that fraction of the group's squared norm, and groups add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from cosim.component import Component, quantity
from cosim.learn.layers import Mask, Vector

Scope = Literal["layer", "global"]
Side = Literal["server", "device"]

_SCOPE = "which weights compete: those of a layer with each other, or all of them"


@final
class Magnitude(Component):
    """Importance |w|. Both sides see the same weights, so the mask is the same; only the server's is free to send.

    The mask of a ``device`` rides on its upload, as it must where the server does not work out masks itself.
    """

    side: Side = quantity("server", "", "who decides the mask; a device's mask costs bits on the uplink")
    scope: Scope = quantity("layer", "", _SCOPE)

    @property
    def gradient_memory(self) -> None:
        """No gradient is needed."""
        return

    def importance(self, weights: Vector, gradient: Vector | None, rng: np.random.Generator) -> NDArray[np.floating]:  # noqa: ARG002 - role
        """|w| (N,)."""
        return np.abs(weights)


@final
class Taylor(Component):
    """Importance |w g|: to first order, how much the loss changes when the weight is set to zero.

    Source: Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017. The
    running gradient g <- memory g + (1 - memory) new is, on side ``device``, of the mean gradient of the device's own
    global steps: it sees its own data, and its masks cost bits on the uplink. It needs the gradients of pruned weights
    too, so the weight-gradient pass of the global part is charged in full. On side ``server`` it is of the aggregate's
    change u_old - u_new, which costs nothing, of parameters that somebody kept; the mask goes along with the download.
    A weight without a gradient yet counts with the mean |g| of those that have one: at first the ranking is by magnitude.
    """

    side: Side = quantity("device", "", "who decides the mask; a device's mask costs bits on the uplink")
    scope: Scope = quantity("layer", "", _SCOPE)
    memory: float = quantity(0.5, "", "share of the past in the running gradient", ge=0, lt=1)

    @property
    def gradient_memory(self) -> float:
        """Share of the past in the running gradient."""
        return self.memory

    def importance(self, weights: Vector, gradient: Vector | None, rng: np.random.Generator) -> NDArray[np.floating]:  # noqa: ARG002 - role
        """|w g| (N,); ``gradient`` is NaN where none is known."""
        assert gradient is not None
        known = np.isfinite(gradient)
        slope = np.abs(gradient, dtype=np.float64)
        slope[~known] = slope[known].mean() if known.any() else 1.0
        return np.abs(weights) * slope


@final
class Random(Component):
    """Every weight is as important as any other; a mask is named by its seed, so nobody has to send it."""

    scope: Scope = quantity("layer", "", _SCOPE)

    @property
    def side(self) -> Literal["server"]:
        """The server draws the seeds."""
        return "server"

    @property
    def gradient_memory(self) -> None:
        """No gradient is needed."""
        return

    def importance(self, weights: Vector, gradient: Vector | None, rng: np.random.Generator) -> NDArray[np.floating]:  # noqa: ARG002 - role
        """Uniform random numbers (N,)."""
        return rng.random(len(weights))


def keep_mask(importance: NDArray[np.floating], groups: Sequence[int], prune_ratio: float) -> Mask:
    """Mask (N,) that prunes the floor(rho n) least important entries of each group of n consecutive ones."""
    mask = np.ones(len(importance), np.bool_)
    start = 0
    for size in groups:  # a handful of layers
        _prune(mask[start : start + size], importance[start : start + size], math.floor(prune_ratio * size))
        start += size
    return mask


def _prune(mask: Mask, importance: NDArray[np.floating], count: int) -> None:
    """Clear ``count`` entries of the mask: all below the count-th smallest value, and the first of those equal to it."""
    if count == 0:
        return
    bar = np.partition(importance, count - 1)[count - 1]
    below = importance < bar
    mask[below] = False
    mask[np.flatnonzero(importance == bar)[: count - np.count_nonzero(below)]] = False


def running_gradient(old: Vector, new: Vector, memory: float) -> Vector:
    """The running gradient: g <- memory g + (1 - memory) new.

    Where g is NaN (not known yet) it becomes ``new``; where ``new`` is NaN it stays.
    """
    blended = np.where(np.isnan(old), new, memory * old + (1.0 - memory) * new)
    return np.where(np.isnan(new), old, blended).astype(np.float32)
