"""The price at which devices' demands for bandwidth add up to the band: Newton's method for all of them and the price at once.

At price lambda a device takes the B that maximises w y(B) - lambda B over its range, so w y'(B) = lambda in the inside. All of it happens
in logarithms (of bandwidth, price and marginal value), which makes gains, sizes and weights of any magnitude alike. Around its present
share a device's demand is a power law in the price, cut to its range.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cosim.interfaces import FloatArray
from cosim.rate import Rate, TruncatedShannon, expansion

_STEPS = 25
_SEARCH = 60
_CLOSE = 1e-3
"""Differences from the price below which shares are made to sum to the band to rounding, a few ulps below it."""
_DEEP = 1e-30
"""A device whose range begins at 0 is followed down to this part of its upper end."""
_CHUNK = 8192
"""Devices that are worked on at a time, so that their arrays stay in the cache."""

# a ufunc takes an array without dimensions in half the time that it takes a Python float
_ONE, _TWO, _HALF, _FLOOR = (np.array(value) for value in (1.0, 2.0, 0.5, -1e4))


class Cleared(NamedTuple):
    """Shares [Hz] that sum to the band, and the log price; R [bit/s] and log marginal value at these very shares if the rate is smooth."""

    share_hz: FloatArray
    log_price: float
    rate_bps: FloatArray | None
    height: FloatArray | None


class Terms(NamedTuple):
    """What decides demand: a rate, s [Hz], t_u [s], Q [bit], ln w (A Q + t_u Q0), least and most bandwidth [Hz]; arrays (n,).

    Bandwidth is worth something to all devices, and 0 <= least < most < inf.
    """

    rate: Rate
    snr_hz: FloatArray
    compute_s: FloatArray
    bits: FloatArray
    pull: FloatArray
    least_hz: FloatArray
    most_hz: FloatArray


def clear_market(terms: Terms, band_hz: float, tolerance: float) -> Cleared | None:
    """Shares within their ranges at which marginal values equal one price and the sum is ``band_hz``; O(n) memory.

    For smooth rates and the capped Shannon bound. ``tolerance``: largest difference between log marginal value and log price, and
    relative error of the sum. None where the iteration does not settle, as where demand jumps at the price.
    """
    size = terms.snr_hz.size
    kind = _Capped if isinstance(terms.rate, TruncatedShannon) else _Devices
    if size <= _CHUNK:
        parts = [kind(terms)]
    else:
        parts = [kind(Terms(terms[0], *(column[k : k + _CHUNK] for column in terms[1:]))) for k in range(0, size, _CHUNK)]
    log_price = _settle(parts, band_hz, tolerance)
    if log_price is None:
        return None
    share = _joined([part.share for part in parts])
    if kind is _Capped:
        return Cleared(share, log_price, None, None)
    return Cleared(share, log_price, _joined([part.rate_bps for part in parts]), _joined([part.height for part in parts]))


def _joined(rows: list[FloatArray]) -> FloatArray:
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _settle(parts: list[_Devices], band_hz: float, tolerance: float) -> float | None:
    """The log price, with the parts at their shares there."""
    log_price, total = math.nan, 0.0
    for part in parts:
        total += part.start()
    for _ in range(_STEPS):
        miss = -1.0
        for part in parts:
            miss = max(part.look(log_price), miss)  # stays NaN
        if miss <= tolerance and abs(total / band_hz - 1.0) <= tolerance:
            return log_price
        found = _price(parts, band_hz, (log_price, total), 0.1 * min(0.3, miss) + 1e-13)
        if found is None:
            return None
        log_price, total = found
        if miss < _CLOSE:
            total = _move(parts, log_price, band_hz, total)
    return None


def _price(parts: list[_Devices], band_hz: float, last: tuple[float, float], tolerance: float) -> tuple[float, float] | None:
    """The log price at which the power laws, cut to the ranges, sum to the band but for ``tolerance``, and their sum there.

    A first guess by straight lines through the present shares, at the ``last`` log price and sum; then Newton's method for the log of the
    sum, in a bracket.
    """
    log_price, total = last
    gain, worth, cheap, dear = _gain(parts, log_price), 0.0, -math.inf, math.inf
    for part in parts:
        worth += part.worth(log_price)
    ahead = (total - band_hz + worth) / gain if gain > 0 else math.nan
    for _ in range(_SEARCH):
        if not math.isfinite(ahead):
            return None
        log_price, total = ahead, 0.0
        for part in parts:
            total += part.follow(log_price)
        excess = math.log(max(total / band_hz, 1e-30))
        if abs(excess) <= tolerance:
            return log_price, total
        cheap, dear = (log_price, dear) if excess > 0 else (cheap, log_price)
        gain = _gain(parts, log_price)
        ahead = log_price + excess * total / gain if gain > 0 else math.nan
        if not cheap < ahead < dear:
            if math.isinf(dear - cheap):
                ends = [part.log_prices() for part in parts]
                cheap, dear = max(cheap, min(low for low, _ in ends)), min(dear, max(high for _, high in ends))
            ahead = 0.5 * (cheap + dear)
        if dear - cheap <= 1e-14 * (1.0 + abs(log_price)):
            return None
    return None


def _gain(parts: list[_Devices], log_price: float) -> float:
    """How much more all would take if the log price fell by 1."""
    gain = 0.0
    for part in parts:
        gain += part.gain(log_price)
    return gain


def _move(parts: list[_Devices], log_price: float, band_hz: float, total: float) -> float:
    """Shares moved along their laws so that they sum to the band; the sum."""
    gain = _gain(parts, log_price)
    if not gain > 0:
        return total
    aim = band_hz * (1.0 - 2e-15)
    for part in parts:
        part.move((aim - total) / gain)
    return aim


class _Devices:
    """Some devices: their shares, and the power laws ln B = at_zero - log price / fall around them, fall = -d ln w y' / d ln B."""

    def __init__(self, terms: Terms) -> None:
        self._rate, self._snr, self._compute, self._bits, self._pull, least, most = terms
        self._low, self._high = np.log(np.maximum(least, _DEEP * most)), np.log(most)
        self._log_b = _HALF * (self._low + self._high)
        self._free = self._low < self._high
        self._twice_compute = _TWO * self._compute

    def start(self) -> float:
        """Half-way through the ranges; the sum of the shares."""
        self.share = np.exp(self._log_b)
        return float(np.add.reduce(self.share))

    def look(self, log_price: float) -> float:
        """Power laws around the present shares. How far from the price are those not at an end of their range (NaN: no price yet)."""
        return self._look(self.share, log_price)

    def _look(self, share: FloatArray, log_price: float) -> float:
        """R and the log marginal value ln(w C R' / (t_u R + Q)^2), and how steeply it falls."""
        self.rate_bps, slope, bend = expansion(self._rate, share, self._snr)
        work = self._compute * self.rate_bps + self._bits
        self.height = np.maximum(np.log(slope / (work * work)) + self._pull, _FLOOR)
        self._per_fall = _ONE / (self._twice_compute * share * slope / work + bend)
        self._at_zero = self._log_b + self.height * self._per_fall
        off = (self.height - log_price) * self._free
        return math.sqrt(float(off.dot(off)))

    def worth(self, log_price: float) -> float:  # noqa: ARG002
        """Sum of gains times log marginal values, after ``gain``."""
        return float(self._gains.dot(self.height))

    def follow(self, log_price: float) -> float:
        """The laws at a price, cut to the ranges: sets the shares, returns their sum."""
        law = self._at_zero - log_price * self._per_fall
        self._log_b = np.minimum(np.maximum(law, self._low), self._high)
        self._free = law == self._log_b
        self.share = np.exp(self._log_b)
        return float(np.add.reduce(self.share))

    def gain(self, log_price: float) -> float:  # noqa: ARG002
        """How much more they would take if the log price fell by 1."""
        self._gains = self.share * self._per_fall * self._free
        return float(np.add.reduce(self._gains))

    def move(self, step: float) -> None:
        """As if the log price fell by a tiny step, after ``gain``."""
        more = step * self._gains
        self._log_b = self._log_b + more / self.share
        self.share = self.share + more

    def log_prices(self) -> tuple[float, float]:
        """Log prices outside of which the laws are at the ends of the ranges."""
        low, high = ((self._at_zero - end) / self._per_fall for end in (self._high, self._low))
        return float(low.min()) - 1.0, float(high.max()) + 1.0


class _Capped(_Devices):
    """The same under the capped Shannon bound: R = c B up to B_cap, where the smooth rate alpha log2(1 + s/B) meets it at a kink.

    Demand lies in the straight piece where that under the smooth rate does. There t_u c B + Q = sqrt(w C c / lambda): a closed form.
    Laws, heights and log shares are of the smooth rate, at B_cap or beyond.
    """

    def __init__(self, terms: Terms) -> None:
        rate = terms.rate
        assert isinstance(rate, TruncatedShannon)
        super().__init__(terms._replace(rate=rate.curved()))
        cap, self._cap_bps_hz = self._snr / rate.snr_cap, rate.efficiency_max_bps_hz
        self._straight_most = np.minimum(cap, terms.most_hz)
        self._least = terms.least_hz
        self._cap = np.where(self._least >= cap, -np.inf, np.where(terms.most_hz <= cap, np.inf, np.log(cap)))
        self._low = np.minimum(np.maximum(self._low, np.log(cap)), self._high)
        self._curved = self._free

    def look(self, log_price: float) -> float:
        """At the present shares, or the kink where they are below it."""
        self._log_b = np.maximum(self._log_b, self._low)
        return self._look(np.exp(self._log_b), log_price)

    def worth(self, log_price: float) -> float:
        """Devices in the straight piece are at the price."""
        return float(self._gains.dot(np.where(self._curved, self.height, log_price)))

    def follow(self, log_price: float) -> float:
        law = self._at_zero - log_price * self._per_fall
        self._curved = law > self._cap
        self._log_b = np.minimum(np.maximum(law, self._low), self._high)
        self._free = self._curved & (law == self._log_b)
        self._reach = np.exp(_HALF * (self._pull + (math.log(self._cap_bps_hz) - log_price)))
        law = (self._reach - self._bits) / (self._compute * self._cap_bps_hz)
        straight = np.minimum(np.maximum(law, self._least), self._straight_most)
        self._inside = law == straight
        self.share = np.where(self._curved, np.exp(self._log_b), straight)
        return float(np.add.reduce(self.share))

    def gain(self, log_price: float) -> float:
        if log_price != log_price:  # noqa: PLR0124 - NaN: no price yet
            return super().gain(log_price)
        straight = _HALF * self._reach / (self._compute * self._cap_bps_hz)
        self._gains = np.where(self._curved, self.share * self._per_fall * self._free, np.where(self._inside, straight, 0.0))
        return float(np.add.reduce(self._gains))
