"""How much bandwidth each device takes at a price: the inside of the search for the multiplier.

At price lambda a device takes the B that maximises w y(B) - lambda B over its range [B_min, B_max], so w y'(B) = lambda in the inside.
All of it happens in logarithms (of bandwidth, price and marginal value), which makes gains, sizes and weights of any magnitude alike.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from cosim.alloc.closed_forms import log_pull
from cosim.alloc.pieces import Pieces, end_of_piece
from cosim.interfaces import AllocationProblem, FloatArray
from cosim.rate import Blocks, Rate, TruncatedShannon, expansion

_TINY = 1e-30
"""A device whose range begins at 0 is followed down to this part of its upper end."""
_FLAT = -1e-6
"""Slopes of log marginal value over log bandwidth are taken as at least this steep."""
_CHUNK = 8192


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

    def log_prices(self) -> tuple[float, float]:
        """Log prices between which the demand passes from all of ``most_hz`` to ``least_hz`` (next to nothing where that is 0)."""
        edges = list(self._edges)
        edges += [self._log_marginal(chord, b) for chord in self._chords[-1:] for b in (np.exp(self._low), self.most_hz)]
        return float(min(edge.min() for edge in edges)) - 1e-9, float(max(edge.max() for edge in edges)) + 1e-9

    def typical_log_price(self, few_hz: FloatArray, many_hz: FloatArray) -> float:
        """Median, over the devices whose shares differ, of the log marginal value half-way between two sets of shares."""
        differ = many_hz > few_hz
        rate = self._chords[-1] if self._chords else self._smooth
        return float(np.median(self._log_marginal(rate, 0.5 * (few_hz + many_hz))[differ]))

    def at(self, log_price: float, guess_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Shares [Hz] (n,) at a price, and where the next search may begin, its ``guess_hz``.

        Where an interval is equally good, the share is one of its ends. Whole blocks: the piece is found by bisection. The straight piece
        of the truncated rate is a chord of the smooth one: its slope lies between the derivatives at its ends, so demand lies
        in it where that under the smooth rate does.
        """
        if self._chords and isinstance(self._chords[-1], Blocks):
            share = self._on_blocks(self._chords[-1], log_price, guess_hz)
            return share, share
        smooth = share = self._search(log_price, guess_hz)
        for chord in self._chords:
            share = np.clip(self._on_piece(chord, log_price, share), self.least_hz, self.most_hz)
        return share, smooth

    def around(self, share_hz: FloatArray, log_price: float) -> Pieces | None:
        """A few straight pieces of each device around its share, near a price; None where pieces are not all there is."""
        if not self._chords or not isinstance(self._chords[-1], Blocks):
            return None
        knots = self._chords[-1].knots(share_hz, self._snr_hz)
        return Pieces(knots, (self.least_hz, self.most_hz), (self._pull, self._compute_s, self._bits), log_price)

    def _tangents(self, log_b: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log marginal value of the smooth rate, ln(w C R' / (t_u R + Q)^2) >= -1e4, and its derivative by log B, (..., n)."""
        height, slope = np.empty_like(log_b), np.empty_like(log_b)
        for start in range(0, log_b.shape[-1], _CHUNK):  # temporaries that stay in the cache
            part = (..., slice(start, start + _CHUNK))
            bandwidth, compute_s = np.exp(log_b[part]), self._compute_s[part]
            value, rise, bend = expansion(self._smooth, bandwidth, self._snr_hz[part])
            work = compute_s * value + self._bits[part]
            with np.errstate(divide="ignore"):
                height[part] = np.maximum(self._pull[part] + np.log(rise / (work * work)), -1e4)
            slope[part] = np.minimum(-2.0 * compute_s * bandwidth * rise / work - bend, _FLAT)
        return height, slope

    @cached_property
    def _edges(self) -> FloatArray:
        """Log marginal value of the smooth rate at the lower and the upper end of the ranges, (2, n)."""
        return self._tangents(np.stack([self._low, self._high]))[0]

    def _search(self, log_price: float, guess_hz: FloatArray) -> FloatArray:
        """Root of ln w y'(B) = log price in log B: Newton's method, kept inside a bracket.

        Where a step leaves the bracket, or is not half as long as the one before, the middle is tried.
        """
        at_low, at_high = self._edges[0] <= log_price, self._edges[1] >= log_price
        high, low = np.where(at_low, self._low, self._high), np.where(at_high, self._high, self._low)
        log_b = np.clip(np.log(np.maximum(guess_hz, _TINY * self.most_hz)), low, high)
        last = high - low
        for _ in range(200):
            height, slope = self._tangents(log_b)
            height -= log_price
            low, high = np.where(height >= 0, np.maximum(low, log_b), low), np.where(height <= 0, np.minimum(high, log_b), high)
            trial = log_b - height / slope
            good = (trial >= low) & (trial <= high) & (np.abs(trial - log_b) <= 0.5 * last)
            trial = np.where(good, trial, 0.5 * (low + high))
            last = np.abs(trial - log_b)
            log_b = trial
            if np.all((good & (last <= 1e-8)) | (high - low <= 1e-14)):
                break
        return np.where(at_low, self.least_hz, np.where(at_high, self.most_hz, np.exp(log_b)))

    def _on_blocks(self, rate: Blocks, log_price: float, guess_hz: FloatArray) -> FloatArray:
        """Demand under whole blocks: the first piece whose end is not worth the price, by doubling steps from the guess, then bisection."""
        width = rate.block_hz
        first, last = np.floor(self.least_hz / width), np.ceil(self.most_hz / width)
        piece, stride = np.clip(np.floor(guess_hz / width), first, last), 1.0
        while np.any(first < last):
            log_end = end_of_piece(rate, piece, self._snr_hz, (self._pull, self._compute_s, self._bits))
            worth = log_end > log_price
            first, last = np.where(worth, np.minimum(piece + 1.0, last), first), np.where(worth, last, np.maximum(piece, first))
            ahead = np.where(worth, piece + stride, piece - stride)
            piece = np.where((ahead >= first) & (ahead < last), ahead, np.floor(0.5 * (first + last)))
            stride *= 2.0
        return np.clip(self._on_piece(rate, log_price, (first + 0.5) * width), self.least_hz, self.most_hz)

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

    def _log_marginal(self, rate: Rate, bandwidth_hz: FloatArray) -> FloatArray:
        """ln(w C R' / (t_u R + Q)^2) as in ``closed_forms.log_marginal``, at least -1e4 so that it stays finite."""
        value, slope = rate.value(bandwidth_hz, self._snr_hz), rate.derivative(bandwidth_hz, self._snr_hz)
        work = self._compute_s * value + self._bits
        with np.errstate(divide="ignore"):
            return np.maximum(self._pull + np.log(slope / (work * work)), -1e4)
