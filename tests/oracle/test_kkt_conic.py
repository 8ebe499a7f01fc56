"""The exact allocator against a conic solver (Clarabel through CVXPY) that shares no code with it."""

import warnings

import numpy as np
import pytest

from cosim.alloc.kkt import KKT
from cosim.interfaces import AllocationProblem
from cosim.rate import Blocks, Shannon, TruncatedShannon

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cvxpy as cp


def instance(rng, rate, most=200):
    """A random problem with a feasible threshold; one in three without computing, one in three without bits that cannot be pruned.

    From 1 to ``most`` devices (small numbers as likely as large ones), gains over 40 dB, sizes and weights over 20 dB.
    """
    devices = int(np.exp(rng.uniform(0, np.log(most + 1))))
    bits = 10 ** rng.uniform(5, 7, devices)
    fixed_bits = bits * rng.uniform(0, 0.5, devices) * (rng.random() > 1 / 3)
    prune_max, snr = rng.uniform(0.3, 1.0, devices), 10 ** rng.uniform(6, 10, devices)
    compute = rng.uniform(0.05, 0.5, devices) * (rng.random() > 1 / 3)
    fixed = rng.uniform(0, 0.5, devices)
    band = 0.5e6 * devices
    # with the band split evenly everyone meets this threshold with prune_max or less: feasible, and usually scarce
    kept = 1 - prune_max * rng.uniform(0.5, 1)
    threshold = np.max(fixed + kept * compute + (fixed_bits + kept * bits) / rate.value(band / devices, snr)) * (1 + 1e-6)
    return AllocationProblem(
        0,
        np.arange(devices),
        10 ** rng.uniform(-1.5, 0.5, devices),
        fixed,
        compute,
        fixed_bits,
        bits,
        snr,
        prune_max,
        band,
        threshold,
        rate,
    )


def conic_optimum(p, shannon_rate):
    """Optimum of (P) with every device's constraint y (t_u R + Q) <= A R - Q0 in convex form, in units that keep numbers near 1.

    For t_u > 0 this reads y <= A/t_u - (A/t_u + Q0/Q) / (1 + t_u R / Q), concave in R. ``shannon_rate(b, s)``: constraints
    that bound R / R_unit by the rate at bandwidth b * B_unit. None where the solver does not report success.
    """
    n = p.device_ids.size
    unit_hz = p.bandwidth_hz / n
    unit_bps = p.rate.value(unit_hz, p.snr_hz)
    b, r, y = cp.Variable(n, nonneg=True), cp.Variable(n), cp.Variable(n)
    left_s = p.latency_threshold_s - p.fixed_time_s
    constraints = [y <= 1, y >= 1 - p.prune_max, cp.sum(b) <= n, *shannon_rate(b, r, unit_hz, unit_bps)]
    ratio, fixed = unit_bps / p.prunable_bits, p.fixed_bits / p.prunable_bits
    if p.prunable_time_s.any():
        most, c = left_s / p.prunable_time_s, p.prunable_time_s * ratio
        constraints.append(y <= most - cp.multiply(most + fixed, cp.inv_pos(1 + cp.multiply(c, r))))
    else:
        constraints.append(y <= cp.multiply(left_s * ratio, r) - fixed)
    program = cp.Problem(cp.Maximize(p.weight @ y), constraints)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CVXPY warns of what the status says
        try:
            program.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
        except cp.SolverError:
            return None
    return float(p.weight.sum() - program.value) if program.status == "optimal" else None


def shannon(p, factor=1.0):
    def constraints(b, r, unit_hz, unit_bps):
        scale = factor * unit_hz / unit_bps / np.log(2)
        return [r <= cp.multiply(scale, -cp.rel_entr(b, b + p.snr_hz / unit_hz))]

    return constraints


def truncated(p):
    rate = p.rate

    def constraints(b, r, unit_hz, unit_bps):
        straight = rate.efficiency_max_bps_hz * unit_hz / unit_bps
        snr_min = 10 ** (rate.snr_min_db / 10)
        bound = rate.attenuation * p.snr_hz / snr_min * np.log2(1 + snr_min) / unit_bps
        return [r <= cp.multiply(straight, b), r <= bound, *shannon(p, rate.attenuation)(b, r, unit_hz, unit_bps)]

    return constraints


def whole_blocks(p):
    def constraints(b, r, unit_hz, unit_bps):
        width = p.rate.block_hz
        edges = np.arange(int(p.bandwidth_hz / width) + 2)
        # R0(jW) written out, so that the oracle does not ask the code under test
        corner = np.array([edges * width * np.log2(1 + s / np.maximum(edges * width, 1e-9)) for s in p.snr_hz]) / unit_bps[:, None]
        slope = np.diff(corner, axis=1)
        return [r <= corner[:, j] + cp.multiply(slope[:, j], b * (unit_hz / width) - j) for j in edges[:-1]]

    return constraints


CASES = [
    (Shannon(), shannon, 200, 70),
    (TruncatedShannon(), truncated, 200, 20),
    (Blocks(Shannon(), 360e3), whole_blocks, 20, 10),  # pieces x devices constraints: the oracle is slow
]
CASE_IDS = ["shannon", "truncated_shannon", "blocks"]


def compare(case, seed, times):
    """As many instances as told: our own certificate on all, the oracle's optimum where it has one (on 19 of 20 at least)."""
    rate, oracle, most, count = case
    rng = np.random.default_rng(seed)
    silent = 0
    for _ in range(count * times):
        problem = instance(rng, rate, most)
        answer = KKT().allocate(problem, rng)
        assert answer.feasible
        assert answer.certificate.worst <= 1e-9
        expected = conic_optimum(problem, oracle(problem))
        if expected is None:
            silent += 1
        else:
            # a share of the whole weight below which the oracle, told to stop at 1e-10, says nothing
            assert answer.objective == pytest.approx(expected, rel=1e-6, abs=1e-9 * problem.weight.sum())
    assert silent <= 0.05 * count * times


@pytest.mark.parametrize("case", CASES, ids=CASE_IDS)
def test_same_optimum_on_100_instances(case):
    compare(case, 2024, 1)


@pytest.mark.full
@pytest.mark.parametrize("case", CASES, ids=CASE_IDS)
def test_same_optimum_on_1000_instances(case):
    compare(case, 2025, 10)
