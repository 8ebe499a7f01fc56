"""Rates: how many bits per second a bandwidth carries at a given SNR. Used by the uplink and by the allocators.

A rate is a function R(B, s) of the bandwidth B [Hz] and of s = p g / (N0 Gamma) [Hz], the SNR in 1 Hz, so that
the SNR over the bandwidth is s / B. All rates here are increasing and concave in B with R(0) = 0.

Shannon's rate and its mean over Rayleigh fading have the form R = (s / ln 2) phi(B / s), where phi rises from 0
to 1. Their inverses solve phi(u) = a with a = r ln 2 / s by Newton's method on log(phi / (1 - phi)) as a function of
log u, which is nearly a straight line over the whole range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, Protocol, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import model_validator

from cosim.component import Component, quantity

FloatArray: TypeAlias = NDArray[np.float64]
Side: TypeAlias = Literal["left", "right"]
Profile: TypeAlias = Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]
Expansion: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]

LN2: Final = float(np.log(2.0))
_CHUNK: Final = 8192
_PROBE: Final = 1e-6


class Rate(Protocol):
    """R(B) [bit/s] of a bandwidth B [Hz] at s [Hz], the SNR in 1 Hz: increasing and concave in B, R(0) = 0.

    Arguments broadcast against each other; B >= 0, s >= 0.
    """

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """R(B) [bit/s]."""
        ...

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        """One-sided derivative dR/dB [bit/s/Hz]; at B = 0 always the right one, which may be inf."""
        ...

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """The least B [Hz] with R(B) >= r; inf where no bandwidth is enough."""
        ...

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        """Least upper bound of R over all bandwidths [bit/s]."""
        ...


@final
class Shannon(Component):
    """R(B) = B log2(1 + s/B), bounded by s / ln 2 (Shannon 1949, with the gap to capacity inside s)."""

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = _arrays(bandwidth_hz, snr_hz)
        with np.errstate(all="ignore"):
            rate = b * np.log1p(np.fmin(s / b, 1e300)) / LN2
        return np.where(np.isinf(b), s / LN2, rate) if np.isnan(rate).any() else rate

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:  # noqa: ARG002
        """R'(B) = log2(1 + x) - x / ((1 + x) ln 2), x = s/B. Smooth: both sides are the same."""
        b, s = _arrays(bandwidth_hz, snr_hz)
        x = _snr(b, s)
        return np.where((b > 0) | (s <= 0), _logarithms(x)[1] / LN2, np.inf)

    def expansion(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Expansion:
        """R, R' and the bend -B R''/R' = (x / (1 + x))^2 / (ln(1 + x) - x / (1 + x)), for what ``expansion`` asks."""
        x = np.minimum(snr_hz / bandwidth_hz, 1e300)
        log, marginal, part = _logarithms(x)
        return bandwidth_hz * log * (1.0 / LN2), marginal * (1.0 / LN2), part * part / np.maximum(marginal, 1e-300)

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return shannon_bandwidth_hz(rate_bps, snr_hz)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return np.asarray(snr_hz, np.float64) / LN2


def shannon_bandwidth_hz(rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
    """Closed form 2: the bandwidth [Hz] at which B log2(1 + s/B) = r.

    With a = r ln2 / s and x = s/B the equation is ln(1 + x) = a x. Put w = a (1 + x): w e^{-w} = a e^{-a} with w > 1 > a,
    so -w = W_{-1}(-a e^{-a}), the lower branch of Lambert's function, and

        B = s / x = r ln2 / (-W_{-1}(-a e^{-a}) - a).

    Evaluated as written it loses all digits as a -> 1, where -a e^{-a} nears the branch point -1/e. Here the same root is
    polished by Newton's method, with 1 - a from products without rounding errors. Arrays broadcast; r [bit/s], s [Hz] >= 0.
    inf where a >= 1: no bandwidth is enough.
    """
    return _inverse(_shannon_profile, 2.0, rate_bps, snr_hz)


@final
class TruncatedShannon(Component):
    """Attenuated and truncated Shannon bound (3GPP TR 36.942, annex A.1): B min(c, alpha log2(1 + s/B)).

    The source says that nothing arrives below a least SNR, at more than B_cut = s / snr_min. A jump to zero is neither concave
    nor what a sender would do who can leave spectrum idle: here bandwidth beyond B_cut brings nothing more, R(B) = R(B_cut).
    The defaults are the source's for the uplink. Kinks at B_cap, where the cap c begins to bind, and at B_cut; R is straight
    up to B_cap.
    """

    attenuation: float = quantity(0.4, "", "factor alpha of the Shannon bound: implementation losses", gt=0, le=1)
    snr_min_db: float = quantity(-10.0, "dB", "least usable SNR")
    efficiency_max_bps_hz: float = quantity(2.0, "bit/s/Hz", "cap c of the spectral efficiency", gt=0)

    @model_validator(mode="after")
    def _cap_above_least(self) -> TruncatedShannon:
        if self.snr_cap <= self.snr_min:
            raise ValueError(
                f"efficiency_max_bps_hz {self.efficiency_max_bps_hz:g} bit/s/Hz is reached at an SNR of "
                f"{10 * np.log10(self.snr_cap):.4g} dB, which must be above snr_min_db {self.snr_min_db:g} dB"
            )
        return self

    @property
    def snr_min(self) -> float:
        """Least usable SNR, linear."""
        return float(10.0 ** (self.snr_min_db / 10.0))

    @property
    def snr_cap(self) -> float:
        """SNR at which the cap is reached: 2^(c / alpha) - 1."""
        return float(np.expm1(self.efficiency_max_bps_hz / self.attenuation * LN2))

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = _arrays(bandwidth_hz, snr_hz)
        used = np.minimum(b, s / self.snr_min)
        return np.minimum(self.efficiency_max_bps_hz * used, self.attenuation * _SHANNON.value(used, s))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        b, s = _arrays(bandwidth_hz, snr_hz)
        cap, cut = s / self.snr_cap, s / self.snr_min
        straight = (b < cap) if side == "right" else (b <= cap)
        idle = (b >= cut) if side == "right" else (b > cut)
        curved = self.attenuation * _SHANNON.derivative(np.maximum(b, cap), s)
        return np.where(straight, self.efficiency_max_bps_hz, np.where(idle, 0.0, curved))

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        r, s = _arrays(rate_bps, snr_hz)
        cut = s / self.snr_min
        curved = np.minimum(_SHANNON.inverse(r / self.attenuation, s), cut)
        bandwidth = np.where(r <= self.value(s / self.snr_cap, s), r / self.efficiency_max_bps_hz, curved)
        return np.where(r > self.supremum(s), np.inf, bandwidth)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return self.value(np.inf, snr_hz)

    def curved(self) -> Scaled:
        """The smooth rate of which this one takes the chord over [0, B_cap]: alpha times Shannon's."""
        return Scaled(_SHANNON, self.attenuation)

    def piece(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Ends [Hz] of the straight piece that holds B; both are B where R is curved."""
        b, s = _arrays(bandwidth_hz, snr_hz)
        cap = s / self.snr_cap
        return np.where(b < cap, 0.0, b), np.where(b < cap, cap, b)


@final
@dataclass(frozen=True)
class Scaled:
    """A rate times a constant factor > 0."""

    rate: Rate
    factor: float

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return self.factor * self.rate.value(bandwidth_hz, snr_hz)

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        return self.factor * self.rate.derivative(bandwidth_hz, snr_hz, side=side)

    def expansion(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Expansion:
        """As of the rate itself; the factor does not change the bend."""
        value, slope, bend = expansion(self.rate, bandwidth_hz, snr_hz)
        return self.factor * value, self.factor * slope, bend

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return self.rate.inverse(np.asarray(rate_bps, np.float64) / self.factor, snr_hz)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return self.factor * self.rate.supremum(snr_hz)


@final
@dataclass(frozen=True)
class ErgodicRayleigh:
    """Mean of Shannon's rate over Rayleigh fading: R(B) = B e^{B/s} E1(B/s) / ln 2, s at the mean gain.

    Source: |h|^2 is exponential with mean 1, so E[ln(1 + |h|^2 / u)] = e^u E1(u), u = B/s (Alouini and Goldsmith 1999, eq. 34).
    Bounded by s / ln 2.
    """

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = _arrays(bandwidth_hz, snr_hz)
        with np.errstate(all="ignore"):
            u = np.fmax(np.fmin(b / s, 1e300), 1e-300)
        return np.asarray(s * (_rayleigh_value(u) * (1.0 / LN2)) * (b > 0))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:  # noqa: ARG002
        """R'(B) = ((1 + u) e^u E1(u) - 1) / ln 2. Smooth: both sides are the same."""
        b, s = _arrays(bandwidth_hz, snr_hz)
        inside = (b > 0) & (s > 0) & np.isfinite(b)
        u = _ratio(b, s, inside)
        _, _, slope = _rayleigh_profile(u)
        return np.where(inside, slope / u / LN2, np.where((b > 0) | (s <= 0), 0.0, np.inf))

    def expansion(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Expansion:
        """R, R' and the bend -B R''/R' = ((2 + u) (1 - phi) - 1) / phi', phi = u e^u E1(u), which tends to 2 for large u."""
        with np.errstate(divide="ignore"):
            u = np.minimum(np.maximum(bandwidth_hz / snr_hz, 1e-300), 1e300)
        phi, rest, rise = _rayleigh_profile(u)
        slope = rise / u
        bend = np.where(u > 1e5, 2.0, ((2.0 + u) * rest - 1.0) / np.maximum(slope, 1e-300))
        return snr_hz * phi * (1.0 / LN2), slope * (1.0 / LN2), bend

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return _inverse(_rayleigh_profile, 1.0, rate_bps, snr_hz)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return np.asarray(snr_hz, np.float64) / LN2


@final
@dataclass(frozen=True)
class ErgodicTruncated:
    """Mean of the truncated Shannon rate over Rayleigh fading, s at the mean gain: smooth, where the rate itself has kinks.

    With u = B/s, m the least SNR, M the SNR at the cap, F(v) = e^v E1(v) and D = e^{-mu} F(u (1 + m)) - e^{-Mu} F(u (1 + M)),
    integrating over the exponential gain (below m u part of the band stays idle, above M u the cap binds) gives

        R(B)  = (alpha s / ln 2) (P(2, mu) ln(1 + m) / m + u e^{-mu} ln(1 + m) + u D)
        R'(B) = (alpha / ln 2) (e^{-mu} (ln(1 + m) - 1) + e^{-Mu} + (1 + u) D)

    where P is the regularised incomplete gamma function. Checked against quadrature in the tests.
    """

    rate: TruncatedShannon

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        from scipy.special import gammainc  # SciPy takes half a second to load: not before it is needed

        b, s = _arrays(bandwidth_hz, snr_hz)
        inside = (b > 0) & (s > 0) & np.isfinite(b)
        u, low = _ratio(b, s, inside), self.rate.snr_min
        total = gammainc(2.0, low * u) * np.log1p(low) / low + u * (np.exp(-low * u) * np.log1p(low) + self._difference(u))
        mean = self.rate.attenuation / LN2 * s * total
        return np.where(inside, mean, np.where(b > 0, self.supremum(s), 0.0))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:  # noqa: ARG002
        """As above. Smooth: both sides are the same."""
        b, s = _arrays(bandwidth_hz, snr_hz)
        inside = (b > 0) & (s > 0) & np.isfinite(b)
        u, low, cap = _ratio(b, s, inside), self.rate.snr_min, self.rate.snr_cap
        slope = np.exp(-low * u) * (np.log1p(low) - 1.0) + np.exp(-cap * u) + (1.0 + u) * self._difference(u)
        mean = self.rate.attenuation / LN2 * np.maximum(slope, 0.0)
        return np.where(inside, mean, np.where((b > 0) | (s <= 0), 0.0, self.rate.efficiency_max_bps_hz))

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        r, s = _arrays(rate_bps, snr_hz)
        return _search_inverse(self, r, s)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return self.rate.supremum(snr_hz)

    def _difference(self, u: FloatArray) -> FloatArray:
        """D above."""
        total = np.zeros_like(u)
        for sign, snr in ((1.0, self.rate.snr_min), (-1.0, self.rate.snr_cap)):
            v = np.minimum(u * (1.0 + snr), 1e300)
            total = total + sign * np.exp(-snr * u) * _rayleigh_profile(v)[0] / v
        return total


@final
@dataclass(frozen=True)
class Ergodic:
    """Mean of any rate over Rayleigh fading: R(B, s) = sum_i p_i R0(B, s g_i), g_i exponential.

    (g_i, p_i): a 75-point double exponential rule, exact to 1e-13 for Shannon and to 1e-4 where R0 has kinks. The sum is itself
    concave and increasing, and value, derivative and inverse belong to each other to rounding.
    """

    rate: Rate

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = _arrays(bandwidth_hz, snr_hz)
        return _mean_over_gain(lambda gain: self.rate.value(b, s * gain))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        b, s = _arrays(bandwidth_hz, snr_hz)
        return _mean_over_gain(lambda gain: self.rate.derivative(b, s * gain, side=side))

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        r, s = _arrays(rate_bps, snr_hz)
        return _search_inverse(self, r, s)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        s = np.asarray(snr_hz, np.float64)
        return _mean_over_gain(lambda gain: self.rate.supremum(s * gain))


def ergodic_rayleigh(rate: Rate) -> Rate:
    """The mean of a rate over Rayleigh fading, as a rate at the mean gain's SNR: closed forms where known, quadrature otherwise."""
    if isinstance(rate, TruncatedShannon):
        return ErgodicTruncated(rate)
    return ErgodicRayleigh() if isinstance(rate, Shannon) else Ergodic(rate)


WITH_EXPANSION: TypeAlias = Shannon | ErgodicRayleigh | Scaled


def expansion(rate: Rate, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Expansion:
    """R [bit/s], R' [bit/s/Hz] and the bend -B R''/R' of a smooth rate, at the price of one of them where it has a closed form.

    float64 arrays, B of the full shape, 0 < B < inf, s >= 0. Otherwise the bend is a difference quotient, good to about 1e-6.
    """
    if isinstance(rate, WITH_EXPANSION):
        return rate.expansion(bandwidth_hz, snr_hz)
    slope = rate.derivative(bandwidth_hz, snr_hz)
    beyond = rate.derivative(bandwidth_hz * (1.0 + _PROBE), snr_hz)
    bend = (slope - beyond) / (_PROBE * np.maximum(slope, 1e-300))
    return rate.value(bandwidth_hz, snr_hz), slope, bend


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
        b, s = _arrays(bandwidth_hz, snr_hz)
        finite = np.isfinite(b)
        if not finite.all():
            return np.where(finite, self.value(np.where(finite, b, 0.0), s), self.rate.supremum(s))
        left, right = self._ends(b, "right")
        below, above = self.rate.value(np.stack([left, right]), s)
        return np.asarray(below + (above - below) * ((b - left) / self.block_hz))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        b, s = _arrays(bandwidth_hz, snr_hz)
        left, right = self._ends(np.where(np.isfinite(b), b, 0.0), side)
        below, above = self.rate.value(np.stack([left, right]), s)
        slope = (above - below) / self.block_hz
        return np.where(np.isfinite(b), slope, 0.0)

    def sides(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """R(B), left and right derivative at the price of one of them, for float64 arrays of one shape, 0 <= B < inf."""
        left, right = self._ends(bandwidth_hz, "right")
        before, here = self._ends(bandwidth_hz, "left")
        low, middle, below, above = self.rate.value(np.stack([before, here, left, right]), snr_hz)
        slope = (above - below) / self.block_hz
        return below + slope * (bandwidth_hz - left), (middle - low) / self.block_hz, slope

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """In the block where the rate itself reaches r: the interpolation is below it and meets it at the block's ends."""
        r, s = _arrays(rate_bps, snr_hz)
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
        b, _ = _arrays(bandwidth_hz, snr_hz)
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


def tangent(rate: Rate, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
    """R [bit/s] and its right derivative [bit/s/Hz], for float64 arrays of one shape, 0 < B < inf, s >= 0."""
    if isinstance(rate, WITH_EXPANSION):
        return rate.expansion(bandwidth_hz, snr_hz)[:2]
    if isinstance(rate, Blocks):
        value, _, slope = rate.sides(bandwidth_hz, snr_hz)
        return value, slope
    return rate.value(bandwidth_hz, snr_hz), rate.derivative(bandwidth_hz, snr_hz)


def _arrays(*values: ArrayLike) -> tuple[FloatArray, ...]:
    """As float64 arrays of one shape; views where they had to grow."""
    arrays = tuple([np.asarray(value, np.float64) for value in values])
    if all(array.shape == arrays[0].shape for array in arrays):
        return arrays
    return tuple(np.broadcast_arrays(*arrays))


def _snr(bandwidth_hz: FloatArray, snr_hz: FloatArray) -> FloatArray:
    """SNR x = s/B, 0 where B = 0, bounded so that no product of it overflows."""
    with np.errstate(over="ignore"):
        x = np.divide(snr_hz, bandwidth_hz, out=np.zeros(snr_hz.shape), where=bandwidth_hz > 0)
    return np.minimum(x, 1e300)


def _ratio(bandwidth_hz: FloatArray, snr_hz: FloatArray, inside: NDArray[np.bool_]) -> FloatArray:
    """Ratio u = B/s kept within [1e-300, 1e300]; 1 outside."""
    with np.errstate(over="ignore"):
        u = np.divide(bandwidth_hz, snr_hz, out=np.ones(snr_hz.shape), where=inside)
    return np.clip(u, 1e-300, 1e300)


def _logarithms(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """L = ln(1 + x), L - x / (1 + x) without cancellation, and x / (1 + x), for x >= 0."""
    log, part = np.log1p(x), x / (1.0 + x)
    marginal = log - part
    if x.size and np.minimum.reduce(x, axis=None) < _SMALL:
        small = x < _SMALL
        near = x[small]
        p, tail = _series(near)
        marginal[small] = near * p / (1.0 + near) + tail
    return log, marginal, part


def _series(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both p = x / (2 + x) and t = 2 (p^3/3 + p^5/5 + ...) for x < 1/4.

    L = ln(1 + x) = 2 artanh(p) = 2 p + t; so x - L = x p - t and L - x / (1 + x) = x p / (1 + x) + t.
    """
    p = x / (2.0 + x)
    p2 = p * p
    series = np.full_like(p, 1.0 / 17.0)
    for odd in range(15, 1, -2):
        series = 1.0 / odd + p2 * series
    return p, 2.0 * p * p2 * series


def _shannon_profile(u: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Values of phi = u ln(1 + 1/u), 1 - phi and u phi'."""
    x = 1.0 / u
    log, marginal, _ = _logarithms(x)
    deficit = x - log
    small = x < _SMALL
    if small.any():
        p, tail = _series(x[small])
        deficit[small] = x[small] * p - tail
    return u * log, u * deficit, u * marginal


def _rayleigh_value(u: FloatArray) -> FloatArray:
    """Phi = u e^u E1(u), as in ``_rayleigh_profile``."""
    from scipy.special import exp1

    high = u >= _WIDE
    if high.any():
        return _rayleigh_profile(u)[0]
    return np.asarray(u * np.exp(u) * exp1(u))


def _rayleigh_profile(u: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Values of phi = u e^u E1(u), 1 - phi and u phi'.

    From u = 4 on by quadrature of phi = E[u / (u + t)], t exponential, where e^u E1(u) would lose digits to cancellation.
    """
    from scipy.special import exp1

    high = u >= _WIDE
    if not high.any():
        scaled = np.exp(u) * exp1(u)
        phi = u * scaled
        return phi, 1.0 - phi, u * ((1.0 + u) * scaled - 1.0)
    found = np.empty((3, *u.shape))
    found[:, ~high] = _rayleigh_profile(u[~high])
    large = u[high]
    sums = np.empty((3, large.size))
    for start in range(0, large.size, _CHUNK):  # keeps memory at O(n)
        part = large[start : start + _CHUNK]
        part = part / (part + _NODES[:, None])
        sums[0, start : start + _CHUNK] = _WEIGHTS @ part
        sums[1:, start : start + _CHUNK] = np.stack([_WEIGHTS, _WEIGHTS * _NODES]) @ (part * part)
    sums[1:] /= large
    found[:, high] = sums
    return found[0], found[1], found[2]


def _inverse(profile: Profile, odds_per_u: float, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
    """B with (s / ln 2) phi(B / s) = r, in chunks that stay in the cache."""
    r, s = _arrays(rate_bps, snr_hz)
    bandwidth = np.empty(r.shape)
    flat_r, flat_s, flat = r.ravel(), s.ravel(), bandwidth.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        flat[part] = _inverse_part(profile, odds_per_u, flat_r[part], flat_s[part])
    return bandwidth


def _inverse_part(profile: Profile, odds_per_u: float, r: FloatArray, s: FloatArray) -> FloatArray:
    out_of_reach = np.where(r > 0, np.inf, 0.0)
    reached = (r > 0) & (r < s / LN2)
    if not reached.all():
        r, s = np.where(reached, r, 1.0), np.where(reached, s, 2.0)
    load = r * LN2 / s
    rest = 1.0 - load
    near = rest < 0.25
    if near.any():
        rest[near] = _rest(r[near], s[near])
        reached &= rest > 0
        rest = np.maximum(rest, 1e-300)
    bandwidth = s * _newton(profile, odds_per_u, load / rest)
    return bandwidth if reached.all() else np.where(reached, bandwidth, out_of_reach)


def _rest(r: FloatArray, s: FloatArray) -> FloatArray:
    """1 - r ln2 / s to relative accuracy: r and ln 2 are split into parts whose products are exact."""
    head = r * 134217729.0  # 2^27 + 1: Veltkamp's splitting
    head = head - (head - r)
    tail = r - head
    return (s - head * _LN2_HEAD - head * _LN2_MIDDLE - tail * _LN2_HEAD - tail * _LN2_MIDDLE - r * _LN2_TAIL) / s


def _newton(profile: Profile, odds_per_u: float, odds: FloatArray) -> FloatArray:
    """Solve phi / (1 - phi) = odds for u by Newton's method in logarithms; from the table one step is enough.

    ``odds_per_u``: limit of odds / u for large u.
    """
    target = np.log(odds)
    log_u = np.interp(target, *_starts(profile, odds_per_u))
    for _ in range(50):
        phi, other, rise = profile(np.exp(log_u))
        step = (np.log(phi / other) - target) * phi * other / rise
        log_u -= step
        if not np.maximum.reduce(np.abs(step), initial=0.0) >= 1e-6:  # which leaves 1e-14; NaN ends it too
            break
    return np.asarray(np.exp(log_u))


@cache
def _starts(profile: Profile, odds_per_u: float) -> tuple[FloatArray, FloatArray]:
    """ln(phi / (1 - phi)) and ln u at 8193 points: interpolated, ln u is good to 5e-7 for odds from e^-650 to e^45."""
    target = np.sinh(np.linspace(-7.17, 4.5, 8193))
    log_u = target - np.log(odds_per_u + np.logaddexp(0.0, -target))  # within a few per cent
    for _ in range(6):
        phi, other, rise = profile(np.exp(log_u))
        log_u -= (np.log(phi / other) - target) * phi * other / rise
    return target, log_u


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


def _search_inverse(rate: Rate, r: FloatArray, s: FloatArray) -> FloatArray:
    """Inverse of any rate: Newton's method on log(R / (sup R - R)) against log B in a bracket.

    Where a step leaves the bracket or is not half as long as the last one, the middle is tried.
    """
    bandwidth, top = np.where(r > 0, np.inf, 0.0), rate.supremum(s)
    reached = (r > 0) & (r < top)
    r, s, top = r[reached], s[reached], top[reached]
    target, low, high = np.log(r / (top - r)), np.log(s) - 60.0, np.log(s) + 60.0
    log_b, last = np.log(s) + np.clip(target, -60.0, 5.0), high - low
    for _ in range(200):
        b = np.exp(log_b)
        value = rate.value(b, s)
        left = np.maximum(top - value, 1e-17 * top)
        error = np.log(value / left) - target
        low, high = np.where(error <= 0, log_b, low), np.where(error >= 0, log_b, high)
        slope = b * rate.derivative(b, s) * top / (value * left)
        trial = log_b - np.divide(error, slope, out=np.full_like(error, np.inf), where=slope > 0)
        good = (trial >= low) & (trial <= high) & (np.abs(trial - log_b) <= 0.5 * last)
        trial = np.where(good, trial, 0.5 * (low + high))
        last = np.abs(trial - log_b)
        log_b = trial
        if np.all((good & (last <= 1e-9)) | (high - low <= 1e-14)):
            break
    bandwidth[reached] = np.exp(log_b)
    return bandwidth


_SMALL: Final = 0.25
"""SNR below which differences of logarithms are series."""
_WIDE: Final = 4.0
_SHANNON: Final = Shannon()
_LN2_HEAD, _LN2_MIDDLE, _LN2_TAIL = 46516319 / 2**26, 58531063 / 2**52, 1.3421277060097865e-16  # ln 2 in 26 + 26 + 53 bits
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(32)
_GAINS, _CHANCES = _exponential_rule()
