"""Inverses of rates: R = c s phi(B / s), where phi rises from 0 to 1, by a table and a Newton step; of any other rate by a search."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from cosim.rate.base import CHUNK, LN2, ONE, FloatArray, Rate, arrays

Function: TypeAlias = Callable[[FloatArray], FloatArray]

_TABLE = 16384
_NEAR = 1e-3


class Profile(NamedTuple):
    """A rate without its dimensions: phi(u) and u phi'(u), and 1 - phi(u) to relative accuracy; R = slope s / ln 2 phi(B / s)."""

    rise: Callable[[FloatArray], tuple[FloatArray, FloatArray]]
    rest: Function
    slope: float = 1.0


def profile_inverse(profile: Profile, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
    """B with slope s / ln 2 phi(B / s) = r, in chunks that stay in the cache; inf where r is out of reach."""
    r, s = arrays(rate_bps, snr_hz)
    flat_r, flat_s = r.ravel(), s.ravel()
    if r.size <= CHUNK:
        return _inverse(profile, flat_r, flat_s).reshape(r.shape)
    flat = np.empty(r.size)
    for start in range(0, flat.size, CHUNK):
        part = slice(start, start + CHUNK)
        flat[part] = _inverse(profile, flat_r[part], flat_s[part])
    return flat.reshape(r.shape)


def _inverse(profile: Profile, r: FloatArray, s: FloatArray) -> FloatArray:
    with np.errstate(all="ignore"):
        load = r * (LN2 / profile.slope) / s
        rest = ONE - load
        if r.size and not (np.minimum.reduce(np.abs(rest)) > _NEAR and np.minimum.reduce(load) > 0):
            return _inverse_at_the_edges(profile, r, s)
        bandwidth = s * _root(profile, load, rest)  # NaN where out of reach
        return np.asarray(np.fmax(bandwidth, np.where(rest > 0, 0.0, np.inf)))


def _inverse_at_the_edges(profile: Profile, r: FloatArray, s: FloatArray) -> FloatArray:
    """The same where some r are 0, out of reach or next to it: there 1 - phi is what must be met."""
    out_of_reach = np.where(r > 0, np.inf, 0.0)
    reached = (r > 0) & (r < s * (profile.slope / LN2))
    r, s = np.where(reached, r, 1.0), np.where(reached, s, 2.0 / profile.slope)
    load = r * (LN2 / profile.slope) / s
    rest = ONE - load
    near = rest < 0.25
    if near.any():
        rest[near] = _rest(r[near], s[near], profile.slope)
        reached &= rest > 0
        rest = np.maximum(rest, 1e-300)
    return np.where(reached, s * _root(profile, load, rest, far=False), out_of_reach)


def _rest(r: FloatArray, s: FloatArray, slope: float) -> FloatArray:
    """1 - r ln2 / (slope s) to relative accuracy where slope = 1: r and ln 2 are split into parts whose products are exact."""
    s = s * slope
    head = r * 134217729.0  # 2^27 + 1: Veltkamp's splitting
    head = head - (head - r)
    tail = r - head
    return (s - head * _LN2_HEAD - head * _LN2_MIDDLE - tail * _LN2_HEAD - tail * _LN2_MIDDLE - r * _LN2_TAIL) / s


def _root(profile: Profile, load: FloatArray, rest: FloatArray, *, far: bool = True) -> FloatArray:
    """Solve phi(u) = load, 1 - phi(u) = rest; the table leaves an error that one Newton step ends, nearly always.

    The step is that of whichever of both is the smaller number, so that no digits are lost; ``far``: no load is so close to 1 that it
    matters.
    """
    log_u = np.interp(np.log(load / rest), *_table(profile))
    u = np.exp(log_u)
    for _ in range(50):
        phi, rise = profile.rise(u)
        miss = load - phi if far else np.where(rest < 0.5, profile.rest(u) - rest, load - phi)
        step = miss / rise
        u = u * (ONE + step if far else ONE + np.maximum(step, -0.9))
        if not np.fmax.reduce(np.abs(step), initial=0.0) >= 1e-6:  # which leaves 1e-13
            break
    return np.asarray(u)


@cache
def _table(profile: Profile) -> tuple[FloatArray, FloatArray]:
    """ln(phi / (1 - phi)) and ln u at points that crowd around u = 1; ln u follows by interpolation."""
    log_u = np.sinh(np.linspace(-7.17, 4.5, _TABLE))
    with np.errstate(all="ignore"):
        phi, _ = profile.rise(np.exp(log_u))
        target = np.log(phi / profile.rest(np.exp(log_u)))
    known = np.isfinite(target)
    known[1:] &= np.maximum.accumulate(target)[:-1] < target[1:]
    return target[known], log_u[known]


def search_inverse(rate: Rate, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
    """Inverse of any rate: Newton's method on log(R / (sup R - R)) against log B in a bracket.

    Where a step leaves the bracket or is not half as long as the last one, the middle is tried.
    """
    r, s = arrays(rate_bps, snr_hz)
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


_LN2_HEAD, _LN2_MIDDLE, _LN2_TAIL = 46516319 / 2**26, 58531063 / 2**52, 1.3421277060097865e-16  # ln 2 in 26 + 26 + 53 bits
