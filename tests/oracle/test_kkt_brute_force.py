"""The exact allocator against trying everything, for one to three devices and every rate."""

import numpy as np
import pytest

from cosim.alloc.kkt import KKT
from cosim.interfaces import AllocationProblem
from cosim.rate import Blocks, ErgodicRayleigh, ErgodicTruncated, Shannon, TruncatedShannon

RATES = [
    Shannon(),
    TruncatedShannon(),
    ErgodicRayleigh(),
    ErgodicTruncated(TruncatedShannon()),
    Blocks(Shannon(), 180e3),
    Blocks(ErgodicRayleigh(), 180e3),
    Blocks(TruncatedShannon(), 360e3),
]


def costs(p, device, share_hz):
    """w rho of one device at these bandwidths; inf where it cannot be served."""
    rate = p.rate.value(share_hz, p.snr_hz[device])
    left_s = p.latency_threshold_s - p.fixed_time_s[device]
    with np.errstate(divide="ignore"):
        kept = (left_s - p.fixed_bits[device] / rate) / (p.prunable_time_s[device] + p.prunable_bits[device] / rate)
    ratio = np.maximum(1 - kept, 0.0)
    return p.weight[device] * np.where(ratio <= p.prune_max[device], ratio, np.inf)


def all_splits(points, low, high):
    """Grid of the shares (points..., n - 1) of all devices but the last, as fractions of the band."""
    axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) if axes else np.zeros((1, 0))


def brute_force(p):
    """Best of a grid over all splits of the band, then of ever finer grids around it: the objective is convex in the split."""
    free = p.device_ids.size - 1
    points = {0: 1, 1: 4001, 2: 201}[free]
    low, high, best = np.full(free, 1e-9), np.full(free, 1 - 1e-9), np.inf
    for _ in range(5 if free < 2 else 12):
        split = all_splits(points, low, high)
        last = 1.0 - split.sum(axis=-1)
        total = np.where(last > 0, costs(p, free, np.maximum(last, 1e-12) * p.bandwidth_hz), np.inf)
        for device in range(free):
            total = total + costs(p, device, split[..., device] * p.bandwidth_hz)
        best = min(best, float(total.min()))
        centre, reach = split[np.unravel_index(np.argmin(total), total.shape)], 8 * (high - low) / max(points - 1, 1)
        low, high = np.maximum(centre - reach, 1e-9), np.minimum(centre + reach, 1 - 1e-9)
    return best


@pytest.mark.parametrize("compute_s", [0.0, 0.3])
@pytest.mark.parametrize("rate", RATES, ids=repr)
@pytest.mark.parametrize("devices", [1, 2, pytest.param(3, marks=pytest.mark.full)])
def test_every_split_of_the_band(devices, rate, compute_s):
    rng = np.random.default_rng(7)
    served = 0
    for _ in range(8):
        problem = AllocationProblem(
            0, np.arange(devices), rng.uniform(0.3, 3, devices), rng.uniform(0, 0.3, devices), compute_s * rng.uniform(0.5, 1.5, devices),
            10 ** rng.uniform(4, 5.5, devices), 10 ** rng.uniform(6, 7, devices), 10 ** rng.uniform(7, 9, devices),
            rng.uniform(0.6, 1, devices), 1e6 * devices, float(rng.uniform(1.5, 4)), rate,
        )  # fmt: skip
        answer, best = KKT().allocate(problem, rng), brute_force(problem)
        assert answer.certificate.worst <= 1e-9
        assert answer.feasible == np.isfinite(best)
        if answer.feasible:
            served += 1
            assert answer.objective == pytest.approx(best, rel=1e-7 if devices == 3 else 1e-8, abs=1e-9)
    assert served >= 4
