"""How much bandwidth each device takes at a price: the inside of the search for the multiplier.

At price lambda a device takes the B that maximises w y(B) - lambda B over its range [B_min, B_max], so w y'(B) = lambda in the inside.
All of it happens in logarithms (of bandwidth, price and marginal value), which makes gains, sizes and weights of any magnitude alike.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from cosim.alloc.closed_forms import log_marginal, log_pull
from cosim.interfaces import AllocationProblem, FloatArray
from cosim.rate import Blocks, Rate, TruncatedShannon


@dataclasses.dataclass(frozen=True)
class Demand:
    """The devices that have a choice: 0 <= ``least`` < ``most`` < inf [Hz], arrays (n,), and a positive marginal value at ``least``."""

    problem: AllocationProblem
    least: FloatArray
    most: FloatArray

    def at(self, log_price: float, guess_hz: FloatArray) -> FloatArray:
        """Bandwidths [Hz] (n,) that the devices take at a price; where several are equally good, one end of them.

        ``guess_hz``: where the search starts.
        """
        return _demand(self.problem, self.problem.rate, log_price, (self.least, self.most, guess_hz))

    def log_prices(self) -> tuple[float, float]:
        """Log prices at which all devices take ``most``, and ``least`` (or next to nothing where ``least`` is 0)."""
        cheap = log_marginal(self.problem, self.most, side="left")
        dear = log_marginal(self.problem, np.maximum(self.least, _TINY * self.most), side="right")
        return float(cheap.min()), float(dear.max())

    def log_price_near(self, share_hz: FloatArray) -> float:
        """A typical log price at these bandwidths: the mean over devices, weighted by bandwidth."""
        return float(np.average(log_marginal(self.problem, share_hz), weights=share_hz))


_TINY = 1e-30
_PROBE = 1e-6
_Range = tuple[FloatArray, FloatArray, FloatArray]


def _demand(problem: AllocationProblem, rate: Rate, log_price: float, span: _Range) -> FloatArray:
    """Demand under ``rate``, which may be made of chords of another one.

    A chord's slope lies between the derivatives at its ends, so the demand under chords lies in the piece that holds the
    demand under the rate whose chords they are: solve for that one first, then within one straight piece.
    """
    if not isinstance(rate, Blocks | TruncatedShannon):
        return _search(dataclasses.replace(problem, rate=rate), log_price, span)
    nearby = _demand(problem, rate.curved(), log_price, span)
    return np.clip(_on_piece(problem, rate, log_price, nearby), span[0], span[1])


def _on_piece(problem: AllocationProblem, rate: Blocks | TruncatedShannon, log_price: float, nearby: FloatArray) -> FloatArray:
    """Demand on the straight piece that holds ``nearby``, where R = R_0 + sigma (B - B_0).

    w C sigma / (t_u R + Q)^2 = lambda gives t_u R + Q = v = sqrt(w C sigma / lambda): solved for B, cut to the piece.
    """
    snr, compute_s, bits = problem.snr_hz, problem.prunable_time_s, problem.prunable_bits
    left, right = rate.piece(nearby, snr)
    below, width = rate.value(left, snr), right - left
    straight = width > 0
    rise = np.where(straight, rate.value(right, snr) - below, 0.0)
    slope = np.divide(rise, width, out=np.zeros_like(rise), where=straight)
    with np.errstate(divide="ignore"):
        reach = np.exp(0.5 * (log_pull(problem) + np.log(slope) - log_price)) - (compute_s * below + bits)
    span = compute_s * rise
    share = np.divide(reach, span, out=np.where(reach >= 0, 1.0, 0.0), where=span > 0)
    return np.where(straight, left + np.clip(share, 0.0, 1.0) * width, nearby)


def _search(problem: AllocationProblem, log_price: float, span: _Range) -> FloatArray:
    """Root of log w y'(B) = log price in log B: Newton's method with a difference quotient, kept inside a bracket.

    Where a step leaves the bracket, or is not half as long as the one before, the middle is tried.
    """
    least, most, guess = span
    low, high = np.log(np.maximum(least, _TINY * most)), np.log(most)
    at_least = log_marginal(problem, least, side="right") <= log_price
    at_most = log_marginal(problem, most, side="left") >= log_price
    high, low = np.where(at_least, low, high), np.where(at_most, high, low)
    log_b = np.clip(np.log(np.maximum(guess, _TINY * most)), low, high)
    last = high - low
    for _ in range(200):
        b = np.exp(log_b)
        height = log_marginal(problem, b) - log_price
        low, high = np.where(height >= 0, np.maximum(low, log_b), low), np.where(height <= 0, np.minimum(high, log_b), high)
        slope = (log_marginal(problem, b * (1.0 + _PROBE)) - log_price - height) / _PROBE
        with np.errstate(divide="ignore", invalid="ignore"):
            trial = log_b - height / slope
        good = (trial >= low) & (trial <= high) & (np.abs(trial - log_b) <= 0.5 * last)
        trial = np.where(good, trial, 0.5 * (low + high))
        last = np.abs(trial - log_b)
        log_b = trial
        if np.all((good & (last <= 1e-9)) | (high - low <= 1e-14)):
            break
    return np.where(at_least, least, np.where(at_most, most, np.exp(log_b)))
