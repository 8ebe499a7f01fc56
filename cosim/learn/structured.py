"""Masks that remove whole units: which go at a ratio, and what the smaller network costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, final

import numpy as np

from cosim.interfaces import FloatArray, IntArray, PruningCost
from cosim.learn.layers import Importance, Mask, Vector
from cosim.learn.pruning_curve import KNOTS, curve_of_losses
from cosim.learn.rotation import FIRST, NONE, Rotation, Turn
from cosim.learn.units import Units

if TYPE_CHECKING:
    from cosim.learn.work import Work


class _Steps(NamedTuple):
    """In each step (steps,): of which kind how many units go."""

    kind: IntArray
    units: IntArray


def _sorted(places: list[FloatArray], widths: list[IntArray]) -> _Steps:
    """The steps from each of the ``widths`` of each kind to the next, by their places."""
    kind = np.repeat(np.arange(len(widths)), [len(place) for place in places])
    order = np.argsort(np.concatenate(places), kind="stable")
    return _Steps(kind[order], -np.concatenate([np.diff(width) for width in widths])[order])


@final
@dataclass(frozen=True, eq=False)
class Structured:
    """Whole units: they go step by step until at least floor(rho N) parameters are gone, N being what the narrowest network lacks.

    A step leaves a convolution a multiple of ``multiple`` filters, or fewer, a power of two; dense layers lose one unit. Scope ``layer``:
    of all kinds of units about the same share goes: the j-th of n is at place (j - 1/2)/n in the order, a step at that of its first.
    What a convolution's step takes too much comes back as hidden units; if more than N/16 is still
    too much, hidden units go in its place.
    Scope ``global``: the place is the importance. The last unit of each kind stays.
    """

    of: Units
    scope: Literal["layer", "global"]
    multiple: int

    @property
    def length(self) -> int:
        """N + M: biases, scales and shifts of removed units go too."""
        return self.of.parts.prunable + self.of.parts.unprunable

    @cached_property
    def removable(self) -> int:
        """Parameters that go with all units but one of each kind."""
        return int(self._removed_evenly[-1])

    @property
    def least(self) -> int:
        """The narrowest network, and one parameter for rounding down."""
        return self.length - self.removable + 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Weights of each layer, then all other values."""
        return (*self.of.parts.prunable_sizes, self.of.parts.unprunable)

    @property
    def units(self) -> Units:
        """What masks remove as a whole."""
        return self.of

    def mask(self, importance: Importance, prune_ratio: float, rotation: Rotation, turn: Turn) -> Mask:
        """Mask (N + M,). A unit is as important as the weights into it are on average."""
        units = self.of
        score = units.importance(importance)
        steps = self._even if self.scope == "layer" else self._ranked(score)
        count = units.alike - self._taken(steps, int(np.floor(prune_ratio * self.removable)))
        kept = np.zeros(units.count, np.bool_)
        for members, number, axis in zip(units.members, count.tolist(), units.axis, strict=True):  # a handful of kinds
            kept[members] = rotation.kept(score[members], number, turn, axis)
        return units.mask(kept)

    def _taken(self, steps: _Steps, least: int) -> IntArray:
        """Units of each kind (kinds,) that go so that at least so many parameters do."""
        done = int(np.searchsorted(self._removed(steps), least))
        if done == 0 or self.of.dense[steps.kind[done - 1]]:
            return self._counted(steps, np.arange(done))
        with_it = np.append(np.arange(done - 1)[~self._returned(steps, done, least)], done - 1)
        before, later = np.arange(done - 1), np.arange(done, len(steps.kind))
        more = later[self.of.dense[steps.kind[later]]]
        removed = self._without(self._gone(steps)[done - 1] + self._gone(_Steps(steps.kind[more], steps.units[more]))[1:])
        enough = int(np.searchsorted(removed, least))
        taken = self._counted(steps, with_it)
        if int(self._without(taken @ self.of.channels_of_kind)) - least > self._excess and enough < len(more):
            return self._counted(steps, np.append(before, more[: enough + 1]))
        return taken

    @property
    def _excess(self) -> int:
        """How many parameters too many a large step may take."""
        return self.removable // 16

    def _counted(self, steps: _Steps, which: IntArray) -> IntArray:
        """Units of each kind (kinds,) that go in these steps."""
        return np.bincount(steps.kind[which], steps.units[which], minlength=len(self.of.alike)).astype(np.int64)

    def _returned(self, steps: _Steps, done: int, least: int) -> Mask:
        """Which of the steps before the last of ``done``, a convolution's, need not be taken (done - 1,): the last ones of hidden units."""
        back = np.flatnonzero(self.of.dense[steps.kind[: done - 1]])[::-1]
        removed = self._without(self._gone(steps)[done] - self._gone(_Steps(steps.kind[back], steps.units[back]))[1:])
        returned = np.zeros(done - 1, np.bool_)
        returned[back[: np.count_nonzero(removed >= least)]] = True  # removed falls
        return returned

    @cached_property
    def _even(self) -> _Steps:
        """The steps for scope ``layer``."""
        widths = self.of.widths(self.multiple)
        return _sorted([1.0 - (width[:-1] - 0.5) / width[0] for width in widths], widths)

    def _ranked(self, score: FloatArray) -> _Steps:
        """The steps for scope ``global``, from the importance of units."""
        widths = self.of.widths(self.multiple)
        sums = [np.append(0.0, np.cumsum(np.sort(score[members])[:-1])) for members in self.of.members]
        gone = [width[0] - width for width in widths]
        return _sorted([np.diff(total[n]) / np.diff(n) for total, n in zip(sums, gone, strict=True)], widths)

    def _extremes(self) -> tuple[IntArray, IntArray]:
        """For scope ``layer``: parameters (m,) that are gone at most while at least these channels (m, layers) are."""
        steps, gone, removed = self._even, self._gone(self._even), self._removed_evenly
        points = [(int(removed[0]), gone[0])]
        for i in range(1, len(gone)):
            if self.of.dense[steps.kind[i - 1]]:
                points.append((int(removed[i]), gone[i]))
                continue
            back = np.flatnonzero(self._returned(steps, i, int(removed[i - 1]) + 1))
            least = gone[i] - self._counted(steps, back) @ self.of.channels_of_kind
            points.append((int(removed[i]), least))
            in_its_place = int(self._without(least)) - self._excess
            if in_its_place > removed[i - 1] and self.of.dense.any():
                points.append((in_its_place, gone[i - 1]))
        return np.array([point[0] for point in points]), np.stack([point[1] for point in points])

    def _gone(self, steps: _Steps) -> IntArray:
        """Channels (steps + 1, layers) of each layer that are gone after each step."""
        channels = self.of.channels_of_kind[steps.kind] * steps.units[:, None]
        return np.concatenate([np.zeros_like(channels[:1]), np.cumsum(channels, axis=0)])

    def _removed(self, steps: _Steps) -> IntArray:
        """Parameters (steps + 1,) that are gone after each step."""
        return self._removed_evenly if steps is self._even else self._without(self._gone(steps))

    @cached_property
    def _removed_evenly(self) -> IntArray:
        return self._without(self._gone(self._even))

    def _without(self, gone: IntArray) -> IntArray:
        return np.asarray(self.length - self.of.parameters(gone))

    def cost(self, shared: Vector, importance: Importance) -> PruningCost | None:
        """Measured at ``KNOTS`` ratios; where the error is not convex, the greatest convex curve below it."""
        squares = np.square(shared[: self.length], dtype=np.float64)
        masks = (self.mask(importance, ratio, NONE, FIRST) for ratio in np.linspace(0.0, 1.0, KNOTS).tolist())
        return curve_of_losses(np.array([squares[~mask].sum() for mask in masks]), squares.sum())

    def counts(self, mask: Mask) -> IntArray:
        """Channels of each layer that are gone."""
        return np.asarray((1 - self.of.kept(mask).astype(np.int64)) @ self.of.channels)

    def flops(self, work: Work, device_ids: IntArray, counts: IntArray) -> FloatArray:
        """Counted from the shapes of the smaller network."""
        shared, personal = self._weights(counts)
        return work.submodels(device_ids, shared, self.of.parts.prunable_sizes, personal)

    def _weights(self, gone: IntArray) -> tuple[IntArray, FloatArray]:
        """Weights of shared layers, and the share of them in personal layers, without these channels; (n, layers) each."""
        parts = self.of.parts
        weights, own = self.of.weights(gone), np.array(parts.is_personal)
        return weights[:, ~own | parts.copy], weights[:, own] / np.array([layer.weights for layer in parts.personal])

    def flops_bound(self, work: Work) -> tuple[FloatArray, FloatArray]:
        """Scope ``layer``: all sub-models are known but for which units they have, so also their ratios and their work: the lowest line
        above all of them in the middle, at y = 1/2. It touches them there, and is exact at neither end. Scope ``global``: each weight
        that goes saves at least c = min_l c_l, so W <= W_0 - c (rho N - 1 - V), with V biases, scales and shifts that may be among them.
        """
        if self.scope == "global":
            cheapest = (work.sparse / np.array(self.of.parts.prunable_sizes)).min(axis=1)
            rest = self.removable - 1 - self.of.parts.unprunable
            return work.fixed + work.sparse.sum(axis=1) - cheapest * rest, cheapest * self.removable
        removed, gone = self._extremes()
        kept = 1.0 - (removed + 1) / self.removable  # one for rounding down
        shared, personal = self._weights(gone)
        ids = np.arange(len(work.fixed))
        parts = np.array_split(ids, -(-len(ids) * len(kept) // _POINTS))  # memory
        lines = [_line_above(kept, _work_at(work, part, shared, self.of.parts.prunable_sizes, personal)) for part in parts if len(part)]
        intercept, slope = np.concatenate(lines, axis=1)
        return intercept, slope


_POINTS: Final = 1 << 20


def _work_at(work: Work, device_ids: IntArray, kept: IntArray, sizes: tuple[int, ...], personal: FloatArray) -> FloatArray:
    """Work (n, points) of these devices with each of some sub-models (points, layers)."""
    flops = work.fixed[device_ids, None] + work.sparse[device_ids] @ (kept / np.array(sizes)).T
    return np.asarray(flops - work.personal[device_ids] @ (1.0 - personal).T)


def _line_above(x: FloatArray, y: FloatArray) -> FloatArray:
    """(a, b) (2, n) with a + b x >= y for all points x (m,), y (n, m) > 0, and a + b/2 as small as can be; b >= 0.

    The highest of y - b (x - 1/2) lies to the right of 1/2 where b is too small, else to the left: bisection.
    """
    low, high = np.zeros(len(y)), 4.0 * y.max(axis=1)
    for _ in range(50):
        middle = (low + high) / 2
        right = x[(y - middle[:, None] * (x - 0.5)).argmax(axis=1)] > 0.5
        low, high = np.where(right, middle, low), np.where(right, high, middle)
    return np.array([(y - high[:, None] * x).max(axis=1), high])
