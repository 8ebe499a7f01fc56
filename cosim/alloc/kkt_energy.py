"""Problem (P) with an energy budget per device and round: transmit power and clock are chosen too."""

from __future__ import annotations

import dataclasses
from typing import final

import numpy as np

from cosim.alloc.certificate import HAIR, NOTHING, State, residuals
from cosim.alloc.closed_forms import planned_latency_s
from cosim.alloc.curves import FLOOR, Kinks, clear_curves
from cosim.alloc.energy import at_settings, energy_limit, planned_energy_j
from cosim.alloc.energy_curves import EnergyCurves, curve_range_hz, least_range_hz, relaxed
from cosim.alloc.kkt import KKT, largest_set
from cosim.alloc.problem import falling_root, least_feasible_threshold, make_allocation, subset
from cosim.component import Component
from cosim.interfaces import Allocation, AllocationProblem, Certificate, FloatArray


@final
class KKTEnergy(Component):
    """The optimum of (P) under an energy budget: pruning ratios, bandwidths, transmit powers and clocks at once.

        minimise    sum_k w_k rho_k
        subject to  time and energy of ``cosim.interfaces.EnergyLimit``, sum_k B_k <= band, 0 <= rho_k <= rho_max,k

    Jointly non-convex as written; but each device's largest kept fraction y_k(B), over powers and clocks, is concave in its
    bandwidth (proof in ``cosim.alloc.energy_curves``), so what is left is a concave problem with one multiplier, as in ``kkt``, and the
    certificate proves the optimum. With an uplink of whole blocks y_k need not be concave: the search is the same, and the
    certificate's ``gap`` is a valid bound of the loss, against the optimum with a rate that is nowhere less.

    A problem without an energy record is (P) itself. Devices that cannot be served within threshold and budget are left out
    as in ``kkt``. A device that need not prune may finish early and below its budget.
    """

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:
        """The optimum of ``problem``; draws no random numbers."""
        if problem.energy is None:
            return KKT().allocate(problem, rng)
        return _solve(problem)


def least_threshold_within_budget(problem: AllocationProblem) -> float:
    """The least threshold T [s], to 1e-6 of it, with which all devices that can be reached can be served within their energy budgets.

    Each at its prune_max. Devices do not count that no bandwidth reaches, or whose budget is not enough even with the whole band, at
    the least power and clock; 0 if none is left. Raises AllocationError without an energy record.
    """
    limit, most_pruned, band = energy_limit(problem), problem.prune_max, problem.bandwidth_hz
    whole = np.full_like(most_pruned, band)
    thrifty = at_settings(problem, limit.power_min_w, limit.frequency_min_hz)
    spent = planned_energy_j(problem, most_pruned, whole, power_w=limit.power_min_w, frequency_hz=limit.frequency_min_hz)
    reached = np.isfinite(planned_latency_s(thrifty, most_pruned, whole)) & (spent <= limit.budget_j)
    if not reached.any():
        return 0.0
    part = subset(problem, reached)

    def excess(threshold_s: float) -> float:
        tried = dataclasses.replace(part, latency_threshold_s=threshold_s)
        return 1.0 - band / max(float(least_range_hz(tried, EnergyCurves(tried)).sum()), 1e-30 * band)

    low = least_feasible_threshold(part)
    for _ in range(60):
        high = 2.0 * low
        if excess(high) <= 0:
            return falling_root(excess, low, high, 1e-6)
        low = high
    return float("inf")


def _solve(problem: AllocationProblem) -> Allocation:
    """The optimum, with its certificate."""
    curves = EnergyCurves(problem)
    least, most = curve_range_hz(problem, curves)
    selected = largest_set(problem, least)
    part = subset(problem, selected)
    least, most = least[selected], most[selected]
    curves = EnergyCurves(part)
    share, price = _clear(part, curves, (least, most)) if len(least) else (least, 0.0)
    best = curves.at(np.where(share > 0, share, 1e-12 * part.bandwidth_hz))
    limit = energy_limit(part)
    kept = np.where((share > 0) | (part.prunable_bits == 0), best.kept, 0.0)  # without bandwidth there is nothing to be sent
    ratio, bandwidth, power, clock = np.full((4, problem.weight.size), np.nan)
    ratio[selected], bandwidth[selected] = np.clip(1.0 - kept, 0.0, part.prune_max), share
    power[selected], clock[selected] = best.power * limit.power_w, best.clock * limit.frequency_hz
    answer = make_allocation(at_settings(problem, power, clock), selected, ratio, bandwidth)
    answer = dataclasses.replace(answer, multiplier=price, feasible=bool(selected.all()), transmit_power_w=power, frequency_hz=clock)
    return dataclasses.replace(answer, certificate=_certify(problem, answer, (least, most)))


def _clear(problem: AllocationProblem, curves: EnergyCurves, span: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, float]:
    """Bandwidths (n,) and the price; devices without weight or choice hold their least."""
    least, most = span
    left, _ = curves.heights(np.maximum(least, 1e-9 * most)[None, :])
    wants = (problem.weight > 0) & (most > least) & (left[0] > FLOOR)
    share = least.copy()
    if not wants.any():
        return share, 0.0
    some = subset(problem, wants)
    share[wants], price = clear_curves(
        EnergyCurves(some).heights,
        (least[wants], most[wants]),
        problem.bandwidth_hz - float(least[~wants].sum()),
        Kinks(problem.rate, some.snr_hz),
    )
    return share, price


def _certify(problem: AllocationProblem, answer: Allocation, span: tuple[FloatArray, FloatArray]) -> Certificate:
    """Relative residuals as in ``cosim.alloc.certificate.certify``, of the problem in which y_k(B) has taken power and clock in.

    primal: also p and f outside their ranges, and energy above the budget, relative to it. complementarity: the idle part of the
    band, if lambda > 0, and the pruning beyond what y_k(B) asks for.
    """
    part = subset(problem, answer.selected)
    if part.device_ids.size == 0:
        return NOTHING
    share, ratio, late_s = (values[answer.selected] for values in (answer.bandwidth_hz, answer.prune_ratio, answer.latency_s))
    curves, price = EnergyCurves(part), answer.multiplier
    near = np.maximum(share, 1e-12 * part.bandwidth_hz)
    left = np.exp(curves.heights((near * (1.0 - HAIR))[None, :])[0][0])
    right = np.exp(curves.heights((near * (1.0 + HAIR))[None, :])[1][0])
    needless = ratio - np.clip(1.0 - curves.at(near).kept, 0.0, part.prune_max)
    found = residuals(State(part, share, *span, left, right, price), ratio, late_s, needless)
    loss = found.gap
    if relaxed(part) is not part:
        bound = _solve(relaxed(part))
        assert bound.certificate is not None
        scale = float(part.weight.sum()) + price * part.bandwidth_hz
        least_objective = bound.objective - bound.certificate.gap * (float(part.weight.sum()) + bound.multiplier * part.bandwidth_hz)
        loss = max(0.0, float(part.weight @ ratio) - least_objective) / scale if scale > 0 else 0.0
    return dataclasses.replace(found, primal=_primal(part, answer), gap=loss)


def _primal(part: AllocationProblem, answer: Allocation) -> float:
    assert answer.transmit_power_w is not None
    assert answer.frequency_hz is not None
    limit, chosen, band = energy_limit(part), answer.selected, part.bandwidth_hz
    share, ratio, latency = answer.bandwidth_hz[chosen], answer.prune_ratio[chosen], answer.latency_s[chosen]
    power, clock = answer.transmit_power_w[chosen], answer.frequency_hz[chosen]
    threshold = part.latency_threshold_s
    spent = planned_energy_j(part, ratio, share, power_w=power, frequency_hz=clock)
    late = (latency - threshold) / threshold if threshold > 0 else np.sign(latency - threshold)
    over = np.where(np.isinf(limit.budget_j), 0.0, spent / limit.budget_j - 1.0)
    power_out = np.maximum(limit.power_min_w - power, power - limit.power_w) / limit.power_w
    clock_out = np.maximum(limit.frequency_min_hz - clock, clock - limit.frequency_hz) / limit.frequency_hz
    worst = [late, over, power_out, clock_out, -ratio, ratio - part.prune_max, -share / band]
    return max(0.0, float(share.sum()) / band - 1.0, *(float(values.max()) for values in worst))
