"""The pruning error's own curve in the objective."""

import dataclasses

import numpy as np
import pytest

from cosim.alloc.closed_forms import bandwidth_range_hz
from cosim.alloc.kkt import KKT
from cosim.alloc.problem import check_allocation
from cosim.alloc.pruning_aware import PruningAware, _certify
from cosim.errors import AllocationError
from cosim.interfaces import PruningCost
from cosim.rate import Blocks, Shannon

RNG = np.random.default_rng(0)  # nothing draws from it
KNOTS = np.linspace(0.0, 1.0, 33)


def curved(problem, cost):
    return dataclasses.replace(problem, pruning_cost=PruningCost(KNOTS, cost))


@pytest.mark.parametrize("compute", [1.0, 0.0])
def test_the_certificate_proves_the_optimum(random_problem, rate, compute):
    rng = np.random.default_rng(1)
    for tightness in (0.1, 0.6):
        problem = curved(random_problem(rng, 9, rate, tightness=tightness, compute=compute), KNOTS**3)
        answer = PruningAware().allocate(problem, RNG)
        check_allocation(problem, answer)
        assert answer.certificate.worst <= 1e-9
        other = KKT().allocate(problem, RNG)
        phi = problem.pruning_cost.value
        assert problem.weight @ phi(answer.prune_ratio) < problem.weight @ phi(other.prune_ratio)
        assert answer.objective > other.objective


def test_a_straight_curve_is_kkt(random_problem, rate):
    rng = np.random.default_rng(2)
    problem = curved(random_problem(rng, 9, rate), KNOTS)
    assert PruningAware().allocate(problem, RNG).objective == pytest.approx(KKT().allocate(problem, RNG).objective, rel=1e-9)


def test_no_curve_is_kkt(problem):
    assert np.array_equal(PruningAware().allocate(problem(3), RNG).bandwidth_hz, KKT().allocate(problem(3), RNG).bandwidth_hz)


def test_pruning_that_costs_nothing_up_to_a_half_goes_there(problem):
    """Flat, then steep: like devices prune alike, and the strongest gives up bandwidth until it is at the knot."""
    flat = PruningCost(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.0, 1.0]))
    problem = problem(3, bandwidth_hz=5e4, snr_hz=[1e9, 3e7, 3e7], pruning_cost=flat)
    answer, other = PruningAware().allocate(problem, RNG), KKT().allocate(problem, RNG)
    assert other.prune_ratio[0] < 0.49
    assert answer.prune_ratio[0] == pytest.approx(0.5, abs=1e-9)
    assert answer.prune_ratio[1] == pytest.approx(answer.prune_ratio[2], abs=1e-9)
    assert answer.prune_ratio[1] < other.prune_ratio[1]
    assert answer.certificate.worst <= 1e-9


@pytest.mark.parametrize(("name", "difference", "residual", "found"), [
    ("prune_ratio", 0.01, "complementarity", 0.01),
    ("bandwidth_hz", 1e4, "stationarity", 1e-3),
    ("bandwidth_hz", -1e4, "stationarity", 1e-3),
    ("latency_s", 0.02, "primal", 0.01),
])  # fmt: skip
def test_the_certificate_notices(random_problem, name, difference, residual, found):
    """Of the optimum, one thing of one device is changed: pruned too much, late, fed from another's band, or short of it."""
    problem = curved(random_problem(np.random.default_rng(1), 9, Shannon()), KNOTS**3)
    answer = PruningAware().allocate(problem, RNG)
    least, most = bandwidth_range_hz(problem)
    span = least, np.minimum(most, 2.0 * problem.bandwidth_hz)
    assert _certify(problem, answer, span).worst <= 1e-9
    inside = (answer.bandwidth_hz > 1.1 * least) & (answer.bandwidth_hz < 0.9 * most) & (answer.prune_ratio > 0.02)
    inside &= (answer.prune_ratio < problem.prune_max - 0.02) & (np.abs(answer.prune_ratio[:, None] - KNOTS).min(axis=1) > 1e-3)
    device, other = np.flatnonzero(inside)[:2]
    values = getattr(answer, name).copy()
    values[device] += difference
    if name == "bandwidth_hz" and difference > 0:
        values[other] -= difference
    assert getattr(_certify(problem, dataclasses.replace(answer, **{name: values}), span), residual) >= 0.99 * found


@pytest.mark.parametrize("fields", [
    {"fixed_bits": np.zeros(5), "prune_max": 1.0},
    {"fixed_bits": np.zeros(5), "prune_max": 1.0, "weight": [1e-9, 1.0, 1.0, 1.0, 1.0], "bandwidth_hz": 4e4},
    {"fixed_bits": np.zeros(5), "prune_max": 1.0, "snr_hz": [0.0, 1e6, 1e7, 1e8, 1e9]},
    {"prunable_time_s": np.zeros(5)},
    {"prunable_bits": np.zeros(5)},
    {"weight": 0.0},
    {"weight": [0.0, 1.0, 1.0, 0.0, 1.0]},
    {"prune_max": 0.0},
    {"bandwidth_hz": 1e8},
], ids=str)  # fmt: skip
def test_edges(problem, rate, fields):
    alike = {"snr_hz": 10.0 ** np.arange(6, 11), "bandwidth_hz": 4e5}
    some = curved(problem(5, rate=rate, **alike | fields), KNOTS**2)
    answer = PruningAware().allocate(some, RNG)
    check_allocation(some, answer)
    assert answer.certificate.worst <= 1e-9


def test_who_counts_for_nothing_holds_its_least(problem, rate):
    for band_hz in (4e5, 1e9):
        some = curved(problem(5, rate=rate, bandwidth_hz=band_hz, weight=[0.0, 1.0, 1.0, 0.0, 1.0]), KNOTS**2)
        answer = PruningAware().allocate(some, RNG)
        least, _ = bandwidth_range_hz(some)
        assert answer.bandwidth_hz[[0, 3]] == pytest.approx(least[[0, 3]], rel=1e-12)
        assert (answer.bandwidth_hz[[1, 2, 4]] > 1.01 * least[[1, 2, 4]]).all()


def test_units_do_not_matter(random_problem, rate):
    """In THz: the band is a few millionths of the unit."""
    problem = curved(random_problem(np.random.default_rng(4), 9, rate), KNOTS**3)
    fields = ("fixed_bits", "prunable_bits", "snr_hz", "bandwidth_hz")
    tera = dataclasses.replace(problem, **{name: 1e-12 * getattr(problem, name) for name in fields})
    if isinstance(rate, Blocks):
        tera = dataclasses.replace(tera, rate=Blocks(rate.rate, 1e-12 * rate.block_hz))
    one, other = (PruningAware().allocate(made, RNG) for made in (problem, tera))
    assert other.bandwidth_hz == pytest.approx(1e-12 * one.bandwidth_hz, rel=1e-6)
    assert other.multiplier == pytest.approx(1e12 * one.multiplier, rel=1e-6)
    assert other.certificate.worst <= 1e-9


def test_who_cannot_be_served_is_left_out(random_problem):
    rng = np.random.default_rng(3)
    problem = curved(random_problem(rng, 8, Shannon(), tightness=-0.3), KNOTS**2)
    answer, other = PruningAware().allocate(problem, RNG), KKT().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert not answer.feasible
    assert answer.selected.tolist() == other.selected.tolist()
    assert 0 < answer.selected.sum() < 8
    assert answer.certificate.worst <= 1e-9


@pytest.mark.parametrize(("ratio", "cost", "message"), [
    ([0.0, 1.0], [0.0], r"ratio has shape \(2,\) and cost \(1,\)"),
    ([0.0, 0.5], [0.0, 1.0], "must rise from 0 to 1"),
    ([0.0, 0.6, 0.5, 1.0], [0.0, 0.1, 0.2, 1.0], "must rise from 0 to 1"),
    ([0.0, 1.0], [0.0, np.nan], "cost be finite"),
    ([0.0, 1.0], [0.1, 1.0], "cost must be 0 at 0"),
    ([0.0, 0.5, 1.0], [0.0, 0.6, 1.0], "increasing and convex; its slopes are"),
    ([0.0, 0.5, 1.0], [0.0, -0.1, 1.0], "increasing and convex"),
], ids=str)  # fmt: skip
def test_broken_curves(ratio, cost, message):
    with pytest.raises(AllocationError, match=message):
        PruningCost(ratio, cost)
