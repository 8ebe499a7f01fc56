"""What can be written down: the exact pieces of problem (P), vectorised over its devices.

Notation, for one device: A = T - t_fix is the time that is left, y = 1 - rho the kept fraction, R the rate at bandwidth B, and

    t(rho, B) = t_fix + y t_u + (Q0 + y Q) / R(B).

Closed form 2, the bandwidth that a rate needs, is ``cosim.rate.shannon_bandwidth_hz``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cosim.interfaces import AllocationProblem, FloatArray
from cosim.rate import LN2, Shannon, Side


def planned_latency_s(problem: AllocationProblem, prune_ratio: ArrayLike, bandwidth_hz: ArrayLike) -> FloatArray:
    """Planned time t(rho, B) [s] of each device, (n,); inf where there are bits to send and no rate."""
    kept = 1.0 - np.asarray(prune_ratio, np.float64)
    bits = problem.fixed_bits + kept * problem.prunable_bits
    rate = problem.rate.value(bandwidth_hz, problem.snr_hz)
    return problem.fixed_time_s + kept * problem.prunable_time_s + upload_time_s(bits, rate)


def upload_time_s(bits: FloatArray, rate_bps: FloatArray) -> FloatArray:
    """Time [s] to send bits at a rate; 0 for nothing to send, inf at rate 0."""
    return np.divide(bits, rate_bps, out=np.where(bits > 0, np.inf, 0.0), where=(bits > 0) & (rate_bps > 0))


def prune_ratio(problem: AllocationProblem, bandwidth_hz: ArrayLike) -> FloatArray:
    """Closed form 1: the least pruning ratio with which each device meets the threshold at these bandwidths, (n,).

    t(rho, B) <= T reads y (t_u + Q / R) <= A - Q0 / R, so the largest kept fraction is y(B) = (A R - Q0) / (t_u R + Q) and

        rho*(B) = clip(1 - y(B), 0, rho_max) = clip((Q0 + Q - (A - t_u) R) / (t_u R + Q), 0, rho_max).

    y is an increasing concave function of R, and R is concave in B. The result is rounded up by 1e-15 of itself, so that rounding
    cannot break the threshold where rho is close to 1 and little is kept; what rounding leaves of a ratio 0 (up to 1e-14) is 0. Where
    even rho_max is too slow, rho_max is returned; where pruning saves nothing (t_u = Q = 0), 0.
    """
    rate = problem.rate.value(bandwidth_hz, problem.snr_hz)
    spare_s = problem.latency_threshold_s - problem.fixed_time_s - problem.prunable_time_s
    work = problem.prunable_time_s * rate + problem.prunable_bits
    with np.errstate(invalid="ignore", over="ignore"):
        excess = problem.fixed_bits + problem.prunable_bits - spare_s * rate
        # at R = 0 with nothing to send only computing counts: its limit is 1 - A / t_u
        idle = -spare_s / np.where(problem.prunable_time_s > 0, problem.prunable_time_s, np.inf)
    idle = np.where(problem.fixed_bits > 0, np.inf, idle)
    ratio = np.divide(excess, work, out=np.where(problem.prunable_time_s > 0, idle, 0.0), where=work > 0)
    ratio = np.where(ratio < 1e-14, 0.0, ratio * (1.0 + 1e-15))
    return np.clip(np.where(np.isnan(ratio), np.inf, ratio), 0.0, problem.prune_max)


def bandwidth_range_hz(problem: AllocationProblem) -> tuple[FloatArray, FloatArray]:
    """Bandwidths B_min and B_max [Hz] between which a device has a choice, each (n,).

    B_min makes rho = rho_max, B_max makes rho = 0: with kept fraction y the rate must be (Q0 + y Q) / (A - y t_u).
    B_min is inf where no bandwidth is enough. Where rho = 0 is out of reach, B_max is the bandwidth beyond which the
    rate grows no more; inf if it always grows.
    """
    least = problem.rate.inverse(_rate_for_kept_bps(problem, 1.0 - problem.prune_max), problem.snr_hz)
    supremum = problem.rate.supremum(problem.snr_hz)
    most = problem.rate.inverse(np.minimum(_rate_for_kept_bps(problem, np.ones_like(least)), supremum), problem.snr_hz)
    return least, np.maximum(least, most)


def _rate_for_kept_bps(problem: AllocationProblem, kept: FloatArray) -> FloatArray:
    bits = problem.fixed_bits + kept * problem.prunable_bits
    time_s = problem.latency_threshold_s - problem.fixed_time_s - kept * problem.prunable_time_s
    unreachable = np.where((time_s < 0) | (bits > 0), np.inf, 0.0)
    return np.divide(bits, time_s, out=unreachable, where=time_s > 0)


def log_pull(problem: AllocationProblem) -> FloatArray:
    """ln(w (A Q + t_u Q0)), the part of the log marginal value that no bandwidth changes, (n,); -inf where pruning does not matter."""
    left_s = problem.latency_threshold_s - problem.fixed_time_s
    pull = problem.weight * (np.maximum(left_s, 0.0) * problem.prunable_bits + problem.prunable_time_s * problem.fixed_bits)
    return np.log(pull, out=np.full_like(pull, -np.inf), where=pull > 0)


def log_marginal(problem: AllocationProblem, bandwidth_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
    """Logarithm of the marginal value of bandwidth, d(w y)/dB [1/Hz], (n,).

        w y'(B) = w (A Q + t_u Q0) R'(B) / (t_u R + Q)^2

    follows from closed form 1 by the quotient rule. It falls in B; where R has a kink the two sides differ.
    -inf where bandwidth is worth nothing.
    """
    rate, snr = problem.rate, problem.snr_hz
    pull = log_pull(problem)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.log(rate.derivative(bandwidth_hz, snr, side=side))
        work = np.log(problem.prunable_time_s * rate.value(bandwidth_hz, snr) + problem.prunable_bits)
        return np.where(np.isneginf(pull) | np.isneginf(slope), -np.inf, pull + slope - 2.0 * work)


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
