"""The price of bandwidth for value curves without closed forms: a search on all that has been learned of them so far.

A device's *height* is the logarithm of its marginal value of bandwidth, ln d(w y)/dB. Concave value means falling height; where
it jumps, left and right height differ. Used by the extensions of problem (P); ``cosim.alloc.kkt`` has its own, faster search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from cosim.alloc.kkt import fill
from cosim.alloc.problem import falling_root
from cosim.interfaces import BoolArray, FloatArray
from cosim.rate import Blocks, Rate, TruncatedShannon

Heights: TypeAlias = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Left and right heights (m, n) at bandwidths (m, n) [Hz]; ``FLOOR`` where more of it is worth nothing."""

FLOOR = -1e4
_SETTLED, _HAIR, _ROUNDS, _GRID = 1e-12, 1e-13, 150, 9


def clear_curves(heights: Heights, span_hz: tuple[FloatArray, FloatArray], band_hz: float, kinks: Kinks) -> tuple[FloatArray, float]:
    """Bandwidths (n,) [Hz] within ``span_hz`` (least, most) at which marginal values equal one price, and that price [1/Hz].

    Everything ever asked of the curves is kept. Between known points height is taken as straight in ln B, so the next price and
    the next trials follow without asking. A device is settled when its trial meets the price, or its bracket around a jump is
    1e-13 wide; of the others every second trial is a kink in the bracket, if one is known, or its middle. Where demand jumps or
    is flat at the price, each device gets the same fraction of its interval.
    """
    least, most = span_hz
    if most.sum() <= band_hz:
        return most.copy(), 0.0
    low, high = np.log(np.maximum(least, 1e-12 * most)), np.log(most)
    known = _Known(np.vstack([np.linspace(low, high, _GRID), np.clip(kinks.log_known, low, high)]), heights)
    for step in range(_ROUNDS):
        price, few, many = known.clear(least, band_hz)
        share = fill(few, many, band_hz)
        log_b = np.clip(np.log(np.maximum(share, 1e-300)), low, high)
        left, right = known.ask(log_b, heights)
        below, above = known.around(log_b, price)
        open_ = ((left < price - _SETTLED) | (right > price + _SETTLED)) & (above - below > _HAIR)
        if not open_.any():
            break
        if step % 2:
            known.ask(np.where(open_, kinks.inside(below, above), log_b), heights)
    return share, float(np.exp(price))


class Kinks:
    """Where a rate, or whatever rides on it, is known to have kinks; ``more_hz`` (m, n): bandwidths besides those of the rate."""

    def __init__(self, rate: Rate, snr_hz: FloatArray, more_hz: FloatArray | None = None) -> None:
        self._block_hz = rate.block_hz if isinstance(rate, Blocks) else 0.0
        inner = rate.rate if isinstance(rate, Blocks) else rate
        known = [snr_hz / inner.snr_cap, snr_hz / inner.snr_min] if isinstance(inner, TruncatedShannon) else []
        rows = np.vstack([np.empty((0, snr_hz.size)), *known, *([] if more_hz is None else [more_hz])])
        self.log_known = np.log(np.maximum(rows, 1e-300))

    def inside(self, below: FloatArray, above: FloatArray) -> FloatArray:
        """A whole number of blocks near the middle of each bracket of ln B (n,), where there is one inside; else the middle."""
        middle = 0.5 * (below + above)
        if self._block_hz == 0.0:
            return middle
        with np.errstate(divide="ignore"):
            whole = np.log(np.rint(np.exp(middle) / self._block_hz) * self._block_hz)
        return np.where((whole > below + _HAIR) & (whole < above - _HAIR), whole, middle)


class _Known:
    """Points (n, 2m) of all curves, in ascending ln B: height to the left, then to the right of each bandwidth asked for."""

    def __init__(self, log_b: FloatArray, heights: Heights) -> None:
        """``log_b`` (m, n)."""
        self._log_b = np.empty((log_b.shape[1], 0))
        self._height = np.empty_like(self._log_b)
        self._insert(log_b, *heights(np.exp(log_b)))

    def ask(self, log_b: FloatArray, heights: Heights) -> tuple[FloatArray, FloatArray]:
        """Left and right heights (n,) at ln B (n,), remembered."""
        left, right = heights(np.exp(log_b)[None, :])
        self._insert(log_b[None, :], left, right)
        return left[0], right[0]

    def _insert(self, log_b: FloatArray, left: FloatArray, right: FloatArray) -> None:
        place = np.concatenate([self._log_b, np.stack([log_b, log_b], axis=-1).transpose(1, 0, 2).reshape(log_b.shape[1], -1)], axis=1)
        height = np.concatenate([self._height, np.stack([left, right], axis=-1).transpose(1, 0, 2).reshape(log_b.shape[1], -1)], axis=1)
        order = np.lexsort((-height, place), axis=1)
        self._log_b = np.take_along_axis(place, order, axis=1)
        self._height = np.minimum.accumulate(np.take_along_axis(height, order, axis=1), axis=1)  # rounding must not let it rise

    def clear(self, least: FloatArray, band_hz: float) -> tuple[float, FloatArray, FloatArray]:
        """Log price at which the known curves ask for the band, and the least and the most that they ask for at it [Hz], (n,)."""

        def excess(price: float) -> float:
            return float(np.log(max(self._demand(price, least, most=False).sum(), 1e-300) / band_hz))

        dear = float(self._height[:, 0].max()) + 1.0
        cheap = float(np.min(self._height, where=self._height > FLOOR, initial=dear)) - 1.0
        if excess(cheap) <= 0:  # the band is enough for all that is worth anything
            return FLOOR, self._demand(cheap, least, most=False), self._demand(FLOOR, least, most=True)
        price = falling_root(excess, cheap, dear)
        hair = 2e-14 * max(abs(cheap), abs(dear))  # more than the price may be off by
        return price, self._demand(price, least, most=False), self._demand(price - hair, least, most=True)

    def _demand(self, price: float, least: FloatArray, *, most: bool) -> FloatArray:
        worth = (self._height >= price) if most else (self._height > price)
        place = worth.sum(axis=1)
        row, right = np.arange(place.size), np.minimum(place, self._height.shape[1] - 1)
        left = np.maximum(right - 1, 0)
        drop = self._height[row, left] - self._height[row, right]
        part = np.divide(self._height[row, left] - price, drop, out=np.ones_like(drop), where=drop > 0)
        start, end = self._log_b[row, left], self._log_b[row, right]
        log_b = np.where(place == self._height.shape[1], self._log_b[:, -1], start + np.clip(part, 0.0, 1.0) * (end - start))
        return np.where(place == 0, least, np.exp(log_b))

    def around(self, log_b: FloatArray, price: float) -> tuple[FloatArray, FloatArray]:
        """Known points (n,) of ln B next to the price: the last at which more is still worth it, and the first at which it is not."""
        row, place = np.arange(log_b.size), (self._height > price).sum(axis=1)
        last = self._height.shape[1] - 1
        return self._log_b[row, np.clip(place - 1, 0, last)], self._log_b[row, np.clip(place, 0, last)]


def bracketed_root(function: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray, unsure: BoolArray) -> FloatArray:
    """Roots (...) of rising functions between ``low`` and ``high``, of those that are ``unsure``; the others keep ``low``.

    Method of Chandrupatla (Advances in Engineering Software 28, 1997): inverse quadratic steps where they are safe, else halving.
    """
    a, b = np.where(unsure, high, low), low.copy()
    at_a, at_b = function(a), function(b)
    c, at_c = a, at_a
    part = np.full_like(a, 0.5)
    for _ in range(100):
        trial = a + part * (b - a)
        at = function(trial)
        same = np.sign(at) == np.sign(at_a)
        c, at_c = np.where(same, a, b), np.where(same, at_a, at_b)
        b, at_b = np.where(same, b, a), np.where(same, at_b, at_a)
        a, at_a = trial, at
        best = np.where(np.abs(at_a) < np.abs(at_b), a, b)
        tolerance = 4e-16 * np.abs(best) + 1e-300
        with np.errstate(divide="ignore", invalid="ignore"):
            limit = np.minimum(tolerance / np.abs(b - a), 0.5)
            xi, psi = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
            smooth = (psi**2 < xi) & ((1.0 - psi) ** 2 < 1.0 - xi)
            step = at_a / (at_b - at_a) * at_c / (at_b - at_c) + (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
        part = np.where(smooth & np.isfinite(step), step, 0.5)
        part = np.clip(part, limit, 1.0 - limit)
        if not np.any(unsure & (np.abs(b - a) > 2.0 * tolerance) & (at_a != 0)):
            break
    return np.where(unsure, best, low)
