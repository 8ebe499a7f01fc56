"""How much bandwidth each device takes at a price: the inside of the search for the multiplier.

At price lambda a device takes the B that maximises w y(B) - lambda B over its range [B_min, B_max], so w y'(B) = lambda in the inside.
All of it happens in logarithms (of bandwidth, price and marginal value), which makes gains, sizes and weights of any magnitude alike.
"""

from __future__ import annotations

import math

import numpy as np

from cosim.alloc.closed_forms import log_pull
from cosim.interfaces import AllocationProblem, FloatArray
from cosim.rate import Blocks, ErgodicRayleigh, Rate, Shannon, TruncatedShannon

_TINY = 1e-30
"""A device whose range begins at 0 is followed down to this part of its upper end."""
_PROBE = 1e-6
_CHUNK = 8192
_TABLE_ENTRIES = 2_000_000
"""Devices x straight pieces up to which the pieces are tabulated (some 60 MB)."""


class Demand:
    """Devices that have a choice: 0 <= ``least_hz`` < ``most_hz`` < inf, arrays (n,), and bandwidth is worth something to all."""

    def __init__(self, problem: AllocationProblem, least_hz: FloatArray, most_hz: FloatArray) -> None:
        self.least_hz, self.most_hz = least_hz, most_hz
        self._snr_hz, self._compute_s, self._bits = problem.snr_hz, problem.prunable_time_s, problem.prunable_bits
        self._pull = log_pull(problem)
        self._chords: list[Blocks | TruncatedShannon] = []
        self._smooth: Rate = problem.rate
        while isinstance(self._smooth, Blocks | TruncatedShannon):
            self._chords.insert(0, self._smooth)
            self._smooth = self._smooth.curved()
        self._low, self._high = np.log(np.maximum(least_hz, _TINY * most_hz)), np.log(most_hz)
        self._at_low, self._at_high = self._height(self._low), self._height(self._high)
        self._table = self._tabulated()

    @property
    def is_smooth(self) -> bool:
        """Whether demand has neither kinks nor jumps."""
        return not self._chords

    def log_prices(self) -> tuple[float, float]:
        """Log prices between which the demand passes from all of ``most_hz`` to ``least_hz`` (next to nothing where that is 0)."""
        edges = [self._at_low, self._at_high]
        edges += [self._log_marginal(chord, b) for chord in self._chords[-1:] for b in (np.exp(self._low), self.most_hz)]
        return float(min(edge.min() for edge in edges)) - 1e-9, float(max(edge.max() for edge in edges)) + 1e-9

    def typical_log_price(self, few_hz: FloatArray, many_hz: FloatArray) -> float:
        """Median, over the devices whose shares differ, of the log marginal value half-way between two sets of shares."""
        differ = many_hz > few_hz
        rate = self._chords[-1] if self._chords else self._smooth
        return float(np.median(self._log_marginal(rate, 0.5 * (few_hz + many_hz))[differ]))

    def at(self, log_price: float, guess_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Shares [Hz] (n,) at a price, and what they would be were the rate smooth: the next search's ``guess_hz``.

        Where an interval is equally good, the share is one of its ends.
        A chord's slope lies between the derivatives at its ends, so the demand under chords lies in the piece that holds the
        demand under the rate whose chords they are: that one first, then one straight piece.
        """
        if self._table is not None:
            return np.clip(self._table.at(log_price), self.least_hz, self.most_hz), guess_hz
        smooth = share = self._search(log_price, guess_hz)
        for chord in self._chords:
            share = np.clip(self._on_piece(chord, log_price, share), self.least_hz, self.most_hz)
        return share, smooth

    def clear_smoothly(self, share_hz: FloatArray, band_hz: float) -> tuple[FloatArray, float] | None:
        """Shares that sum to the band, and their log price, were the rate smooth; None if the iteration does not settle.

        Newton's method for all devices and the price at once: around its present share each device's demand is a power law in the
        price, cut to its range, and for power laws the price that clears the band is found without asking for rates.
        """
        log_b = np.clip(np.log(np.maximum(share_hz, _TINY * self.most_hz)), self._low, self._high)
        height = self._height(log_b)
        slope = np.minimum((self._height(log_b + _PROBE) - height) / _PROBE, -_PROBE)
        log_price = float(np.average(height, weights=np.exp(log_b)))
        for _ in range(30):
            log_price, trial = self._clear_power_laws(log_b, height, slope, (log_price, band_hz))
            moved = trial - log_b
            if np.abs(moved).max() <= 1e-12:
                share = np.exp(trial)
                return (share, log_price) if abs(share.sum() / band_hz - 1.0) <= 1e-12 else None
            before, log_b, height = height, trial, self._height(trial)
            far = np.abs(moved) > 1e-7
            slope = np.where(far, np.minimum((height - before) / np.where(far, moved, 1.0), -_PROBE), slope)
        return None

    def _clear_power_laws(
        self, log_b: FloatArray, height: FloatArray, slope: FloatArray, target: tuple[float, float]
    ) -> tuple[float, FloatArray]:
        """Log price at which the power laws B e^((log price - height) / slope), cut to the ranges, sum to the band, and their log B."""
        log_price, band_hz = target
        cheap = float((height + slope * (self._high - log_b)).min())
        dear = float((height + slope * (self._low - log_b)).max())
        for _ in range(100):
            trial = log_b + (log_price - height) / slope
            inside = (trial > self._low) & (trial < self._high)
            trial = np.clip(trial, self._low, self._high)
            share = np.exp(trial)
            excess = float(np.log(max(share.sum() / band_hz, 1e-30)))
            cheap, dear = (max(cheap, log_price), dear) if excess > 0 else (cheap, min(dear, log_price))
            gain = float(np.sum(share[inside] / slope[inside])) / band_hz
            step = -excess / gain if gain < 0 else np.inf
            if abs(excess) <= 1e-15 or abs(step) <= 1e-14 or dear - cheap <= 1e-14:
                break
            log_price = log_price + step if cheap < log_price + step < dear else 0.5 * (cheap + dear)
        return log_price, trial

    def _tabulated(self) -> _Pieces | None:
        """The straight pieces of all devices, where the rate is one of whole blocks and the table stays small."""
        if not self._chords or not isinstance(self._chords[-1], Blocks):
            return None
        pieces = math.ceil(float(self.most_hz.max(initial=0.0)) / self._chords[-1].block_hz) + 1
        if pieces * len(self.most_hz) > _TABLE_ENTRIES:
            return None
        return _Pieces(self._chords[-1], pieces, self._snr_hz, self._pull, (self._compute_s, self._bits))

    def _search(self, log_price: float, guess_hz: FloatArray) -> FloatArray:
        """Root of ln w y'(B) = log price in log B: Newton's method with a difference quotient, kept inside a bracket.

        Where a step leaves the bracket, or is not half as long as the one before, the middle is tried.
        """
        low, high = self._low.copy(), self._high.copy()
        at_low, at_high = self._at_low <= log_price, self._at_high >= log_price
        high, low = np.where(at_low, low, high), np.where(at_high, high, low)
        log_b = np.clip(np.log(np.maximum(guess_hz, _TINY * self.most_hz)), low, high)
        last = high - low
        for _ in range(200):
            height = self._height(log_b) - log_price
            low, high = np.where(height >= 0, np.maximum(low, log_b), low), np.where(height <= 0, np.minimum(high, log_b), high)
            slope = np.minimum((self._height(log_b + _PROBE) - log_price - height) / _PROBE, -1e-300)
            trial = log_b - height / slope
            good = (trial >= low) & (trial <= high) & (np.abs(trial - log_b) <= 0.5 * last)
            trial = np.where(good, trial, 0.5 * (low + high))
            last = np.abs(trial - log_b)
            log_b = trial
            if np.all((good & (last <= 1e-9)) | (high - low <= 1e-14)):
                break
        return np.where(at_low, self.least_hz, np.where(at_high, self.most_hz, np.exp(log_b)))

    def _on_piece(self, rate: Blocks | TruncatedShannon, log_price: float, nearby_hz: FloatArray) -> FloatArray:
        """Demand on the straight piece that holds ``nearby_hz``, where R = R_0 + sigma (B - B_0).

        w C sigma / (t_u R + Q)^2 = lambda gives t_u R + Q = sqrt(w C sigma / lambda): solved for B, cut to the piece.
        """
        left, right = rate.piece(nearby_hz, self._snr_hz)
        straight = right > left
        width = np.where(straight, right - left, 1.0)
        below = rate.value(left, self._snr_hz)
        rise = np.where(straight, rate.value(right, self._snr_hz) - below, 0.0)
        with np.errstate(divide="ignore", over="ignore"):
            reach = np.exp(0.5 * (self._pull + np.log(rise / width) - log_price)) - (self._compute_s * below + self._bits)
        span = self._compute_s * rise
        part = np.divide(reach, span, out=np.where(reach >= 0, 1.0, 0.0), where=span > 0)
        return np.where(straight, left + np.clip(part, 0.0, 1.0) * width, nearby_hz)

    def _height(self, log_b: FloatArray) -> FloatArray:
        return self._log_marginal(self._smooth, np.exp(log_b))

    def _log_marginal(self, rate: Rate, bandwidth_hz: FloatArray) -> FloatArray:
        """ln(w C R' / (t_u R + Q)^2) as in ``closed_forms.log_marginal``, at least -1e4 so that it stays finite."""
        result = np.empty_like(bandwidth_hz)
        for start in range(0, result.size, _CHUNK):  # temporaries that stay in the cache
            part = slice(start, start + _CHUNK)
            value, slope = _tangent(rate, bandwidth_hz[part], self._snr_hz[part])
            work = self._compute_s[part] * value + self._bits[part]
            with np.errstate(divide="ignore"):
                result[part] = np.maximum(self._pull[part] + np.log(slope / (work * work)), -1e4)
        return result


def _tangent(rate: Rate, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
    if isinstance(rate, Shannon | ErgodicRayleigh):
        return rate.tangent(bandwidth_hz, snr_hz)
    return rate.value(bandwidth_hz, snr_hz), rate.derivative(bandwidth_hz, snr_hz)


class _Pieces:
    """The straight pieces of block-wise rates, tabulated: demand at a price is a look-up and one closed form.

    On piece m, R = R_m + sigma_m (B - m W): the marginal value w C sigma_m / (t_u R + Q)^2 falls along the piece and from piece
    to piece, so all pieces whose right end is still worth the price are taken, and a part of the next one.
    """

    def __init__(self, rate: Blocks, pieces: int, snr_hz: FloatArray, pull: FloatArray, work: tuple[FloatArray, FloatArray]) -> None:
        """``pull`` (n,): ln(w C); ``work``: t_u and Q (n,)."""
        compute_s, bits = work
        value = rate.rate.value(np.arange(pieces + 1) * rate.block_hz, snr_hz[:, None])
        rise = np.diff(value, axis=1)
        self._block_hz, self._span = rate.block_hz, compute_s[:, None] * rise
        self._done = compute_s[:, None] * value + bits[:, None]
        with np.errstate(divide="ignore"):
            self._log_gain = pull[:, None] + np.log(rise / rate.block_hz)
            self._log_end = self._log_gain - 2.0 * np.log(self._done[:, 1:])
        self._row = np.arange(len(pull))

    def at(self, log_price: float) -> FloatArray:
        """Bandwidths [Hz] (n,) wanted at a price; where a whole piece is equally good, one of its ends."""
        piece = np.minimum((self._log_end > log_price).sum(axis=1), self._log_end.shape[1] - 1)
        reach = np.exp(0.5 * (self._log_gain[self._row, piece] - log_price)) - self._done[self._row, piece]
        span = self._span[self._row, piece]
        part = np.divide(reach, span, out=np.where(reach >= 0, 1.0, 0.0), where=span > 0)
        return np.asarray((piece + np.clip(part, 0.0, 1.0)) * self._block_hz)
