"""From a pruner and a ratio to a mask, and what that mask costs: single weights (``Entries``) or whole units (``structured``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, final

import numpy as np

from cosim.interfaces import FloatArray, IntArray, PruningCost
from cosim.learn.layers import Importance, Mask, Vector
from cosim.learn.pruner import keep_mask
from cosim.learn.pruning_curve import pruning_curve
from cosim.learn.roles import Pruner
from cosim.learn.rotation import Rotation, Turn
from cosim.learn.split import Parts
from cosim.learn.structured import Structured
from cosim.learn.units import Units

if TYPE_CHECKING:
    from cosim.learn.work import Work


class Masking(Protocol):
    """How masks are made: they cover a prefix of u and remove at least floor(rho n) of n = ``removable`` parameters."""

    @property
    def length(self) -> int:
        """Length of a mask."""
        ...

    @property
    def removable(self) -> int:
        """N, the parameters that a mask with rho = 1 removes; rho counts what is removed in units of it."""
        ...

    @property
    def least(self) -> int:
        """A mask keeps at most ``least`` + (1 - rho) N of its entries."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """The prefix in groups, each with a scale of its own in codecs that have scales."""
        ...

    @property
    def units(self) -> Units | None:
        """What masks remove as a whole."""
        ...

    def mask(self, importance: Importance, prune_ratio: float, rotation: Rotation, turn: Turn) -> Mask:
        """The mask from the importance (N,) of the weights."""
        ...

    def cost(self, shared: Vector, importance: Importance) -> PruningCost | None:
        """The pruning error of masks without rotation as a function of the ratio; None where u = 0."""
        ...

    def counts(self, mask: Mask) -> IntArray:
        """What the work of a sub-model with this mask follows from (k,)."""
        ...

    def flops(self, work: Work, device_ids: IntArray, counts: IntArray) -> FloatArray:
        """Work (n,) of sub-models with these counts (n, k) [FLOP]."""
        ...

    def flops_bound(self, work: Work) -> tuple[FloatArray, FloatArray]:
        """(a, b), each (devices,): no sub-model of any ratio rho takes more than a + (1 - rho) b [FLOP]."""
        ...


def masking(parts: Parts, pruner: Pruner) -> Masking:
    """How this pruner's masks of this model are made. Raises ValueError where they cannot be."""
    if pruner.granularity == "structured":
        return Structured(Units.of(parts), pruner.scope, pruner.multiple)
    return Entries(parts, pruner.scope)


@final
@dataclass(frozen=True, slots=True)
class Entries:
    """Single weights: floor(rho n) of each group of n go, so of all at most rho N and more than rho N - groups."""

    parts: Parts
    scope: Literal["layer", "global"]

    @property
    def length(self) -> int:
        """N."""
        return self.parts.prunable

    @property
    def removable(self) -> int:
        """N."""
        return self.parts.prunable

    @property
    def least(self) -> int:
        """Each group may keep one weight more than (1 - rho) n."""
        return len(self._groups)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Weights of each layer."""
        return self.parts.prunable_sizes

    @property
    def units(self) -> None:
        """There are none."""
        return

    @property
    def _groups(self) -> tuple[int, ...]:
        return self.parts.prunable_sizes if self.scope == "layer" else (self.parts.prunable,)

    def mask(self, importance: Importance, prune_ratio: float, rotation: Rotation, turn: Turn) -> Mask:
        """Mask (N,)."""
        return keep_mask(importance, self._groups, prune_ratio, rotation, turn)

    def cost(self, shared: Vector, importance: Importance) -> PruningCost | None:
        """See ``pruning_curve``."""
        return pruning_curve(shared[: self.length], importance, self._groups)

    def counts(self, mask: Mask) -> IntArray:
        """Kept weights of each layer."""
        return np.array([np.count_nonzero(layer) for layer in np.split(mask, np.cumsum(self.sizes)[:-1])], np.int64)

    def flops(self, work: Work, device_ids: IntArray, counts: IntArray) -> FloatArray:
        """A pruned weight costs nothing, whatever it is."""
        return work.submodels(device_ids, counts, self.sizes)

    def flops_bound(self, work: Work) -> tuple[FloatArray, FloatArray]:
        """Scope ``layer``: with c_l = F_l / N_l the work per weight, sum_l kept_l c_l <= y sum_l F_l + sum_l c_l.

        Scope ``global``: masks may prune the cheapest weights first, but each pruned weight saves at least c = min_l c_l, so
        sum_l kept_l c_l <= F - c (N - kept) <= F - c N + c + y c N.
        """
        total, per_weight = work.sparse.sum(axis=1), work.sparse / np.array(self.sizes)
        if self.scope == "layer":
            return work.fixed + per_weight.sum(axis=1), total
        cheapest = per_weight.min(axis=1)
        return work.fixed + total - cheapest * (self.length - 1), cheapest * self.length
