"""Pruners: which weights a device's sub-model keeps. How a mask follows from their importance is in ``masking``.

``unstructured``: the N prunable weights compete within each layer (scope ``layer``: floor(rho N_l) of each layer's N_l are pruned) or
all together (scope ``global``: floor(rho N)). The least important go; of equally important ones the first in the vector.
``structured``: whole filters and hidden units compete, see ``units``; a unit is as important as its weights are on average.

A mask is made anew from u in every round, and a parameter that nobody kept stays in u as it was: what is pruned can come back.
With a ``rotation`` it must: see ``rotation.Rotation``.

For unstructured magnitude masks ||u - u m||^2 <= rho ||u||^2: the floor(rho n) <= rho n entries of a group of n with the
smallest squares hold at most that fraction of the group's squared norm, and groups add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, Self, final

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from cosim.component import Component, quantity
from cosim.learn.layers import Mask, Vector
from cosim.learn.rotation import FIRST, NONE, Rotation, Turn

Scope = Literal["layer", "global"]
Side = Literal["server", "device"]
Granularity = Literal["unstructured", "structured"]

_SCOPE = "which weights compete: those of a layer with each other, or all of them"
_GRANULARITY = "what is removed: single weights, or whole filters and hidden units, so that the device's network is smaller"
MULTIPLE: Final = (
    "structured: convolutions keep a multiple of so many filters, or a power of two below it, as processors like; 1: any number"
)
_ROTATION = "share of what is kept that goes round the less important rest, from device to device and round to round; 0: none"


@final
class Magnitude(Component):
    """Importance |w|. Both sides see the same weights, so the mask is the same; only the server's is free to send.

    The mask of a ``device`` rides on its upload, as it must where the server does not work out masks itself.
    """

    side: Side = quantity("server", "", "who decides the mask; a device's mask costs bits on the uplink")
    scope: Scope = quantity("layer", "", _SCOPE)
    granularity: Granularity = quantity("unstructured", "", _GRANULARITY)
    multiple: int = quantity(8, "", MULTIPLE, ge=1, le=65_536)
    rotation: float = quantity(0.0, "", _ROTATION, ge=0, le=1)

    @property
    def turning(self) -> Rotation:
        """How the kept entries rotate."""
        return Rotation(share=self.rotation)

    @property
    def common(self) -> bool:
        """All devices receive the same weights."""
        return True

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
    too, so the weight-gradient pass of the global part is charged in full; ``structured``, what is removed has none, keeps the one that
    it had, and nothing is charged. On side ``server`` it is of the aggregate's
    change u_old - u_new, which costs nothing, of parameters that somebody kept; the mask goes along with the download.
    A weight without a gradient yet counts with the mean |g| of those that have one: at first the ranking is by magnitude.
    """

    side: Side = quantity("device", "", "who decides the mask; a device's mask costs bits on the uplink")
    scope: Scope = quantity("layer", "", _SCOPE)
    granularity: Granularity = quantity("unstructured", "", _GRANULARITY)
    multiple: int = quantity(8, "", MULTIPLE, ge=1, le=65_536)
    rotation: float = quantity(0.0, "", _ROTATION, ge=0, le=1)
    memory: float = quantity(0.5, "", "share of the past in the running gradient", ge=0, lt=1)

    @property
    def turning(self) -> Rotation:
        """How the kept entries rotate."""
        return Rotation(share=self.rotation)

    @property
    def common(self) -> bool:
        """The server has one gradient, each device its own."""
        return self.side == "server"

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
    granularity: Granularity = quantity("unstructured", "", _GRANULARITY)
    multiple: int = quantity(8, "", MULTIPLE, ge=1, le=65_536)

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.granularity == "structured" and self.scope == "global":
            raise ValueError("scope = global: units of different layers have different numbers of weights; allowed for structured: layer")
        return self

    @property
    def turning(self) -> Rotation:
        """Nothing rotates: masks are drawn anew."""
        return NONE

    @property
    def side(self) -> Literal["server"]:
        """The server draws the seeds."""
        return "server"

    @property
    def common(self) -> bool:
        """Each device has its own seed."""
        return False

    @property
    def gradient_memory(self) -> None:
        """No gradient is needed."""
        return

    def importance(self, weights: Vector, gradient: Vector | None, rng: np.random.Generator) -> NDArray[np.floating]:  # noqa: ARG002 - role
        """Uniform random numbers (N,)."""
        return rng.random(len(weights))


def keep_mask(
    importance: NDArray[np.floating], groups: Sequence[int], prune_ratio: float, rotation: Rotation = NONE, turn: Turn = FIRST
) -> Mask:
    """Mask (N,) that prunes floor(rho n) of each group of n consecutive entries: the least important ones, or those whose turn it is."""
    ends = np.cumsum(groups)
    parts = (importance[end - size : end] for end, size in zip(ends, groups, strict=True))
    return np.concatenate([rotation.kept(part, len(part) - math.floor(prune_ratio * len(part)), turn) for part in parts])


def running_gradient(old: Vector, new: Vector, memory: float) -> Vector:
    """The running gradient: g <- memory g + (1 - memory) new.

    Where g is NaN (not known yet) it becomes ``new``; where ``new`` is NaN it stays.
    """
    blended = np.where(np.isnan(old), new, memory * old + (1.0 - memory) * new)
    return np.where(np.isnan(new), old, blended).astype(np.float32)
