"""What replications say: intervals, paired differences, time to an event that some runs never reach.

Replications are runs with different seeds, and so independent. Runs of two variants with the same seed share their world
(common random numbers): their difference varies less than two independent runs would, and is what to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES: Final = 9999
FEWEST_BATCHES: Final = 10
FEWEST_LOOKS: Final = 10
"""Replications before a sequential rule looks at an interval for the first time."""
ROUNDING: Final = 1e-9
"""Values whose spread is at most this share of their size are equal: rounding, and what solvers leave open, move them by less."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its two-sided confidence interval; NaN bounds where ``count`` values do not allow one."""

    estimate: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences, and the p-value of the paired t-test that it is 0; NaN where there can be no test."""

    interval: Interval
    p_value: float


def student_t(values: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of a mean: m +- t_{(1+level)/2, n-1} s / sqrt(n), exact for independent Gaussian values of shape (n,).

    Values that are equal but for rounding give an interval of length 0. Raises ValueError without values, where one is not finite, or
    ``level`` is outside (0, 1).
    """
    from scipy.special import stdtrit

    x = _checked(values, level)
    if x.size < 2 or not np.ptp(x):
        return _without_spread(x)
    mean = float(x.mean())
    half = float(stdtrit(x.size - 1, (1 + level) / 2) * x.std(ddof=1) / np.sqrt(x.size))
    return Interval(mean, mean - half, mean + half, x.size)


def bootstrap(values: ArrayLike, rng: np.random.Generator, level: float = 0.95) -> Interval:
    """BCa bootstrap interval of a mean (Efron and Tibshirani, "An introduction to the bootstrap", 1993, section 14.3).

    Assumes no distribution, but covers less than ``level`` for few values (docs/studies.md has measured numbers).
    Values of shape (n,). Interval of length 0 and ValueError as for ``student_t``.
    """
    x = _checked(values, level)
    if x.size < 2 or not np.ptp(x):
        return _without_spread(x)
    from scipy.stats import bootstrap as resampled

    found = resampled((x,), np.mean, confidence_level=level, n_resamples=RESAMPLES, method="BCa", vectorized=True, rng=rng)
    low, high = found.confidence_interval
    return Interval(float(x.mean()), float(low), float(high), x.size)


def paired(values: ArrayLike, baseline: ArrayLike, level: float = 0.95, *, rng: np.random.Generator | None = None) -> Difference:
    """Mean of values - baseline, pair by pair, both of shape (n,): Student-t interval (bootstrap with ``rng``) and paired t-test.

    p = 2 P(t_{n-1} > |m| sqrt(n) / s). Differences that are equal but for the rounding of the values have an interval of length 0, and no
    test (p is NaN), as one pair has none: without a spread there is no scale of chance to measure them by.
    Raises ValueError where the shapes differ, and as ``student_t`` does.
    """
    from scipy.special import stdtr

    first, second = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"pairs need equal shapes, got {first.shape} and {second.shape}")
    difference = _rounded(first - second, max(np.abs(first).max(initial=0.0), np.abs(second).max(initial=0.0)))
    interval = student_t(difference, level) if rng is None else bootstrap(difference, rng, level)
    if difference.size < 2 or not np.ptp(difference):
        return Difference(interval, np.nan)
    error = float(difference.std(ddof=1)) / np.sqrt(difference.size)
    return Difference(interval, float(2 * stdtr(difference.size - 1, -abs(interval.estimate) / error)))


def replications_wanted(intervals: Sequence[Interval], precision: float, most: int) -> int:
    """How many replications are wanted so that the half width of each interval is at most ``precision`` times its estimate's size.

    The present number n when that holds, or at ``most``. Else what sqrt(n) would need, n (h / (precision |m|))^2, at least a tenth more
    and at most twice as many: few looks, no overshoot. At least 10, for stopping on the first small variance of a few values is what
    ruins such rules (Law, "Simulation modeling and analysis", section 9.4.1). Raises ValueError where a mean is 0: then no relative
    precision can be reached.
    """
    count = min(interval.count for interval in intervals)
    if count < FEWEST_LOOKS:
        return min(FEWEST_LOOKS, most)
    if any(interval.estimate == 0 for interval in intervals):
        raise ValueError("a mean of 0 has no relative precision")
    ratio = max(interval.half_width / (precision * abs(interval.estimate)) for interval in intervals)
    if ratio <= 1:
        return count
    wanted = min(max(int(np.ceil(count * ratio**2)), int(np.ceil(1.1 * count))), 2 * count)
    return max(count, min(wanted, most))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values, shape (n,): testing all of them at alpha errs at all with probability <= alpha (Holm, 1979). NaN stay out."""
    p = np.asarray(p_values, np.float64)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(order.size, 0, -1)))
    return adjusted


def kaplan_meier(time: ArrayLike, reached: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability that the event has not happened by t: the distinct event times (m,) and S just after each (m,).

    S(t) = prod_{t_i <= t} (1 - d_i / n_i), d_i events among n_i still at risk (Kaplan and Meier, JASA 1958).
    ``time``: (n,), of the event where ``reached``, else of the last look (censored).
    """
    t, event = np.asarray(time, np.float64), np.asarray(reached, np.bool_)
    moments = np.unique(t[event])
    at_risk = (t[None, :] >= moments[:, None]).sum(axis=1)
    deaths = ((t[None, :] == moments[:, None]) & event[None, :]).sum(axis=1)
    return moments, np.cumprod(1 - deaths / at_risk)


def median_time(time: ArrayLike, reached: ArrayLike) -> float:
    """Kaplan-Meier median: the first time by which at least half have had the event; inf where it never comes to that."""
    moments, surviving = kaplan_meier(time, reached)
    late = np.flatnonzero(surviving <= 0.5 + 1e-12)
    return float(moments[late[0]]) if late.size else float("inf")


def horizon(time: ArrayLike, reached: ArrayLike) -> float:
    """Up to when every run was seen: the earliest censoring, or the last event where none is censored.

    min(T, horizon) is then known for every run, so its mean (the restricted mean time to the event, Royston and Parmar,
    BMC Med. Res. Methodol. 2013) has ordinary intervals and paired differences, whatever share of the runs is censored.
    """
    t, event = np.asarray(time, np.float64), np.asarray(reached, np.bool_)
    return float(t.max() if event.all() else t[~event].min())


def batch_means(series: ArrayLike, batches: int = 20, level: float = 0.95) -> Interval:
    """Interval of a long run's mean: Student-t over the means of ``batches`` successive stretches of equal length.

    Valid when a batch is much longer than the memory of the series (Law, "Simulation modeling and analysis", section 9.5.3); the
    first len % batches values are left out, as part of the warm-up. Raises ValueError for fewer than 10 batches or 2 values in each.
    """
    x = _checked(series, level)
    if batches < FEWEST_BATCHES or x.size < 2 * batches:
        raise ValueError(f"batch means need at least {FEWEST_BATCHES} batches of 2 values, got {batches} batches of {x.size} values")
    return student_t(x[x.size % batches :].reshape(batches, -1).mean(axis=1), level)


def _checked(values: ArrayLike, level: float) -> NDArray[np.float64]:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size or not np.isfinite(x).all():
        raise ValueError(f"an interval needs finite values of shape (n,), n > 0; got shape {x.shape}")
    if not 0 < level < 1:
        raise ValueError(f"a confidence level is in (0, 1), got {level}")
    return _rounded(x, np.abs(x).max())


def _rounded(x: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """All of ``x`` the same where it varies by no more than rounding, and 0 where that is all it is; ``size``: of what it was made of."""
    if x.size and np.ptp(x) <= ROUNDING * size:
        return np.full_like(x, x[0] if abs(x[0]) > ROUNDING * size else 0.0)
    return x


def _without_spread(x: NDArray[np.float64]) -> Interval:
    """The interval of one value, which has no bounds, or of several equal ones, which has no length."""
    mean = float(x[0])
    return Interval(mean, mean, mean, x.size) if x.size > 1 else Interval(mean, np.nan, np.nan, 1)
