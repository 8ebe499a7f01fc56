"""The allocator with a pruning-error curve against a conic solver (Clarabel through CVXPY), and against a search."""

import dataclasses
import warnings

import numpy as np
import pytest

from cosim.alloc.closed_forms import prune_ratio
from cosim.alloc.pruning_aware import PruningAware
from cosim.interfaces import AllocationProblem, PruningCost
from cosim.rate import Blocks, Shannon

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cvxpy as cp


def curve(rng):
    """A random convex curve from 0 to 1 with knots anywhere; some begin flat."""
    count = int(rng.integers(2, 12))
    ratio = np.concatenate([[0.0], np.sort(rng.uniform(0.02, 0.98, count - 1)), [1.0]])
    slope = np.sort(rng.uniform(0, 1, count) ** 2)
    slope[0] *= rng.random() < 0.7
    cost = np.concatenate([[0.0], np.cumsum(slope * np.diff(ratio))])
    return PruningCost(ratio, cost / cost[-1])


def instance(rng):
    devices = int(rng.integers(2, 16))
    bits = 10 ** rng.uniform(5.5, 7, devices)
    fixed_bits, fixed = bits * rng.uniform(0, 0.5, devices), rng.uniform(0, 0.5, devices)
    prune_max, snr, compute = rng.uniform(0.6, 1.0, devices), 10 ** rng.uniform(6.5, 9.5, devices), rng.uniform(0.05, 0.5, devices)
    band = 0.5e6 * devices
    kept = 1 - prune_max * rng.uniform(0.5, 1)
    threshold = np.max(fixed + kept * compute + (fixed_bits + kept * bits) / Shannon().value(band / devices, snr)) * (1 + 1e-6)
    return AllocationProblem(
        0, np.arange(devices), rng.uniform(0.1, 2, devices), fixed, compute, fixed_bits, bits, snr, prune_max, band, threshold,
        pruning_cost=curve(rng),
    )  # fmt: skip


def conic_optimum(p):
    """The convex program in bandwidths, rates and kept fractions, with phi as the largest of its tangents."""
    n, unit_hz = p.device_ids.size, p.bandwidth_hz / p.device_ids.size
    unit_bps = unit_hz * np.log2(1 + p.snr_hz / unit_hz)
    b, r, y, cost = cp.Variable(n, nonneg=True), cp.Variable(n), cp.Variable(n), cp.Variable(n)
    most, fixed = (p.latency_threshold_s - p.fixed_time_s) / p.prunable_time_s, p.fixed_bits / p.prunable_bits
    c = p.prunable_time_s * unit_bps / p.prunable_bits
    knots, values = p.pruning_cost.ratio, p.pruning_cost.cost
    tangents = zip(knots[:-1], values[:-1], np.diff(values) / np.diff(knots), strict=True)
    constraints = [
        y <= 1, y >= 1 - p.prune_max, cp.sum(b) <= n,
        y <= most - cp.multiply(most + fixed, cp.inv_pos(1 + cp.multiply(c, r))),
        r <= cp.multiply(unit_hz / unit_bps / np.log(2), -cp.rel_entr(b, b + p.snr_hz / unit_hz)),
        *(cost >= value + slope * (1 - y - knot) for knot, value, slope in tangents),
    ]  # fmt: skip
    program = cp.Problem(cp.Minimize(p.weight @ cost), constraints)
    program.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    assert program.status == "optimal"
    return float(program.value)


def test_same_optimum():
    rng = np.random.default_rng(77)
    for _ in range(40):
        problem = instance(rng)
        answer = PruningAware().allocate(problem, rng)
        assert answer.feasible
        assert answer.certificate.worst <= 1e-9
        found = problem.weight @ problem.pruning_cost.value(answer.prune_ratio)
        assert found == pytest.approx(conic_optimum(problem), rel=1e-6, abs=1e-7 * problem.weight.sum())


def test_no_split_between_two_devices_is_better():
    rng = np.random.default_rng(78)
    for _ in range(10):
        problem = instance(rng)
        pair = np.arange(problem.weight.size) < 2
        fields = ("device_ids", "weight", "fixed_time_s", "prunable_time_s", "fixed_bits", "prunable_bits", "snr_hz", "prune_max")
        problem = dataclasses.replace(
            problem, **{name: getattr(problem, name)[pair] for name in fields}, bandwidth_hz=1e6, rate=Blocks(Shannon(), 360e3)
        )
        answer = PruningAware().allocate(problem, rng)
        if not answer.feasible:
            continue
        assert answer.certificate.worst <= 1e-9
        first = np.linspace(0, 1e6, 20_001)
        rows = []
        for device, share in enumerate((first, 1e6 - first)):
            alone = dataclasses.replace(
                problem,
                **{name: np.full(first.size, getattr(problem, name)[device]) for name in fields[1:]},
                device_ids=np.arange(first.size),
            )
            ratio = prune_ratio(alone, share)
            late = alone.fixed_time_s + (1 - ratio) * alone.prunable_time_s + (
                alone.fixed_bits + (1 - ratio) * alone.prunable_bits
            ) / np.maximum(alone.rate.value(share, alone.snr_hz), 1e-9) > problem.latency_threshold_s * (1 + 1e-9)
            rows.append(np.where(late, np.inf, problem.weight[device] * problem.pruning_cost.value(ratio)))
        best = float(np.sum(rows, axis=0).min())
        found = problem.weight @ problem.pruning_cost.value(answer.prune_ratio)
        assert found <= best + 1e-12
        assert best - found <= 1e-3 * problem.weight.sum()
