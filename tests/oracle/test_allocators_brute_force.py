"""Rules that choose a set of devices against every set there is, for up to eight devices."""

import dataclasses
import itertools

import numpy as np
import pytest

from cosim.alloc.baselines import PersonalizationSelected
from cosim.alloc.kept_mass import MaxKeptMass, kept_mass
from cosim.alloc.selection import Feasible
from cosim.checks import trial_problems
from cosim.rate import Blocks, ErgodicRayleigh, Shannon

RATES = [Shannon(), ErgodicRayleigh(), Blocks(Shannon(), 180e3)]


def instances(rng, rate, count):
    """Parts of a larger problem with 1 to 8 devices and too little of the band for most of them."""
    whole = trial_problems()["40 devices, Shannon"]
    names = ("device_ids", "weight", "fixed_time_s", "prunable_time_s", "fixed_bits", "prunable_bits", "snr_hz", "prune_max")
    for _ in range(count):
        some = rng.choice(40, size=int(rng.integers(1, 9)), replace=False)
        band = whole.bandwidth_hz / 40 * some.size * rng.uniform(0.03, 0.15)
        yield dataclasses.replace(whole, rate=rate, bandwidth_hz=band, **{name: getattr(whole, name)[some] for name in names})


def subsets(devices):
    return (np.array(mask) for mask in itertools.product([False, True], repeat=devices))


@pytest.mark.parametrize("rate", RATES, ids=repr)
def test_personalization_selected_serves_as_many_as_any_set(rate):
    """A set can be served unpruned if each device's bandwidth, found by bisection of its own latency, adds up to the band or less."""
    rng = np.random.default_rng(5)
    partial = 0
    for p in instances(rng, rate, 30):
        low, high = np.zeros(p.weight.size), np.full(p.weight.size, 2 * p.bandwidth_hz)
        left_s, bits = p.latency_threshold_s - p.fixed_time_s - p.prunable_time_s, p.fixed_bits + p.prunable_bits
        for _ in range(80):
            middle = 0.5 * (low + high)
            enough = rate.value(middle, p.snr_hz) * left_s >= bits
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        most = max(int(mask.sum()) for mask in subsets(p.weight.size) if high[mask].sum() <= p.bandwidth_hz)
        answer = PersonalizationSelected().allocate(p, rng)
        assert answer.selected.sum() == most
        assert np.all(answer.latency_s[answer.selected] <= p.latency_threshold_s * (1 + 1e-9))
        partial += 0 < most < p.weight.size
    assert partial >= 5


@pytest.mark.parametrize("rate", RATES, ids=repr)
def test_max_kept_mass_is_near_the_best_set(rate):
    """Never below the largest set, best in nearly all cases; the worst loss is that of one device, by the dual bound."""
    rng = np.random.default_rng(6)
    losses, gains = [], []
    for p in instances(rng, rate, 20):
        chosen, largest = MaxKeptMass().select(p, rng), Feasible().select(p, rng)
        mine, plain = kept_mass(p, chosen, rng), kept_mass(p, largest, rng)
        assert mine >= plain
        if not largest.all():
            best = max(kept_mass(p, mask, rng) for mask in subsets(p.weight.size))
            assert mine >= best - p.weight.max() * (1 + 1e-9)
            losses.append(1 - mine / best if best > 0 else 0.0)
            gains.append(mine / plain - 1 if plain > 0 else 0.0)
    assert len(losses) >= 5
    print(rate, len(losses), max(losses), np.mean(np.array(losses) < 1e-9), max(gains))
    assert np.mean(np.array(losses) < 1e-9) >= 0.8
    assert np.mean(losses) <= 0.02
    assert max(gains) > 0.01
