"""Problems to solve: one maker, used by all tests of the allocators."""

import dataclasses

import numpy as np
import pytest

from cosim.alloc.energy import planned_energy_j
from cosim.alloc.kkt import KKT
from cosim.alloc.problem import least_feasible_threshold, unpruned_latency
from cosim.interfaces import AllocationProblem, EnergyLimit
from cosim.rate import Blocks, ErgodicRayleigh, ErgodicTruncated, Shannon, TruncatedShannon

RATES = [
    ErgodicTruncated(TruncatedShannon()),
    Shannon(),
    ErgodicRayleigh(),
    TruncatedShannon(),
    Blocks(Shannon(), 180e3),
    Blocks(ErgodicRayleigh(), 180e3),
    Blocks(TruncatedShannon(), 180e3),
]


@pytest.fixture(params=RATES, ids=repr)
def rate(request):
    """Every kind of rate that a problem may carry."""
    return request.param


@pytest.fixture
def problem():
    """Maker of small problems: all devices alike unless told otherwise, the band scarce."""

    def make(devices, **fields):
        alike = {
            "round": 0,
            "device_ids": np.arange(devices),
            "weight": 1.0,
            "fixed_time_s": np.full(devices, 0.1),
            "prunable_time_s": np.full(devices, 0.1),
            "fixed_bits": np.full(devices, 1e5),
            "prunable_bits": np.full(devices, 1e6),
            "snr_hz": np.full(devices, 1e8),
            "prune_max": 0.9,
            "bandwidth_hz": 2e5,
            "latency_threshold_s": 2.0,
        }
        return AllocationProblem(**alike | {name: np.array(value) if isinstance(value, list) else value for name, value in fields.items()})

    return make


@pytest.fixture
def random_problem():
    """Maker of random problems. ``tightness``: 0 = the least feasible threshold, 1 = no pruning needed."""

    def make(rng, devices, rate, *, tightness=0.4, compute=1.0):
        bits = 10 ** rng.uniform(5, 7, devices)
        loose = AllocationProblem(
            round=0,
            device_ids=rng.permutation(10 * devices)[:devices],
            weight=rng.uniform(0.2, 2, devices) / devices,
            fixed_time_s=rng.uniform(0, 0.5, devices),
            prunable_time_s=compute * rng.uniform(0.01, 0.5, devices),
            fixed_bits=bits * rng.uniform(0, 0.3, devices),
            prunable_bits=bits,
            snr_hz=10 ** rng.uniform(6.5, 10, devices),
            prune_max=rng.uniform(0.5, 0.95, devices),
            bandwidth_hz=1e6 * devices,
            latency_threshold_s=1.0,
            rate=rate,
        )
        least, most = least_feasible_threshold(loose), unpruned_latency(loose)
        return dataclasses.replace(loose, latency_threshold_s=least + tightness * (most - least))

    return make


@pytest.fixture
def with_energy():
    """Puts an energy record into a problem: budgets are ``share`` of what each device would spend in ``kkt`` at full power and clock."""

    def make(problem, rng, share, **fields):
        n = problem.weight.size
        limit = {
            "budget_j": np.full(n, np.inf),
            "fixed_compute_s": 0.3 * problem.fixed_time_s,
            "compute_power_w": 10 ** rng.uniform(-1.5, 0.5, n),
            "frequency_hz": rng.uniform(1e9, 2e9, n),
            "frequency_min_hz": np.full(n, 2e8),
            "power_w": np.full(n, 0.2),
            "power_min_w": np.full(n, 1e-7),
            "efficiency": 0.35,
        } | fields
        free = dataclasses.replace(problem, energy=EnergyLimit(**limit))
        answer = KKT().allocate(free, rng)
        spent = planned_energy_j(free, answer.prune_ratio, np.maximum(answer.bandwidth_hz, 1.0))
        budget = np.where(np.isfinite(spent), spent * share, 1.0)
        return dataclasses.replace(free, energy=EnergyLimit(**limit | {"budget_j": budget}))

    return make
