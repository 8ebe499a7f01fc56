"""Selection rules."""

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.alloc.closed_forms import bandwidth_range_hz
from cosim.alloc.kept_mass import MaxKeptMass, kept_mass
from cosim.alloc.kkt import KKT
from cosim.alloc.selection import All, BestChannel, Feasible, Random
from cosim.rate import Shannon
from cosim.rng import Streams


def test_all_takes_everyone(problem):
    assert All().select(problem(4), np.random.default_rng(0)).tolist() == [True] * 4


def test_random_takes_as_many_as_it_says(problem):
    rng = np.random.default_rng(0)
    assert Random(count=3).select(problem(8), rng).sum() == 3
    assert Random(count=3).select(problem(2), rng).all()
    assert Random(count=3).select(problem(0), rng).shape == (0,)


def test_random_takes_everyone_equally_often(problem):
    """2000 rounds of 3 in 8: a device's count is binomial with mean 750 and standard deviation 21.7; 5 of them: p < 1e-5 in all."""
    streams, some = Streams(1), problem(8)
    counts = sum(Random(count=3).select(some, streams.generator("selection", k)).astype(int) for k in range(2000))
    assert np.all(np.abs(counts - 750) < 5 * 21.7)


def test_random_depends_on_its_stream_alone(problem):
    first, again = (Random(count=3).select(problem(8), Streams(5).generator("selection", 2)) for _ in range(2))
    assert np.array_equal(first, again)


def test_random_needs_at_least_one():
    with pytest.raises(ValidationError):
        Random(count=0)


def test_best_channel_takes_the_best_and_breaks_ties_by_id(problem):
    some = problem(5, device_ids=[9, 3, 7, 1, 5], snr_hz=[1e8, 3e8, 1e8, 1e7, 1e8])
    rng = np.random.default_rng(0)
    assert BestChannel(count=1).select(some, rng).tolist() == [False, True, False, False, False]
    assert BestChannel(count=3).select(some, rng).tolist() == [False, True, True, False, True]
    assert BestChannel(count=9).select(some, rng).all()
    assert BestChannel().select(problem(0), rng).shape == (0,)


def test_feasible_takes_whom_kkt_would_serve(random_problem, rate):
    problem = random_problem(np.random.default_rng(1), 12, rate, tightness=-0.2)
    chosen = Feasible().select(problem, np.random.default_rng(0))
    assert 0 < chosen.sum() < 12
    assert np.array_equal(chosen, KKT().allocate(problem, np.random.default_rng(0)).selected)


def test_one_greedy_device_is_left_to_serve_those_that_keep_more(problem):
    """Four cheap devices fit with a dear fifth only if all are pruned to the most: without it they keep more."""
    rng = np.random.default_rng(0)
    some = problem(6, snr_hz=[1e8, 1e8, 1e8, 1e8, 3e5, 1e4], bandwidth_hz=6.3e4)
    chosen, largest = MaxKeptMass().select(some, rng), Feasible().select(some, rng)
    assert largest.tolist() == [True] * 5 + [False]
    assert not chosen[4:].any()
    assert kept_mass(some, chosen, rng) > 2.0 * kept_mass(some, largest, rng)


@pytest.mark.parametrize("seed", range(4))
def test_max_kept_mass_does_not_depend_on_units(random_problem, seed):
    """In THz; some need no bandwidth at all, as they can be pruned away."""
    rng = np.random.default_rng(seed)
    some = random_problem(rng, 12, Shannon(), tightness=-0.3)
    free = np.arange(12) < 4
    some = dataclasses.replace(
        some,
        fixed_bits=np.where(free, 0.0, some.fixed_bits),
        prune_max=np.where(free, 1.0, some.prune_max),
        bandwidth_hz=0.05 * some.bandwidth_hz,
    )
    fields = ("fixed_bits", "prunable_bits", "snr_hz", "bandwidth_hz")
    tera = dataclasses.replace(some, **{name: 1e-12 * getattr(some, name) for name in fields})
    chosen, other = (MaxKeptMass().select(made, rng) for made in (some, tera))
    assert not chosen.all()
    assert kept_mass(some, other, rng) == pytest.approx(kept_mass(some, chosen, rng), rel=1e-9)


@pytest.mark.parametrize("rule", [Feasible(), MaxKeptMass()], ids=repr)
def test_who_needs_exactly_the_band_may_have_it(problem, rule):
    some = problem(2, prune_max=0.5)
    alone = dataclasses.replace(some, bandwidth_hz=float(bandwidth_range_hz(some)[0][0]))
    assert rule.select(alone, np.random.default_rng(0)).sum() == 1


def test_max_kept_mass_takes_all_where_all_can_be_served(random_problem, rate):
    problem = random_problem(np.random.default_rng(2), 12, rate, tightness=0.2)
    assert MaxKeptMass().select(problem, np.random.default_rng(0)).all()


@pytest.mark.parametrize("rule", [Feasible(), MaxKeptMass()], ids=repr)
def test_nobody_where_nobody_can_be_served(problem, rule):
    rng = np.random.default_rng(0)
    assert rule.select(problem(0), rng).shape == (0,)
    assert not rule.select(problem(3, snr_hz=[0.0, 0.0, 0.0]), rng).any()
    assert not rule.select(dataclasses.replace(problem(3), latency_threshold_s=0.0), rng).any()
