"""Demand under rates of whole blocks: straight pieces, on which everything has a closed form.

On a piece R = R_m + sigma_m (B - B_m), and w y' = lambda reads t_u R + Q = sqrt(w C sigma_m) v with v = lambda^(-1/2), the *thrift*. So a
device's demand is piecewise linear in v: it rises along a piece, waits at a knot until the next piece is worth its price, and so on.
"""

from __future__ import annotations

import math

import numpy as np

from cosim.interfaces import FloatArray
from cosim.rate import Blocks

Knots = tuple[FloatArray, FloatArray]
"""Bandwidths [Hz] and rates [bit/s] at successive knots, (m + 1, n)."""
Worth = tuple[FloatArray, FloatArray, FloatArray]
"""ln(w C), t_u [s] and Q [bit] of each device, (n,)."""


class Pieces:
    """Demand of devices that keep to a few successive pieces, cut to their ranges: a ``Demand`` at the price of a few sums."""

    def __init__(self, knots: Knots, ranges: tuple[FloatArray, FloatArray], worth: Worth, log_price: float) -> None:
        """``ranges``: least and most [Hz] (n,). ``log_price``: thrift is measured in units of that at this price."""
        bandwidth, rate = knots
        pull, compute_s, bits = worth
        rise, width = rate[1:] - rate[:-1], bandwidth[1:] - bandwidth[:-1]
        inside = np.minimum(np.maximum(bandwidth, ranges[0]), ranges[1])
        self._width = inside[1:] - inside[:-1]
        slope = compute_s * rise / width
        start, end = inside[:-1] - bandwidth[:-1], inside[1:] - bandwidth[:-1]
        work = compute_s * rate[:-1] + bits
        self._unit = log_price
        with np.errstate(divide="ignore"):
            scale = 0.5 * (log_price - pull - np.log(rise / width))
            begins, ends = (np.exp(np.minimum(np.maximum(np.log(work + slope * at) + scale, -300.0), 300.0)) for at in (start, end))
        self._begins, self._per_thrift = begins, self._width / np.maximum(ends - begins, 1e-16 * ends)
        self.least_hz, self.most_hz = inside[0], inside[-1]
        self._stops = (self.least_hz <= ranges[0]), (self.most_hz >= ranges[1])
        used = self._width > 0
        self._thrifts = (begins[used].min(initial=1.0), ends[used].max(initial=1.0))

    def log_prices(self) -> tuple[float, float]:
        """Log prices between which the demand passes from all of ``most_hz`` to ``least_hz``."""
        least, most = self._thrifts
        return self._unit - 2.0 * math.log(most) - 1e-9, self._unit - 2.0 * math.log(least) + 1e-9

    def typical_log_price(self, few_hz: FloatArray, many_hz: FloatArray) -> float:
        """Median log price at which pieces begin, over those between two sets of shares."""
        left = self.least_hz + np.cumsum(self._width, axis=0) - self._width
        between = (self._width > 0) & (left < many_hz) & (left + self._width > few_hz)
        return self._unit - 2.0 * math.log(float(np.median(self._begins[between]))) if between.any() else math.nan

    def at(self, log_price: float, guess_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Shares [Hz] (n,) at a price; where a whole piece is equally good, one of its ends. The guess is not used."""
        thrift = math.exp(min(max(0.5 * (self._unit - log_price), -300.0), 300.0))
        taken = np.minimum(np.maximum((thrift - self._begins) * self._per_thrift, 0.0), self._width)
        return self.least_hz + np.add.reduce(taken), guess_hz

    def hold(self, share_hz: FloatArray) -> bool:
        """Whether these shares keep away from the first and the last knot, except where these are the ends of the range.

        Then they are the demand among all pieces too: marginal values fall from piece to piece.
        """
        at_first, at_last = share_hz <= self.least_hz, share_hz >= self.most_hz
        return bool(np.all((~at_first | self._stops[0]) & (~at_last | self._stops[1])))


def end_of_piece(rate: Blocks, piece: FloatArray, snr_hz: FloatArray, worth: Worth) -> FloatArray:
    """Log marginal value of each device's bandwidth at the right end of its piece, seen from the left, (n,)."""
    pull, compute_s, bits = worth
    below, above = rate.rate.value(np.stack([piece, piece + 1.0]) * rate.block_hz, snr_hz)
    work = compute_s * above + bits
    with np.errstate(divide="ignore"):
        return np.asarray(pull + np.log((above - below) / rate.block_hz / (work * work)))
