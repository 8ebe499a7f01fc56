"""The allocator with energy budgets against a general numerical solver: it must do at least as well, from every start."""

import numpy as np
import pytest
from scipy.optimize import minimize

from cosim.alloc.kkt_energy import KKTEnergy
from cosim.alloc.problem import check_allocation
from cosim.interfaces import AllocationProblem, EnergyLimit
from cosim.rate import ErgodicRayleigh, Shannon


def instance(rng, devices, rate):
    """Thresholds and budgets that an even split meets at some random setting, rarely with room to spare."""
    bits, band = 10 ** rng.uniform(5.5, 6.5, devices), 0.5e6 * devices
    fixed_compute, compute = rng.uniform(0.01, 0.1, devices), rng.uniform(0.05, 0.5, devices)
    fixed = fixed_compute + rng.uniform(0.0, 0.2, devices)
    snr, watts = 10 ** rng.uniform(6.5, 9.0, devices), 10 ** rng.uniform(-1, 0.5, devices)
    kept, power, clock = 0.4, rng.uniform(0.2, 0.9), rng.uniform(0.5, 0.9)
    upload = (0.1 + kept) * bits / rate.value(band / devices, snr * power)
    threshold = np.max(fixed + fixed_compute * (1 / clock - 1) + kept * compute / clock + upload)
    budget = watts * clock**2 * (fixed_compute + kept * compute) + 0.2 * power / 0.35 * upload
    same = np.ones(devices)
    limit = EnergyLimit(budget, fixed_compute, watts, 1e9 * same, 1e8 * same, 0.2 * same, 2e-4 * same, efficiency=0.35)
    return AllocationProblem(
        0, np.arange(devices), rng.uniform(0.2, 2, devices), fixed, compute, 0.1 * bits, bits, snr, 0.9, band, threshold, rate, energy=limit
    )


def numerical_optimum(p, start):
    """SLSQP on all variables at once: kept fraction, share of the band, power and clock of each device, scaled to about 1."""
    n, limit = p.weight.size, p.energy

    def parts(x):
        kept, share, power, clock = x.reshape(4, n)
        upload = (p.fixed_bits + kept * p.prunable_bits) / p.rate.value(share * p.bandwidth_hz, p.snr_hz * power)
        computing = limit.fixed_compute_s + kept * p.prunable_time_s
        time = p.fixed_time_s - limit.fixed_compute_s + computing / clock + upload
        energy = limit.compute_power_w * clock**2 * computing + limit.power_w * power / limit.efficiency * upload
        return kept, share, time / p.latency_threshold_s, energy / limit.budget_j

    constraints = [
        {"type": "ineq", "fun": lambda x: 1 - parts(x)[2]},
        {"type": "ineq", "fun": lambda x: 1 - parts(x)[3]},
        {"type": "ineq", "fun": lambda x: 1 - parts(x)[1].sum()},
    ]
    least = (1 - p.prune_max, np.full(n, 1e-4), limit.power_min_w / limit.power_w, limit.frequency_min_hz / limit.frequency_hz)
    bounds = [(low, 1.0) for low in np.concatenate(least)]
    found = minimize(
        lambda x: -(p.weight @ parts(x)[0]), start, bounds=bounds, constraints=constraints, options={"maxiter": 300, "ftol": 1e-12}
    )
    worst = max(parts(found.x)[2].max(), parts(found.x)[3].max(), parts(found.x)[1].sum())
    return float(p.weight.sum() + found.fun) if worst <= 1 + 1e-7 else np.inf


@pytest.mark.parametrize("rate", [Shannon(), ErgodicRayleigh()], ids=repr)
def test_at_least_as_good_and_no_better_than_possible(rate):
    rng, met = np.random.default_rng(31), 0
    for _ in range(8):
        devices = int(rng.integers(2, 5))
        problem = instance(rng, devices, rate)
        answer = KKTEnergy().allocate(problem, rng)
        check_allocation(problem, answer)
        assert answer.feasible
        assert answer.certificate.worst <= 1e-9
        starts = [
            np.concatenate(
                [np.full(devices, 0.3), np.full(devices, 1 / devices), rng.uniform(0.3, 1, devices), rng.uniform(0.3, 1, devices)]
            )
            for _ in range(3)
        ]
        best = min(numerical_optimum(problem, start) for start in starts)
        scale = problem.weight.sum()
        assert answer.objective <= best + 1e-6 * scale
        met += abs(answer.objective - best) <= 1e-5 * scale
    assert met >= 6  # the numerical solver finds the same optimum wherever it settles
