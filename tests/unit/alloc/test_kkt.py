"""The exact allocator on problems whose answer is known, and at the edges."""

import dataclasses
import itertools

import numpy as np
import pytest

from cosim.alloc.closed_forms import bandwidth_range_hz, shannon_bandwidth_at_price_hz
from cosim.alloc.demand import Demand
from cosim.alloc.kkt import KKT
from cosim.alloc.pieces import Pieces
from cosim.alloc.problem import check_allocation, least_feasible_threshold, unpruned_latency
from cosim.interfaces import AllocationProblem, Allocator
from cosim.rate import LN2, Blocks, Ergodic, ErgodicRayleigh, Shannon, TruncatedShannon


def solve(problem):
    """The answer, checked and certified."""
    answer = KKT().allocate(problem, np.random.default_rng(0))
    check_allocation(problem, answer)
    assert answer.certificate.worst <= 1e-9
    assert answer.bandwidth_hz.sum() <= problem.bandwidth_hz
    assert np.all(answer.bandwidth_hz >= 0)
    return answer


def test_is_an_allocator():
    assert isinstance(KKT(), Allocator)


@pytest.mark.parametrize("compute", [1.0, 0.0])
@pytest.mark.parametrize("tightness", [0.0, 0.05, 0.5, 0.95, 1.1])
def test_random_problems_are_solved_with_a_certificate(random_problem, rate, tightness, compute):
    rng = np.random.default_rng(1)
    for devices in (1, 2, 13, 50):
        answer = solve(random_problem(rng, devices, rate, tightness=tightness + 1e-9, compute=compute))
        assert answer.feasible


def test_a_rate_by_quadrature(random_problem):
    """Any rate with value, derivative, inverse and supremum will do."""
    assert solve(random_problem(np.random.default_rng(2), 3, Ergodic(Shannon()))).feasible


def test_without_computing_the_shares_are_closed_form_3(problem):
    snr = 10.0 ** np.linspace(5.5, 9, 40)
    alike = problem(40, prunable_time_s=np.zeros(40), snr_hz=snr, bandwidth_hz=3e6)
    answer = solve(alike)
    price = answer.multiplier * 1e6 * LN2 / 1.9
    least, most = bandwidth_range_hz(alike)
    inside = (answer.bandwidth_hz > 1.001 * least) & (answer.bandwidth_hz < 0.999 * most)
    assert inside.sum() >= 5
    expected = np.clip(shannon_bandwidth_at_price_hz(price, snr), least, most)
    assert answer.bandwidth_hz == pytest.approx(expected, rel=1e-9)


def test_no_device(problem, rate):
    answer = solve(problem(0, rate=rate))
    assert (answer.objective, answer.feasible, answer.multiplier) == (0.0, True, 0.0)


def test_one_device_takes_the_whole_band_if_it_needs_it(problem):
    answer = solve(problem(1, bandwidth_hz=3e4))
    assert answer.bandwidth_hz == pytest.approx([3e4], rel=1e-12)
    assert 0 < answer.prune_ratio[0] < 0.9


def test_identical_devices_share_alike(problem, rate):
    answer = solve(problem(3, rate=rate, bandwidth_hz=5e5))
    assert answer.bandwidth_hz == pytest.approx(np.full(3, answer.bandwidth_hz[0]), rel=1e-9)


def test_ties_on_a_straight_piece_are_filled_in_proportion(problem):
    """t_u = 0 and whole blocks wider than any share: demand jumps from nothing to B_max for all at one price."""
    tied = problem(2, rate=Blocks(Shannon(), 1e6), prunable_time_s=[0.0, 0.0], fixed_bits=[0.0, 0.0], prune_max=1.0)
    tied = dataclasses.replace(tied, prunable_bits=np.array([2e6, 2e6]), fixed_time_s=np.array([0.0, 0.0]))
    # the marginal value is w T sigma / Q for both
    answer = solve(tied)
    least, most = bandwidth_range_hz(tied)
    part = (answer.bandwidth_hz - least) / (most - least)
    assert part == pytest.approx(np.full(2, part[0]), rel=1e-9)
    assert answer.multiplier == pytest.approx(2.0 * float(tied.rate.derivative(0.0, 1e8)) / 2e6, rel=1e-9)


def test_rich_band_needs_no_pruning(problem, rate):
    answer = solve(problem(5, rate=rate, bandwidth_hz=1e8))
    assert answer.prune_ratio == pytest.approx(np.zeros(5), abs=1e-12)
    assert answer.multiplier == 0


def test_a_device_without_weight_gets_what_is_left(problem):
    scarce = solve(problem(4, weight=[0.0, 1.0, 1.0, 0.0], bandwidth_hz=1e5))
    assert scarce.prune_ratio[[0, 3]] == pytest.approx([0.9, 0.9], rel=1e-9)
    assert np.all(scarce.prune_ratio[[1, 2]] < 0.9)
    rich = solve(problem(4, weight=[0.0, 1.0, 1.0, 0.0], bandwidth_hz=1e8))
    assert rich.prune_ratio == pytest.approx(np.zeros(4), abs=1e-12)
    assert solve(problem(4, weight=0.0)).objective == 0


def test_infeasible_serves_as_many_as_possible(problem, rate):
    snr = 10.0 ** np.array([9, 5, 8, 4, 7])
    crowded = problem(5, rate=rate, snr_hz=snr, prune_max=0.1, bandwidth_hz=8e5)
    answer = solve(crowded)
    least, _ = bandwidth_range_hz(crowded)
    count = int(answer.selected.sum())
    assert not answer.feasible
    assert np.sort(least)[: count + 1].sum() > 8e5 >= np.sort(least)[:count].sum()
    assert set(np.argsort(least)[:count]) == set(np.flatnonzero(answer.selected))
    assert answer.objective == pytest.approx((5 - count) + answer.prune_ratio[answer.selected].sum())
    assert np.all(np.isinf(answer.latency_s[~answer.selected]))


def test_ties_in_the_selection_go_by_id(problem):
    answer = solve(problem(3, device_ids=[7, 3, 5], prune_max=0.0, bandwidth_hz=1.2e5))
    assert answer.selected.tolist() == [False, True, True] or answer.selected.tolist() == [False, True, False]


def test_unreachable_devices_are_left_out(problem, rate):
    answer = solve(problem(5, rate=rate, snr_hz=[0.0, 1e3, 1e8, 1e8, 1e8], fixed_time_s=[0.1, 0.1, np.inf, 3.0, 0.1], bandwidth_hz=2e6))
    assert answer.selected.tolist() == [False, False, False, False, True]
    assert not answer.feasible


@pytest.mark.parametrize("fields", [
    {"snr_hz": 10.0 ** np.arange(2, 15), "bandwidth_hz": 2e7},
    {"snr_hz": 10.0 ** np.arange(2, 15), "bandwidth_hz": 2e7, "fixed_bits": np.zeros(13), "prune_max": 1.0},
    {"prune_max": 0.0},
    {"prune_max": 1.0, "fixed_bits": np.zeros(13), "bandwidth_hz": 1e-3},
    {"prunable_bits": np.zeros(13)},
    {"prunable_bits": np.zeros(13), "fixed_bits": np.zeros(13), "prunable_time_s": np.full(13, 2.5)},
    {"prunable_bits": np.zeros(13), "prunable_time_s": np.zeros(13)},
    {"prunable_time_s": np.full(13, 1.9 - 1e-12)},
    {"latency_threshold_s": 0.0},
    {"weight": 10.0 ** np.arange(-20, 19, 3)},
    {"bandwidth_hz": 1e-30},
    {"bandwidth_hz": 1e60},
], ids=",".join)  # fmt: skip
def test_edges(problem, rate, fields):
    answer = solve(problem(13, rate=rate, **fields))
    assert not np.any(np.isnan([answer.prune_ratio, answer.bandwidth_hz, answer.latency_s]))


def test_at_the_least_feasible_and_at_the_unpruned_threshold(problem, rate):
    some = problem(6, rate=rate, snr_hz=10.0 ** np.arange(5, 11))
    tight = solve(dataclasses.replace(some, latency_threshold_s=least_feasible_threshold(some) * (1 + 1e-12)))
    assert tight.feasible
    assert tight.prune_ratio.max() == pytest.approx(0.9, rel=1e-6)
    assert not solve(dataclasses.replace(some, latency_threshold_s=least_feasible_threshold(some) * (1 - 1e-9))).feasible
    loose = solve(dataclasses.replace(some, latency_threshold_s=unpruned_latency(some) * (1 + 1e-12)))
    assert loose.prune_ratio == pytest.approx(np.zeros(6), abs=1e-9)


def test_draws_no_random_numbers(problem):
    rng = np.random.default_rng(9)
    KKT().allocate(problem(4), rng)
    assert rng.random() == np.random.default_rng(9).random()


def test_whole_blocks_of_a_truncated_rate_with_flat_pieces():
    """Chords of chords: the demand need not lie in the piece where that of the rate below it lies."""
    zero, size = np.zeros(3), np.array([1e5, 3162277.66016838, 1e6])
    snr = np.array([1e6, 3162277.66016838, 1e6])
    rate = Blocks(TruncatedShannon(), 180e3)
    problem = AllocationProblem(0, np.arange(3), np.ones(3), zero, zero, zero, size, snr, np.ones(3), 27098935.0, 0.931507706697591, rate)
    answer = KKT().allocate(problem, np.random.default_rng(0))
    assert answer.certificate.worst <= 1e-9


@pytest.mark.parametrize("base", [Shannon(), TruncatedShannon()], ids=repr)
def test_narrow_blocks_by_the_million(random_problem, base):
    """Some 10,000 to 100,000 pieces per device, of which only those near the answer are looked at."""
    rng = np.random.default_rng(5)
    wide = random_problem(rng, 60, base)
    narrow = dataclasses.replace(wide, rate=Blocks(base, 100.0))
    answer = solve(narrow)
    assert answer.feasible
    assert answer.objective == pytest.approx(solve(wide).objective, rel=1e-4)


@pytest.mark.parametrize("smooth", [Shannon(), ErgodicRayleigh()], ids=repr)
def test_what_the_search_has_seen_of_a_smooth_rate_is_not_asked_again(random_problem, smooth, monkeypatch):
    """Its last look is at the very shares that it returns: ratios, latencies and the certificate come from that."""
    monkeypatch.setattr("cosim.alloc.kkt.log_marginals", None)
    for seed, tightness in itertools.product(range(3), (0.05, 0.3, 0.8)):
        solve(random_problem(np.random.default_rng(seed), 20, smooth, tightness=tightness))


def test_prices_of_pieces_are_found_in_few_steps(random_problem, monkeypatch):
    """Bracketed secant steps: half of what halving would take, and never among all pieces where a few hold the answer."""
    asked, at = [], Pieces.at
    monkeypatch.setattr(Pieces, "at", lambda pieces, *arguments: asked.append(1) or at(pieces, *arguments))
    monkeypatch.setattr(Demand, "at", None)
    for seed, tightness in itertools.product(range(6), (0.05, 0.3, 0.8)):
        solve(random_problem(np.random.default_rng(seed), 20, Blocks(Shannon(), 180e3), tightness=tightness))
    assert len(asked) <= 7.5 * 18


@pytest.mark.parametrize("base", [Shannon(), TruncatedShannon()], ids=repr)
def test_pieces_and_the_search_over_all_of_them_agree(random_problem, base, monkeypatch):
    problem = random_problem(np.random.default_rng(6), 40, Blocks(base, 50e3))
    near = solve(problem)
    monkeypatch.setattr("cosim.alloc.kkt._WINDOWS", 0)
    far = solve(problem)
    assert far.objective == pytest.approx(near.objective, rel=1e-11)
    assert far.bandwidth_hz == pytest.approx(near.bandwidth_hz, rel=1e-9)
