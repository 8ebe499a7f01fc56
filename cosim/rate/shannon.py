"""Shannon's rate, exact to the last digits over all bandwidths."""

from __future__ import annotations

from typing import Final, final

import numpy as np
from numpy.typing import ArrayLike

from cosim.component import Component
from cosim.rate.base import HUGE, LN2, ONE, PER_LN2, FloatArray, Side, Triple, arrays
from cosim.rate.inverse import Profile, profile_inverse

_SMALL: Final = 0.02
"""SNR below which differences of logarithms are series."""


@final
class Shannon(Component):
    """R(B) = B log2(1 + s/B), bounded by s / ln 2 (Shannon 1949, with the gap to capacity inside s)."""

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = arrays(bandwidth_hz, snr_hz)
        with np.errstate(all="ignore"):
            rate = b * np.log1p(np.fmin(s / b, HUGE)) * PER_LN2
        return np.where(np.isinf(b), s / LN2, rate) if np.isnan(rate).any() else rate

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:  # noqa: ARG002
        """R'(B) = log2(1 + x) - x / ((1 + x) ln 2), x = s/B. Smooth: both sides are the same."""
        b, s = arrays(bandwidth_hz, snr_hz)
        with np.errstate(over="ignore"):
            x = np.divide(s, b, out=np.zeros(s.shape), where=b > 0)
        return np.where((b > 0) | (s <= 0), logarithms(np.minimum(x, HUGE))[1] * PER_LN2, np.inf)

    def expansion(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Triple:
        """R, R' and the bend -B R''/R' = (x / (1 + x))^2 / (ln(1 + x) - x / (1 + x)), for what ``expansion`` asks."""
        log, marginal, part = logarithms(snr_hz / bandwidth_hz)
        return bandwidth_hz * log * PER_LN2, marginal * PER_LN2, part * part / marginal

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return shannon_bandwidth_hz(rate_bps, snr_hz)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return np.asarray(np.asarray(snr_hz, np.float64) * PER_LN2)


def shannon_bandwidth_hz(rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
    """Closed form 2: the bandwidth [Hz] at which B log2(1 + s/B) = r.

    With a = r ln2 / s and x = s/B the equation is ln(1 + x) = a x. Put w = a (1 + x): w e^{-w} = a e^{-a} with w > 1 > a,
    so -w = W_{-1}(-a e^{-a}), the lower branch of Lambert's function, and

        B = s / x = r ln2 / (-W_{-1}(-a e^{-a}) - a).

    Evaluated as written it loses all digits as a -> 1, where -a e^{-a} nears the branch point -1/e. Here the same root is
    polished by Newton's method, with 1 - a from products without rounding errors. Arrays broadcast; r [bit/s], s [Hz] >= 0.
    inf where a >= 1: no bandwidth is enough.
    """
    return profile_inverse(_PROFILE, rate_bps, snr_hz)


def logarithms(x: FloatArray) -> Triple:
    """L = ln(1 + x), L - x / (1 + x) without cancellation, and x / (1 + x), for x >= 0."""
    log, part = np.log1p(x), x / (ONE + x)
    marginal = np.asarray(log - part)
    if x.size and np.minimum.reduce(x, axis=None) < _SMALL:
        small = x < _SMALL
        near = x[small]
        p, tail = _series(near)
        marginal[small] = near * p / (1.0 + near) + tail
    return log, marginal, part


def _series(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both p = x / (2 + x) and t = 2 (p^3/3 + p^5/5 + ...) for x < 1/50.

    L = ln(1 + x) = 2 artanh(p) = 2 p + t; so x - L = x p - t and L - x / (1 + x) = x p / (1 + x) + t.
    """
    p = x / (2.0 + x)
    p2 = p * p
    return p, 2.0 * p * p2 * (1.0 / 3.0 + p2 * (1.0 / 5.0 + p2 * (1.0 / 7.0 + p2 / 9.0)))


def _rise(u: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both phi = u ln(1 + 1/u) and u phi'."""
    log, marginal, _ = logarithms(ONE / u)
    return u * log, u * marginal


def _rest(u: FloatArray) -> FloatArray:
    """Deficit 1 - phi = u (x - ln(1 + x)), x = 1/u."""
    x = 1.0 / u
    deficit = x - np.log1p(x)
    small = x < _SMALL
    if small.any():
        p, tail = _series(x[small])
        deficit[small] = x[small] * p - tail
    return u * deficit


_PROFILE: Final = Profile(_rise, _rest)
