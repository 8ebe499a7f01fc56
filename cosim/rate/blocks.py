"""Whole blocks handed out in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from cosim.rate.base import FloatArray, Rate, Side, Triple, arrays


@final
@dataclass(frozen=True)
class Blocks:
    """Linear interpolation of a rate at multiples of the block width W: what whole blocks handed out in turn realise.

    A mean share of (j + f) blocks is j + 1 blocks for the fraction f of the time and j for the rest, so
    R(B) = (1 - f) R0(jW) + f R0((j + 1)W). ``block_hz``: W > 0 [Hz]. A share that is a whole number of blocks up to rounding
    (1e-12 of it) counts as one.
    """

    rate: Rate
    block_hz: float

    def __post_init__(self) -> None:
        if not 0 < self.block_hz < np.inf:
            raise ValueError(f"block_hz must be positive and finite, not {self.block_hz!r} Hz")

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = arrays(bandwidth_hz, snr_hz)
        finite = np.isfinite(b)
        if not finite.all():
            return np.where(finite, self.value(np.where(finite, b, 0.0), s), self.rate.supremum(s))
        left, right = self._ends(b, "right")
        below, above = self.rate.value(np.stack([left, right]), s)
        return np.asarray(below + (above - below) * ((b - left) / self.block_hz))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        b, s = arrays(bandwidth_hz, snr_hz)
        left, right = self._ends(np.where(np.isfinite(b), b, 0.0), side)
        below, above = self.rate.value(np.stack([left, right]), s)
        slope = (above - below) / self.block_hz
        return np.where(np.isfinite(b), slope, 0.0)

    def sides(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Triple:
        """R(B), left and right derivative at the price of one of them, for float64 arrays of one shape, 0 <= B < inf."""
        left, right = self._ends(bandwidth_hz, "right")
        before, here = self._ends(bandwidth_hz, "left")
        low, middle, below, above = self.rate.value(np.stack([before, here, left, right]), snr_hz)
        slope = (above - below) / self.block_hz
        return below + slope * (bandwidth_hz - left), (middle - low) / self.block_hz, slope

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """In the block where the rate itself reaches r: the interpolation is below it and meets it at the block's ends."""
        r, s = arrays(rate_bps, snr_hz)
        smooth = self.rate.inverse(r, s)
        reached = np.isfinite(smooth)
        left, right = self._ends(np.where(reached, smooth, 0.0), "left")
        below, above = self.rate.value(np.stack([left, right]), s)
        step = above - below
        share = np.clip(np.divide(r - below, step, out=np.zeros_like(step), where=step > 0), 0.0, 1.0)
        return np.where(reached, left + share * self.block_hz, np.inf)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return self.rate.supremum(snr_hz)

    def curved(self) -> Rate:
        """The rate of which this one takes the chords."""
        return self.rate

    def piece(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Ends [Hz] of the straight piece that holds B, the right one where B is a kink."""
        b, _ = arrays(bandwidth_hz, snr_hz)
        return self._ends(b, "right")

    def knots(self, bandwidth_hz: FloatArray, snr_hz: FloatArray, beside: int = 2) -> tuple[FloatArray, FloatArray]:
        """Ends [Hz] of the piece that holds B and of ``beside`` pieces on both sides, and R [bit/s] there, (2 beside + 2, n)."""
        first = np.maximum(np.floor(bandwidth_hz / self.block_hz) - beside, 0.0)
        knots = (first + np.arange(2.0 * beside + 2.0)[:, None]) * self.block_hz
        return knots, self.rate.value(knots, snr_hz)

    def _ends(self, bandwidth_hz: FloatArray, side: Side) -> tuple[FloatArray, FloatArray]:
        count = bandwidth_hz / self.block_hz
        whole = np.rint(count)
        at_kink = np.abs(count - whole) <= 1e-12 * whole
        first = np.where(at_kink, whole, np.floor(count))
        if side == "left":
            first = np.maximum(first - at_kink, 0.0)
        return first * self.block_hz, (first + 1.0) * self.block_hz
