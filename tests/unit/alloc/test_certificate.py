"""A certificate must notice everything that is not optimal, and nothing else."""

import dataclasses

import numpy as np
import pytest

from cosim.alloc.certificate import State, certify, residuals
from cosim.alloc.closed_forms import bandwidth_range_hz, log_marginal, prune_ratio
from cosim.alloc.kkt import KKT
from cosim.alloc.problem import make_allocation
from cosim.rate import Blocks, Shannon


def allocation(problem, bandwidth):
    return make_allocation(problem, np.ones(bandwidth.size, bool), prune_ratio(problem, bandwidth), bandwidth)


@pytest.fixture
def solved(random_problem):
    problem = random_problem(np.random.default_rng(1), 12, Shannon())
    return problem, KKT().allocate(problem, np.random.default_rng(0))


def test_accepts_the_optimum(solved):
    problem, optimum = solved
    assert certify(problem, optimum, optimum.multiplier).worst <= 1e-12


def test_accepts_those_who_are_at_the_ends_of_their_ranges(random_problem):
    """Some count for next to nothing and get the least, some for so much that they get all they could use."""
    problem = random_problem(np.random.default_rng(1), 12, Shannon(), tightness=0.1)
    problem = dataclasses.replace(problem, weight=np.repeat([1e-9, 1.0, 1e9], 4))
    optimum = KKT().allocate(problem, np.random.default_rng(0))
    least, most = bandwidth_range_hz(problem)
    at_least, at_most = (np.isclose(optimum.bandwidth_hz, end, rtol=1e-9) for end in (least, most))
    assert at_least.any()
    assert at_most.any()
    assert not (at_least | at_most).all()
    assert certify(problem, optimum, optimum.multiplier).worst <= 1e-12


def test_notices_bandwidth_in_the_wrong_place(solved):
    problem, optimum = solved
    least, most = bandwidth_range_hz(problem)
    giver, taker = np.flatnonzero((optimum.bandwidth_hz > 1.01 * least) & (optimum.bandwidth_hz < 0.99 * most))[:2]
    for part in (1e-2, 1e-4, 1e-6):
        moved = optimum.bandwidth_hz.copy()
        amount = part * moved[giver]
        moved[giver] -= amount
        moved[taker] += amount
        found = certify(problem, allocation(problem, moved), optimum.multiplier)
        assert 0.05 * part <= found.stationarity <= 3 * part * moved.max() / moved.min()
        assert found.primal <= 1e-12


def test_gap_bounds_the_loss(solved):
    problem, optimum = solved
    rng = np.random.default_rng(2)
    for spread in (1e-3, 1e-2, 1e-1):
        trial = optimum.bandwidth_hz * (1 + spread * rng.uniform(-1, 1, 12))
        trial *= problem.bandwidth_hz / trial.sum()
        trial = np.maximum(trial, bandwidth_range_hz(problem)[0])
        trial *= min(1.0, problem.bandwidth_hz / trial.sum())
        answer = allocation(problem, trial)
        loss = answer.objective - optimum.objective
        scale = problem.weight.sum() + optimum.multiplier * problem.bandwidth_hz
        assert 0 < loss <= certify(problem, answer, optimum.multiplier).gap * scale


def test_notices_idle_bandwidth(solved):
    problem, optimum = solved
    assert certify(problem, allocation(problem, 0.999 * optimum.bandwidth_hz), optimum.multiplier).complementarity == pytest.approx(
        1e-3, rel=1e-6
    )


def test_idle_bandwidth_is_worth_its_price(solved):
    """With more of the band than the price asks for, all that is lost is lambda times what is idle."""
    problem, optimum = solved
    wider = dataclasses.replace(problem, bandwidth_hz=1.25 * problem.bandwidth_hz)
    scale = problem.weight.sum() + optimum.multiplier * wider.bandwidth_hz
    idle = optimum.multiplier * 0.25 * problem.bandwidth_hz
    assert certify(wider, optimum, optimum.multiplier).gap == pytest.approx(idle / scale, rel=1e-9)


def test_a_gap_is_of_bandwidth_that_can_move(problem):
    """Price 0, more is worth something to both without end: what they could gain at most is all that is not somebody's least."""
    some = problem(2, snr_hz=[1e5, 1e5], bandwidth_hz=1e6)
    least, most = bandwidth_range_hz(some)
    share = np.full(2, 3e5)
    assert np.isinf(most).all()
    worth = float(np.exp(log_marginal(some, share))[0])
    assert certify(some, allocation(some, share), 0.0).gap == pytest.approx(worth * (1e6 - least.sum()) / 2.0, rel=1e-9)


def test_a_step_ends_where_the_range_ends(problem):
    """At a price far too low all would take what they may at most, a hundredth more; at one far too high they would fall to the least."""
    some = problem(2)
    least, most = bandwidth_range_hz(some)
    for share, factor, end in ((most / 1.01, 0.1, most), (least / 0.99, 10.0, least)):
        price = factor * float(np.exp(log_marginal(some, share))[0])
        moved = np.abs(end / share - 1.0).max()
        assert certify(some, allocation(some, share), price).stationarity == pytest.approx(moved, rel=1e-9)


def test_notices_bandwidth_beyond_use(problem):
    """More than what makes pruning needless is worth nothing, at whatever price its formula would meet."""
    some = problem(2)
    share = 1.25 * bandwidth_range_hz(some)[1]
    wider = dataclasses.replace(some, bandwidth_hz=share.sum())
    price = float(np.exp(log_marginal(wider, share))[0])
    assert certify(wider, allocation(wider, share), price).stationarity > 0.1
    assert certify(wider, allocation(wider, share), 0.0).worst <= 1e-12


def test_who_counts_for_nothing_may_be_pruned_at_will(random_problem):
    problem = random_problem(np.random.default_rng(1), 12, Shannon(), tightness=1.5)
    problem = dataclasses.replace(problem, weight=np.where(np.arange(12) == 3, 0.0, problem.weight))
    optimum = KKT().allocate(problem, np.random.default_rng(0))
    assert optimum.prune_ratio[3] == 0
    for device, found in ((3, 0.0), (4, problem.prune_max[4])):
        ratio = np.where(np.arange(12) == device, problem.prune_max, optimum.prune_ratio)
        answer = dataclasses.replace(optimum, prune_ratio=ratio)
        assert certify(problem, answer, optimum.multiplier).complementarity == pytest.approx(found, abs=1e-12)


def test_notices_needless_pruning(solved):
    problem, optimum = solved
    more = dataclasses.replace(optimum, prune_ratio=np.minimum(optimum.prune_ratio + 1e-3, problem.prune_max))
    assert certify(problem, more, optimum.multiplier).complementarity == pytest.approx(1e-3, rel=1e-6)


def test_notices_a_broken_threshold_and_band(solved):
    problem, optimum = solved
    less = dataclasses.replace(optimum, prune_ratio=np.maximum(optimum.prune_ratio - 1e-3, 0))
    assert certify(problem, less, optimum.multiplier).primal > 1e-4
    wide = dataclasses.replace(optimum, bandwidth_hz=1.01 * optimum.bandwidth_hz)
    assert certify(problem, wide, optimum.multiplier).primal == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("multiplier", [-1e-9, np.nan, np.inf])
def test_notices_a_multiplier_that_is_none(solved, multiplier):
    problem, optimum = solved
    assert certify(problem, optimum, multiplier).dual == 1


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.1])
def test_notices_a_wrong_price(solved, factor):
    problem, optimum = solved
    assert certify(problem, optimum, factor * optimum.multiplier).stationarity > 1e-2


def test_a_share_at_a_kink_is_optimal_for_every_price_between_the_slopes(problem):
    kinked = problem(2, rate=Blocks(Shannon(), 1e4), bandwidth_hz=1e5, prunable_bits=[2e6, 2e6], prunable_time_s=[0.0, 0.0])
    shares = np.array([5e4, 5e4])
    left, right = kinked.rate.derivative(5e4, 1e8, side="left"), kinked.rate.derivative(5e4, 1e8, side="right")
    for price in np.linspace(float(right), float(left), 5) * 1.9 / 2e6:
        assert certify(kinked, allocation(kinked, shares), price).worst <= 1e-12
    for price in np.array([0.99 * right, 1.01 * left]) * 1.9 / 2e6:
        assert certify(kinked, allocation(kinked, shares), price).stationarity > 5e-3


@pytest.mark.parametrize("weight", [1.0, 1e9, 1e-9])
def test_bandwidth_that_is_worth_less_than_rounding_may_be_anywhere(problem, weight):
    """Two devices alike, who both want half of the band: other shares are wrong, unless no share is worth anything."""
    for band_hz, noticed in ((1e6, True), (1e25, False)):
        some = problem(2, snr_hz=[1e5, 1e5], bandwidth_hz=band_hz, weight=weight)
        halves, thirds = band_hz * np.array([0.5, 0.5]), band_hz * np.array([1.0, 2.0]) / 3
        price = float(np.exp(log_marginal(some, halves))[0])
        assert certify(some, allocation(some, halves), price).worst <= 1e-12
        assert (certify(some, allocation(some, thirds), price).stationarity > 0.1) == noticed
        assert noticed or certify(some, allocation(some, thirds), price).worst <= 1e-12


def test_ranges_are_asked_for_only_where_they_matter(random_problem, monkeypatch):
    """At ends of ranges; who is pruned and worth the price in the inside is not asked. Inverses of rates are the dear part of a certificate."""
    problem = random_problem(np.random.default_rng(1), 12, Shannon(), tightness=0.1)
    problem = dataclasses.replace(problem, weight=np.repeat([1e-9, 1.0, 1e9], 4))
    optimum = KKT().allocate(problem, np.random.default_rng(0))
    least, most = bandwidth_range_hz(problem)
    inside = (optimum.bandwidth_hz > 1.001 * least) & (optimum.bandwidth_hz < 0.999 * most)
    asked = []
    monkeypatch.setattr(
        "cosim.alloc.certificate.bandwidth_range_hz", lambda part: asked.append(part.weight.size) or bandwidth_range_hz(part)
    )
    assert certify(problem, optimum, optimum.multiplier).worst <= 1e-12
    assert 0 < sum(asked) <= (~inside).sum()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_ranges_that_do_not_matter_change_nothing(random_problem, factor):
    problem = random_problem(np.random.default_rng(1), 12, Shannon(), tightness=0.1)
    problem = dataclasses.replace(problem, weight=np.repeat([1e-9, 1.0, 1e9], 4))
    optimum = KKT().allocate(problem, np.random.default_rng(0))
    price = factor * optimum.multiplier
    worth = np.exp(log_marginal(problem, optimum.bandwidth_hz))
    whole = State(problem, optimum.bandwidth_hz, *bandwidth_range_hz(problem), worth, worth, price)
    told = residuals(whole, optimum.prune_ratio, optimum.latency_s)
    assert dataclasses.astuple(certify(problem, optimum, price)) == pytest.approx(dataclasses.astuple(told), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("weight", [1e3, 1e-25])
def test_does_not_depend_on_units(solved, weight):
    problem, optimum = solved
    off = allocation(problem, optimum.bandwidth_hz * np.linspace(0.9, 1.0, 12))
    scaled = dataclasses.replace(
        problem,
        weight=weight * problem.weight,
        fixed_time_s=60 * problem.fixed_time_s,
        prunable_time_s=60 * problem.prunable_time_s,
        latency_threshold_s=60 * problem.latency_threshold_s,
        fixed_bits=8 * 60 * problem.fixed_bits,
        prunable_bits=8 * 60 * problem.prunable_bits,
        snr_hz=8 * problem.snr_hz,
        bandwidth_hz=8 * problem.bandwidth_hz,
    )
    here = certify(problem, off, optimum.multiplier)
    there = certify(scaled, allocation(scaled, 8 * off.bandwidth_hz), optimum.multiplier * weight / 8)
    assert dataclasses.astuple(there) == pytest.approx(dataclasses.astuple(here), rel=1e-6, abs=1e-12)
    assert here.worst > 1e-3
