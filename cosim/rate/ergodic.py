"""Means of rates over Rayleigh fading, as rates at the mean gain's SNR: closed forms where known, quadrature otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, final

import numpy as np
from numpy.typing import ArrayLike

from cosim.rate.base import CHUNK, LEAST_BEND, LN2, PER_LN2, FloatArray, Rate, Side, Triple, arrays, ratio
from cosim.rate.inverse import Profile, profile_inverse, search_inverse
from cosim.rate.shannon import Shannon
from cosim.rate.truncated import TruncatedShannon

_WIDE: Final = 4.0
"""Ratio B/s from which on e^u E1(u) is a sum: differences of it would lose digits."""


@final
@dataclass(frozen=True)
class ErgodicRayleigh:
    """Mean of Shannon's rate over Rayleigh fading: R(B) = B e^{B/s} E1(B/s) / ln 2, s at the mean gain.

    Source: |h|^2 is exponential with mean 1, so E[ln(1 + |h|^2 / u)] = e^u E1(u), u = B/s (Alouini and Goldsmith 1999, eq. 34).
    Bounded by s / ln 2.
    """

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = arrays(bandwidth_hz, snr_hz)
        with np.errstate(all="ignore"):
            u = np.fmax(np.fmin(b / s, 1e300), 1e-300)
        return np.asarray(s * (u * _scaled_e1(u) * PER_LN2) * (b > 0))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:  # noqa: ARG002
        """R'(B) = ((1 + u) e^u E1(u) - 1) / ln 2. Smooth: both sides are the same."""
        b, s = arrays(bandwidth_hz, snr_hz)
        inside = (b > 0) & (s > 0) & np.isfinite(b)
        u = ratio(b, s, inside)
        return np.where(inside, _rayleigh(u)[2] / u * PER_LN2, np.where((b > 0) | (s <= 0), 0.0, np.inf))

    def expansion(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Triple:
        """R, R' and the bend -B R''/R' = ((2 + u) (1 - phi) - 1) / phi', phi = u e^u E1(u), which tends to 2 for large u."""
        with np.errstate(divide="ignore"):
            u = np.minimum(np.maximum(bandwidth_hz / snr_hz, 1e-300), 1e300)
        phi, rest, rise = _rayleigh(u)
        slope = rise / u
        bend = np.where(u > 1e5, 2.0, ((2.0 + u) * rest - 1.0) / np.maximum(slope, 1e-300))
        return snr_hz * phi * PER_LN2, slope * PER_LN2, bend

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return profile_inverse(_RAYLEIGH, rate_bps, snr_hz)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return np.asarray(np.asarray(snr_hz, np.float64) * PER_LN2)


@final
@dataclass(frozen=True)
class ErgodicTruncated:
    """Mean of the truncated Shannon rate over Rayleigh fading, s at the mean gain: smooth, where the rate itself has kinks.

    With u = B/s, m the least SNR, M the SNR at the cap, F(v) = e^v E1(v) and D = e^{-mu} F(u (1 + m)) - e^{-Mu} F(u (1 + M)),
    integrating over the exponential gain (below m u part of the band stays idle, above M u the cap binds) gives

        R(B)   = (alpha s / ln 2) (P(2, mu) ln(1 + m) / m + u e^{-mu} ln(1 + m) + u D)
        R'(B)  = (alpha / ln 2) (e^{-mu} (ln(1 + m) - 1) + e^{-Mu} + (1 + u) D)
        s R''(B) = (alpha / ln 2) (m e^{-mu} (1 - ln(1 + m)) - M e^{-Mu} + (2 + u) D - (1 + u) (e^{-mu} - e^{-Mu}) / u)

    where P is the regularised incomplete gamma function. Checked against quadrature in the tests.
    """

    rate: TruncatedShannon

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = arrays(bandwidth_hz, snr_hz)
        inside = (b > 0) & (s > 0) & np.isfinite(b)
        mean = self.rate.attenuation / LN2 * s * self.total(ratio(b, s, inside))[0]
        return np.where(inside, mean, np.where(b > 0, self.supremum(s), 0.0))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:  # noqa: ARG002
        """As above. Smooth: both sides are the same."""
        b, s = arrays(bandwidth_hz, snr_hz)
        inside = (b > 0) & (s > 0) & np.isfinite(b)
        mean = self.rate.attenuation / LN2 * self.slopes(ratio(b, s, inside))[0]
        return np.where(inside, mean, np.where((b > 0) | (s <= 0), 0.0, self.rate.efficiency_max_bps_hz))

    def expansion(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Triple:
        """R, R' and the bend -B R''/R'."""
        u = np.minimum(np.maximum(bandwidth_hz / np.maximum(snr_hz, 1e-300), 1e-300), 1e300)
        total, parts = self.total(u)
        slope, bend = self.slopes(u, parts)
        factor = self.rate.attenuation / LN2
        return factor * snr_hz * total, factor * slope, bend

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return profile_inverse(_truncated_profile(self.rate), rate_bps, snr_hz)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return self.rate.supremum(snr_hz)

    def _parts(self, u: FloatArray) -> Triple:
        """e^{-mu}, e^{-Mu} and D above."""
        low, cap = self.rate.snr_min, self.rate.snr_cap
        above, capped = np.exp(-low * u), np.exp(-cap * u)
        v = np.minimum(np.stack([u * (1.0 + low), u * (1.0 + cap)]), 1e300)
        scaled = _scaled_e1(v)
        return above, capped, above * scaled[0] - capped * scaled[1]

    def total(self, u: FloatArray) -> tuple[FloatArray, Triple]:
        """R ln 2 / (alpha s), and the parts it is made of."""
        from scipy.special import gammainc  # SciPy takes half a second to load: not before it is needed

        low, parts = self.rate.snr_min, self._parts(u)
        return gammainc(2.0, low * u) * (np.log1p(low) / low) + u * (parts[0] * np.log1p(low) + parts[2]), parts

    def slopes(self, u: FloatArray, parts: Triple | None = None) -> tuple[FloatArray, FloatArray]:
        """R' ln 2 / alpha >= 0, and the bend, cut to [1e-6, 2 + m u], what it tends to for large u and more."""
        above, capped, difference = self._parts(u) if parts is None else parts
        log, cap, low = np.log1p(self.rate.snr_min), self.rate.snr_cap, self.rate.snr_min
        slope = np.maximum(above * (log - 1.0) + capped + (1.0 + u) * difference, 0.0)
        fall = u * (low * above * (1.0 - log) - cap * capped + (2.0 + u) * difference) - (1.0 + u) * (above - capped)
        return slope, np.minimum(np.maximum(-fall / np.maximum(slope, 1e-300), LEAST_BEND), 2.0 + low * u)


@final
@dataclass(frozen=True)
class Ergodic:
    """Mean of any rate over Rayleigh fading: R(B, s) = sum_i p_i R0(B, s g_i), g_i exponential.

    (g_i, p_i): a 75-point double exponential rule, exact to 1e-13 for Shannon and to 1e-4 where R0 has kinks. The sum is itself
    concave and increasing, and value, derivative and inverse belong to each other to rounding.
    """

    rate: Rate

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = arrays(bandwidth_hz, snr_hz)
        return _mean_over_gain(lambda gain: self.rate.value(b, s * gain))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        b, s = arrays(bandwidth_hz, snr_hz)
        return _mean_over_gain(lambda gain: self.rate.derivative(b, s * gain, side=side))

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return search_inverse(self, rate_bps, snr_hz)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        s = np.asarray(snr_hz, np.float64)
        return _mean_over_gain(lambda gain: self.rate.supremum(s * gain))


def ergodic_rayleigh(rate: Rate) -> Rate:
    """The mean of a rate over Rayleigh fading, as a rate at the mean gain's SNR: closed forms where known, quadrature otherwise."""
    if isinstance(rate, TruncatedShannon):
        return ErgodicTruncated(rate)
    return ErgodicRayleigh() if isinstance(rate, Shannon) else Ergodic(rate)


def _scaled_e1(u: FloatArray) -> FloatArray:
    """F(u) = e^u E1(u) for u > 0."""
    from scipy.special import exp1

    high = u >= _WIDE
    if not high.any():
        return np.asarray(np.exp(u) * exp1(u))
    found = np.empty(u.shape)
    found[~high] = np.exp(u[~high]) * exp1(u[~high])
    large = u[high]
    sums = np.empty(large.size)
    for start in range(0, large.size, CHUNK):  # keeps memory at O(n)
        sums[start : start + CHUNK] = _WEIGHTS @ (1.0 / (large[start : start + CHUNK] + _NODES[:, None]))
    found[high] = sums
    return found


def _rayleigh(u: FloatArray) -> Triple:
    """Phi = u e^u E1(u), 1 - phi and u phi'.

    From u = 4 on by quadrature of phi = E[u / (u + t)], t exponential, where e^u E1(u) would lose digits to cancellation.
    """
    from scipy.special import exp1

    high = u >= _WIDE
    if not high.any():
        scaled = np.exp(u) * exp1(u)
        phi = u * scaled
        return phi, 1.0 - phi, u * ((1.0 + u) * scaled - 1.0)
    found = np.empty((3, *u.shape))
    found[:, ~high] = _rayleigh(u[~high])
    large = u[high]
    sums = np.empty((3, large.size))
    for start in range(0, large.size, CHUNK):  # keeps memory at O(n)
        part = large[start : start + CHUNK]
        part = part / (part + _NODES[:, None])
        sums[0, start : start + CHUNK] = _WEIGHTS @ part
        sums[1:, start : start + CHUNK] = np.stack([_WEIGHTS, _WEIGHTS * _NODES]) @ (part * part)
    sums[1:] /= large
    found[:, high] = sums
    return found[0], found[1], found[2]


def _rayleigh_rise(u: FloatArray) -> tuple[FloatArray, FloatArray]:
    phi, _, rise = _rayleigh(u)
    return phi, rise


@cache
def _truncated_profile(rate: TruncatedShannon) -> Profile:
    """Phi = R over its supremum alpha s ln(1 + m) / (m ln 2), for the inverse."""
    mean, low = ErgodicTruncated(rate), rate.snr_min
    top = float(np.log1p(low)) / low

    def rise(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        total, parts = mean.total(u)
        return total / top, u * mean.slopes(u, parts)[0] / top

    def rest(u: FloatArray) -> FloatArray:
        scaled = [_scaled_e1(np.minimum(u * (1.0 + snr), 1e300)) for snr in (low, rate.snr_cap)]
        return np.exp(-low * u) * (1.0 - u / top * (scaled[0] - np.exp((low - rate.snr_cap) * u) * scaled[1]))

    return Profile(rise, rest, rate.attenuation * top)


def _exponential_rule() -> tuple[FloatArray, FloatArray]:
    """Nodes and weights for E[f(g)], g exponential: the double exponential rule g = exp(t - e^-t), trapezoidal in t.

    Source: Takahasi and Mori 1974. Unlike Gauss-Laguerre it does not mind that f bends sharply near g = 0 at high SNR.
    """
    t = np.linspace(-3.7, 3.7, 75)
    gain = np.exp(t - np.exp(-t))
    weight = gain * (1.0 + np.exp(-t)) * np.exp(-gain)
    return gain, weight / weight.sum()


def _mean_over_gain(conditional: Callable[[float], FloatArray]) -> FloatArray:
    """sum_i p_i f(g_i), adding up over nodes, never devices, so that memory stays O(n)."""
    total: FloatArray = _CHANCES[0] * conditional(float(_GAINS[0]))
    for gain, chance in zip(_GAINS[1:], _CHANCES[1:], strict=True):
        total = total + chance * conditional(float(gain))
    return total


_RAYLEIGH: Final = Profile(_rayleigh_rise, lambda u: _rayleigh(u)[1])
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(32)
_GAINS, _CHANCES = _exponential_rule()
