"""What can be written down: the exact pieces of problem (P), vectorised over its devices.

Notation, for one device: A = T - t_fix is the time that is left, y = 1 - rho the kept fraction, R the rate at bandwidth B, and

    t(rho, B) = t_fix + y t_u + (Q0 + y Q) / R(B).

Closed form 2, the bandwidth that a rate needs, is ``cosim.rate.shannon_bandwidth_hz``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cosim.interfaces import AllocationProblem, FloatArray
from cosim.rate import LN2, Shannon, Side, reached_bps, sides

# a ufunc takes an array without dimensions in half the time that it takes a Python float
_ONE, _NOTHING, _UP = (np.array(value) for value in (1.0, 1e-14, 1.0 + 1e-15))


def planned_latency_s(problem: AllocationProblem, prune_ratio: ArrayLike, bandwidth_hz: ArrayLike) -> FloatArray:
    """Planned time t(rho, B) [s] of each device, (n,); inf where there are bits to send and no rate."""
    return latency_at_rate_s(problem, np.asarray(prune_ratio, np.float64), problem.rate.value(bandwidth_hz, problem.snr_hz))


def latency_at_rate_s(problem: AllocationProblem, prune_ratio: FloatArray, rate_bps: FloatArray) -> FloatArray:
    """The same from rates R [bit/s] (n,)."""
    kept = _ONE - prune_ratio
    bits = problem.fixed_bits + kept * problem.prunable_bits
    return problem.fixed_time_s + kept * problem.prunable_time_s + upload_time_s(bits, rate_bps)


def upload_time_s(bits: FloatArray, rate_bps: FloatArray) -> FloatArray:
    """Time [s] to send bits at a rate; 0 for nothing to send, inf at rate 0."""
    if rate_bps.size and np.minimum.reduce(rate_bps, axis=None) > 0:
        return bits / rate_bps
    return np.divide(bits, rate_bps, out=np.where(bits > 0, np.inf, 0.0), where=(bits > 0) & (rate_bps > 0))


def prune_ratio(problem: AllocationProblem, bandwidth_hz: ArrayLike) -> FloatArray:
    """Closed form 1: the least pruning ratio with which each device meets the threshold at these bandwidths, (n,).

    t(rho, B) <= T reads y (t_u + Q / R) <= A - Q0 / R, so the largest kept fraction is y(B) = (A R - Q0) / (t_u R + Q) and

        rho*(B) = clip(1 - y(B), 0, rho_max) = clip((Q0 + Q - (A - t_u) R) / (t_u R + Q), 0, rho_max).

    y is an increasing concave function of R, and R is concave in B. The result is rounded up by 1e-15 of itself, so that rounding
    cannot break the threshold where rho is close to 1 and little is kept; what rounding leaves of a ratio 0 (up to 1e-14) is 0. Where
    even rho_max is too slow, rho_max is returned; where pruning saves nothing (t_u = Q = 0), 0.
    """
    return prune_ratio_at_rate(problem, problem.rate.value(bandwidth_hz, problem.snr_hz))


def prune_ratio_at_rate(problem: AllocationProblem, rate_bps: FloatArray) -> FloatArray:
    """The same from rates R [bit/s] (n,)."""
    spare_s = problem.latency_threshold_s - problem.fixed_time_s - problem.prunable_time_s
    work = problem.prunable_time_s * rate_bps + problem.prunable_bits
    with np.errstate(all="ignore"):
        ratio = (problem.fixed_bits + problem.prunable_bits - spare_s * rate_bps) / work
        if work.size and not np.minimum.reduce(work, axis=None) > 0:
            # at R = 0 with nothing to send only computing counts: its limit is 1 - A / t_u
            idle = np.where(problem.fixed_bits > 0, np.inf, -spare_s / problem.prunable_time_s)
            ratio = np.where(work > 0, ratio, np.where(problem.prunable_time_s > 0, idle, 0.0))
        ratio = np.where(ratio < _NOTHING, 0.0, ratio * _UP)
    return np.fmin(ratio, problem.prune_max)


def bandwidth_range_hz(problem: AllocationProblem) -> tuple[FloatArray, FloatArray]:
    """Bandwidths B_min and B_max [Hz] between which a device has a choice, each (n,).

    B_min makes rho = rho_max, B_max makes rho = 0: with kept fraction y the rate must be (Q0 + y Q) / (A - y t_u).
    B_min is inf where no bandwidth is enough. Where rho = 0 is out of reach, B_max is the bandwidth beyond which the
    rate grows no more; inf if it always grows.
    """
    left_s = problem.latency_threshold_s - problem.fixed_time_s
    kept = np.empty((2, left_s.size))
    kept[0], kept[1] = _ONE - problem.prune_max, _ONE
    bits, time_s = problem.fixed_bits + kept * problem.prunable_bits, left_s - kept * problem.prunable_time_s
    if time_s.size and np.minimum.reduce(time_s, axis=None) > 0:
        needed = bits / time_s
    else:
        unreachable = np.where((time_s < 0) | (bits > 0), np.inf, 0.0)
        needed = np.divide(bits, time_s, out=unreachable, where=time_s > 0)
    top = reached_bps(problem.rate, problem.snr_hz)
    if top is not None:
        np.minimum(needed[1], top, out=needed[1])
    snr = problem.snr_hz
    least, most = problem.rate.inverse(needed, np.concatenate([snr, snr]).reshape(needed.shape))
    return least, np.maximum(least, most)


def log_pull(problem: AllocationProblem) -> FloatArray:
    """ln(w (A Q + t_u Q0)), the part of the log marginal value that no bandwidth changes, (n,); -inf where pruning does not matter."""
    left_s = problem.latency_threshold_s - problem.fixed_time_s
    pull = problem.weight * (np.maximum(left_s, 0.0) * problem.prunable_bits + problem.prunable_time_s * problem.fixed_bits)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(pull))


def log_marginal(problem: AllocationProblem, bandwidth_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
    """Logarithm of the marginal value of bandwidth, d(w y)/dB [1/Hz], (n,).

        w y'(B) = w (A Q + t_u Q0) R'(B) / (t_u R + Q)^2

    follows from closed form 1 by the quotient rule. It falls in B; where R has a kink the two sides differ.
    -inf where bandwidth is worth nothing.
    """
    rate, snr = problem.rate, problem.snr_hz
    return _log_marginal(problem, rate.value(bandwidth_hz, snr), rate.derivative(bandwidth_hz, snr, side=side))


def log_marginals(problem: AllocationProblem, bandwidth_hz: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """R [bit/s], and the logarithms of the left and the right marginal value (n,). A share within rounding of a kink is at the kink."""
    value, before, beyond = sides(problem.rate, bandwidth_hz, problem.snr_hz)
    left = _log_marginal(problem, value, before)
    return value, left, left if beyond is before else _log_marginal(problem, value, beyond)


def _log_marginal(problem: AllocationProblem, rate_bps: FloatArray, slope: FloatArray) -> FloatArray:
    pull = log_pull(problem)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_slope = np.log(slope)
        height = pull + log_slope - 2.0 * np.log(problem.prunable_time_s * rate_bps + problem.prunable_bits)
    return np.where((pull == -np.inf) | (log_slope == -np.inf), -np.inf, height)


def shannon_bandwidth_at_price_hz(price: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
    """Closed form 3: the bandwidth [Hz] at which Shannon's marginal rate has fallen to c / ln 2.

    With z = B / (B + s) the equation ln(1 + x) - x / (1 + x) = c, x = s/B, reads z - ln z = 1 + c, so z = -W_0(-e^{-(1+c)})
    on the principal branch and

        B = s z / (1 - z).

    For t_u = 0 a device in the inside of its range holds this bandwidth, with c = lambda Q ln2 / (w A): Q0 drops out.
    ``price``: c > 0, array; ``snr_hz``: s >= 0 [Hz]. As c -> 0 the branch point is near and W_0 loses digits; so the same root
    is found by Newton's method for v = -ln z from above, where v + e^{-v} - 1 = c is convex and free of cancellation.
    """
    c, s = np.broadcast_arrays(np.asarray(price, np.float64), np.asarray(snr_hz, np.float64))
    v = np.minimum(c + np.sqrt(2.0 * c), c + 1.0)
    for _ in range(50):
        near = Shannon().derivative(1.0, np.expm1(np.minimum(v, 1.0))) * LN2
        step = (np.where(v < 1.0, near, v + np.expm1(-v)) - c) / -np.expm1(-v)
        v = v - step
        if np.all(np.abs(step) <= 1e-9 * v):
            break
    return np.asarray(s * np.exp(-v) / -np.expm1(-v))
