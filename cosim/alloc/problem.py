"""What every allocator needs around problem (P): making an answer, checking one, and the thresholds that are within reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from cosim.alloc.closed_forms import planned_latency_s, upload_time_s
from cosim.alloc.energy import at_settings, energy_limit, planned_energy_j
from cosim.alloc.finish import finish_together
from cosim.errors import AllocationError
from cosim.interfaces import Allocation, AllocationProblem, BoolArray, FloatArray

TOLERANCE = 1e-9
"""Relative slack that ``check_allocation`` grants to rounding."""


def subset(problem: AllocationProblem, chosen: BoolArray) -> AllocationProblem:
    """The problem of some of its devices: ``chosen`` is a mask (n,)."""
    if chosen.all():
        return problem
    per_device = ("device_ids", "weight", "fixed_time_s", "prunable_time_s", "fixed_bits", "prunable_bits", "snr_hz", "prune_max")
    energy = None if problem.energy is None else problem.energy.subset(chosen)
    return dataclasses.replace(problem, energy=energy, **{name: getattr(problem, name)[chosen] for name in per_device})


def make_allocation(problem: AllocationProblem, selected: BoolArray, prune_ratio: FloatArray, bandwidth_hz: FloatArray) -> Allocation:
    """An allocation from its decisions (n,): devices not selected get bandwidth 0, pruning ratio 1 and latency inf.

    ``feasible`` is worked out: all devices selected and within the threshold. No multiplier, no certificate. Where rounding
    makes the shares sum to more than the band, they are all reduced by as much.
    """
    ratio, share = np.where(selected, prune_ratio, 1.0), np.where(selected, bandwidth_hz, 0.0)
    overshoot = share.sum() / problem.bandwidth_hz
    if 1.0 < overshoot < 1.0 + TOLERANCE:
        share = share / (overshoot * (1.0 + 1e-15))
    latency_s = np.where(selected, planned_latency_s(problem, ratio, share), np.inf)
    return Allocation(
        selected=selected,
        prune_ratio=ratio,
        bandwidth_hz=share,
        latency_s=latency_s,
        objective=float(problem.weight @ ratio),
        multiplier=float("nan"),
        feasible=bool(np.all(latency_s <= problem.latency_threshold_s * (1.0 + TOLERANCE))),
    )


def check_allocation(problem: AllocationProblem, allocation: Allocation) -> None:
    """Raise AllocationError where an answer breaks a constraint of problem (P) or says what is not so.

    Every answer: shapes; selected devices have finite numbers, 0 <= rho <= rho_max, B >= 0; the others B = 0, rho = 1 and latency
    inf; sum of B within the band; ``latency_s`` equals t(rho, B); ``objective`` equals sum w rho. The threshold binds an
    allocator that says ``feasible=True``: then every device is selected and meets it. One that says False may have left
    devices out or exceeded the threshold (as ``personalization_only`` does, which does not aim at it), but not hidden it.
    The problem's energy budget binds an allocator that chooses transmit powers and clocks: they lie in their ranges, ``latency_s`` is
    the time with them, and no selected device spends more than its budget. One that does not choose does not know of the budget.
    Tolerance: 1e-9, relative.
    """
    _check_shapes(problem, allocation)
    problem = _check_energy(problem, allocation)
    chosen, share, ratio = allocation.selected, allocation.bandwidth_hz, allocation.prune_ratio
    claimed = allocation.latency_s
    latency = planned_latency_s(problem, ratio, np.where(chosen, share, 0.0))
    _refuse(problem, chosen & ~np.isfinite(share), "bandwidth_hz is not finite", share, 0.0)
    _refuse(problem, share < 0, "bandwidth_hz is below 0", share, 0.0)
    _refuse(problem, ~chosen & (share != 0), "bandwidth_hz of a device that is not selected must be 0", share, 0.0)
    _refuse(problem, chosen & ~(ratio >= -TOLERANCE), "prune_ratio is below 0", ratio, 0.0)
    _refuse(problem, chosen & ~(ratio <= problem.prune_max + TOLERANCE), "prune_ratio is above prune_max", ratio, problem.prune_max)
    _refuse(problem, ~chosen & (ratio != 1), "prune_ratio of a device that is not selected must be 1", ratio, 1.0)
    _refuse(
        problem,
        ~chosen & (allocation.latency_s != np.inf),
        "latency_s of a device that is not selected must be inf",
        allocation.latency_s,
        np.inf,
    )
    endless = chosen & ~np.isfinite(latency)
    _refuse(problem, endless, "selected, but its upload never ends: more band, or selected=False; bandwidth_hz", share)
    with np.errstate(invalid="ignore"):
        honest = np.abs(claimed - latency) <= TOLERANCE * latency
    _refuse(problem, chosen & ~honest, "latency_s is not the planned latency t(rho, B)", allocation.latency_s, latency)
    total, band = float(share.sum()), problem.bandwidth_hz
    if total > band * (1.0 + TOLERANCE):
        raise AllocationError(f"the shares sum to {total:.12g} Hz, {total - band:.6g} Hz above the band of {band:.12g} Hz")
    if allocation.feasible:
        _refuse(problem, ~chosen, "feasible=True, but this device is not selected; prune_ratio", ratio, problem.prune_max)
        late = allocation.latency_s > problem.latency_threshold_s * (1.0 + TOLERANCE)
        _refuse(
            problem, late, "feasible=True, but latency_s is above latency_threshold_s", allocation.latency_s, problem.latency_threshold_s
        )
    objective = float(problem.weight @ ratio)
    if not abs(allocation.objective - objective) <= TOLERANCE * max(objective, 1e-300):
        raise AllocationError(f"objective is {allocation.objective!r}, but sum of weight * prune_ratio is {objective!r}")
    if allocation.multiplier < 0:
        raise AllocationError(f"multiplier is {allocation.multiplier!r} 1/Hz, must be >= 0, or NaN where there is none")


def _check_energy(problem: AllocationProblem, allocation: Allocation) -> AllocationProblem:
    """The problem at the powers and clocks that were chosen, after a look at them; as it is where none were."""
    power, clock, chosen = allocation.transmit_power_w, allocation.frequency_hz, allocation.selected
    if power is None and clock is None:
        return problem
    if power is None or clock is None:
        raise AllocationError("transmit_power_w and frequency_hz belong together: one of them is None")
    limit = energy_limit(problem)
    for name, found, least, most in (
        ("transmit_power_w", power, limit.power_min_w, limit.power_w),
        ("frequency_hz", clock, limit.frequency_min_hz, limit.frequency_hz),
    ):
        if found.shape != chosen.shape:
            raise AllocationError(f"{name} has shape {found.shape}, must be {chosen.shape}: one number for each device of the problem")
        _refuse(problem, chosen & ~(found >= least * (1.0 - TOLERANCE)), f"{name} is below its least", found, least)
        _refuse(problem, chosen & ~(found <= most * (1.0 + TOLERANCE)), f"{name} is above its largest", found, most)
        _refuse(problem, ~chosen & ~np.isnan(found), f"{name} of a device that is not selected must be NaN", found, np.nan)
    with np.errstate(invalid="ignore"):
        share = np.where(chosen, allocation.bandwidth_hz, np.nan)
        spent = planned_energy_j(problem, allocation.prune_ratio, share, power_w=power, frequency_hz=clock)
    over = chosen & (spent > limit.budget_j * (1.0 + TOLERANCE))
    _refuse(problem, over, "planned energy is above energy.budget_j", spent, limit.budget_j)
    return at_settings(problem, power, clock)


def _check_shapes(problem: AllocationProblem, allocation: Allocation) -> None:
    expected = problem.device_ids.shape
    for name in ("selected", "prune_ratio", "bandwidth_hz", "latency_s"):
        shape = np.shape(getattr(allocation, name))
        if shape != expected:
            raise AllocationError(f"{name} has shape {shape}, must be {expected}: one number for each device of the problem")


def _refuse(problem: AllocationProblem, wrong: BoolArray, what: str, found: FloatArray, bound: FloatArray | float | None = None) -> None:
    """Raise for the first wrong device, with its value and, where there is a bound, that and the distance."""
    if wrong.any():
        first = int(np.argmax(wrong))
        value, against = float(found[first]), ""
        if bound is not None:
            limit = float(np.broadcast_to(bound, found.shape)[first])
            against = f" against {limit:.12g}, difference {value - limit:.3g}"
        raise AllocationError(f"device {problem.device_ids[first]}: {what} ({value:.12g}{against}); {int(wrong.sum())} device(s) in all")


def unpruned_latency(problem: AllocationProblem) -> float:
    """Least round time [s] without pruning: the smallest possible largest t(0, B), what ``personalization_only`` needs.

    The problem's own threshold plays no part. Devices that no bandwidth reaches (no gain, endless fixed time) do not
    count; 0 if none is left.
    """
    return fastest_unpruned(problem)[0]


def least_feasible_threshold(problem: AllocationProblem) -> float:
    """The least threshold T [s] with which all devices that can be reached can be served, each at its prune_max.

    Under full power and clock; within energy budgets there is ``cosim.alloc.kkt_energy.least_threshold_within_budget``.
    """
    return fastest(problem, 1.0 - problem.prune_max)[0]


def fastest_unpruned(problem: AllocationProblem) -> tuple[float, BoolArray, FloatArray]:
    """Round time [s], devices that can be reached (n,) and bandwidths [Hz] (n,) that minimise the largest t(0, B)."""
    return fastest(problem, np.ones_like(problem.weight))


def fastest(problem: AllocationProblem, kept: FloatArray) -> tuple[float, BoolArray, FloatArray]:
    """Round time tau [s], devices that can be reached (n,) and bandwidths [Hz] (n,) that minimise the largest t at kept fractions y (n,).

    tau is the least with sum_k R^-1((Q0 + y Q) / (tau - t_fix - y t_u)) <= band; the sum falls in tau. All of the band for each
    device gives a lower bound of tau, equal shares an upper one.
    """
    own_time_s = problem.fixed_time_s + kept * problem.prunable_time_s
    bits = problem.fixed_bits + kept * problem.prunable_bits
    rate, snr, band = problem.rate, problem.snr_hz, problem.bandwidth_hz

    def alone_s(share_hz: float) -> FloatArray:
        return own_time_s + upload_time_s(bits, rate.value(share_hz, snr))

    alone = alone_s(band)
    reached = np.isfinite(alone)
    if not reached.any():
        return 0.0, reached, np.zeros_like(bits)

    def needed_hz(tau_s: float) -> FloatArray:
        left_s = tau_s - own_time_s
        speed = np.divide(bits, left_s, out=np.where(bits > 0, np.inf, 0.0), where=left_s > 0)
        return np.where(reached, rate.inverse(speed, snr), 0.0)

    def excess(tau_s: float) -> float:
        """1 - band / sum: below the first possible tau still finite, and nearly straight where one device decides."""
        return 1.0 - band / max(float(needed_hz(tau_s).sum()), 1e-30 * band)

    low, high = float(alone[reached].max()), float(alone_s(band / reached.sum())[reached].max())
    sends = reached & (bits > 0)
    if sends.any() and low < high:
        together = finish_together(rate, snr[sends], own_time_s[sends], bits[sends], (low, high, band))
        if together is not None and together[0] >= low:
            share = np.zeros_like(bits)
            share[sends] = together[1]
            return together[0], reached, share
    tau_s = falling_root(excess, low, high)
    share = needed_hz(tau_s)
    return tau_s, reached, share


def falling_root(function: Callable[[float], float], low: float, high: float, tolerance: float = 1e-14) -> float:
    """The least x in [low, high], to about ``tolerance`` (relative), with f(x) <= 0, for falling f; f(high) <= 0 is taken for granted.

    Method of Oliveira and Takahashi (ITP, ACM TOMS 2021): interpolate, truncate, project; never slower than bisection.
    """
    at_low, at_high = function(low), min(function(high), 0.0)
    if at_low <= 0.0:
        return low
    width = tolerance * max(abs(low), abs(high))
    span = high - low
    radius = span
    while high - low > width:
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        secant = (low * at_high - high * at_low) / (at_high - at_low) if np.isfinite(at_low) else middle
        push = min(max(0.2 / span * (high - low) ** 2, 0.5 * width), abs(middle - secant))
        trial = secant + np.sign(middle - secant) * push
        slack = max(radius - half, 0.0)
        trial = min(max(trial, middle - slack), middle + slack)
        radius *= 0.5
        at_trial = function(trial)
        if at_trial > 0.0:
            low, at_low = trial, at_trial
        else:
            high, at_high = trial, at_trial
    return high
