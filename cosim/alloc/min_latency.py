"""The shortest round for given pruning ratios, with a certificate of its own."""

from __future__ import annotations

import dataclasses
from typing import final

import numpy as np

from cosim.alloc.problem import fastest, make_allocation, subset
from cosim.component import Component, quantity
from cosim.interfaces import Allocation, AllocationProblem, Certificate, FloatArray

_HAIR = 1e-12


@final
class MinLatency(Component):
    """Every device prunes ``prune_ratio`` (its prune_max if that is less); bandwidths minimise the largest latency.

        minimise tau   subject to   t_k(rho_k, B_k) <= tau,   sum_k B_k <= band

    It does not aim at the threshold: ``feasible`` is True where the least tau happens to be within it. Devices that no bandwidth
    reaches are not selected. ``personalization_only`` is the case of ratio 0; with ratio 1 every device prunes its prune_max,
    and tau is the least feasible threshold. The certificate is about this problem (see ``certify_latency``). Being in s/Hz,
    its multiplier is not that of (P): ``multiplier`` is NaN.
    """

    prune_ratio: float = quantity(0.5, "", "pruning ratio of every device, cut to its prune_max", ge=0, le=1)

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:  # noqa: ARG002
        """Bandwidths to about 1e-12 (relative); draws no random numbers."""
        ratio = np.minimum(self.prune_ratio, problem.prune_max)
        _, reached, share = fastest(problem, 1.0 - ratio)
        answer = make_allocation(problem, reached, ratio, share)
        return dataclasses.replace(answer, certificate=certify_latency(problem, answer))


def certify_latency(problem: AllocationProblem, allocation: Allocation) -> Certificate:
    """How far the selected devices' bandwidths are from those with the smallest largest latency tau at these ratios.

    t falls in B and is convex. For any nu_k >= 0 with sum nu = 1 and nu_k t_k'(B_k) = -lambda, every other choice B' has

        max t(B') >= sum nu t(B') >= sum nu t(B) - lambda (band - sum B),

    so the right side bounds tau from below, whoever found B. Here nu_k = lambda / |t_k'| over the devices that have bits to send,
    t_k' being the right derivative; or all of nu on the slowest device that more bandwidth does not help (t_k' = 0, or nothing to
    send), where that is the higher bound. Residuals, relative to tau or the band: primal: the largest violation of sum B <= band, B >= 0,
    0 <= rho <= rho_max; complementarity: the largest nu (tau - t), and the worth of the idle band; gap: tau less the
    bound. Stationarity and dual feasibility hold as nu is made.
    """
    chosen = allocation.selected
    if not chosen.any():
        return Certificate(0.0, 0.0, 0.0, 0.0, 0.0)
    part, ratio, share, late = (
        subset(problem, chosen),
        allocation.prune_ratio[chosen],
        allocation.bandwidth_hz[chosen],
        allocation.latency_s[chosen],
    )
    tau_s, band = float(late.max()), problem.bandwidth_hz
    if tau_s == 0:
        return Certificate(0.0, 0.0, 0.0, 0.0, 0.0)
    idle_hz = max(0.0, band - float(share.sum()))
    nu, price = _multipliers(part, ratio, share, late, idle_hz)
    idle_s = price * idle_hz
    slack_s = nu * (tau_s - late)
    outside = np.maximum(-ratio, ratio - part.prune_max)
    return Certificate(
        primal=float(max(0.0, share.sum() / band - 1.0, -share.min() / band, outside.max())),
        dual=0.0,
        complementarity=float(max(slack_s.max(), idle_s)) / tau_s,
        stationarity=0.0,
        gap=(float(slack_s.sum()) + idle_s) / tau_s,
    )


def _multipliers(
    problem: AllocationProblem, ratio: FloatArray, share: FloatArray, late: FloatArray, idle_hz: float
) -> tuple[FloatArray, float]:
    """Multipliers nu (n,) of the latencies, summing to 1, and lambda [s/Hz] of the band."""
    bits = problem.fixed_bits + (1.0 - ratio) * problem.prunable_bits
    beyond = share * (1.0 + _HAIR)
    rate, slope = problem.rate.value(beyond, problem.snr_hz), problem.rate.derivative(beyond, problem.snr_hz)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_s = np.where(bits > 0, rate / bits * (rate / slope), 0.0)  # 1 / |t'| [Hz/s]
    unhelped_s = np.where(np.isinf(per_s) | (bits == 0), late, -np.inf)
    alone, total = int(np.argmax(unhelped_s)), float(per_s.sum())
    if not np.isfinite(total) or unhelped_s[alone] * total >= float(per_s @ late) - idle_hz:
        return np.where(np.arange(late.size) == alone, 1.0, 0.0), 0.0
    return per_s / total, 1.0 / total
