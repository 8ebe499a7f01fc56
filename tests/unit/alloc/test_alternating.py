"""Alternation: it never gets worse, and ends where the exact allocator ends."""

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.alloc.alternating import KKTAlternating
from cosim.alloc.kkt import KKT, clear
from cosim.alloc.problem import check_allocation

RNG = np.random.default_rng(0)


def test_each_turn_is_at_least_as_good(random_problem, rate):
    problem = random_problem(np.random.default_rng(1), 8, rate, tightness=0.3)
    answers = [KKTAlternating(iterations=turns, tolerance=1e-15).allocate(problem, RNG) for turns in (1, 2, 3, 5, 10)]
    for answer in answers:
        check_allocation(problem, answer)
    objectives = np.array([answer.objective for answer in answers])
    assert np.all(np.diff(objectives) <= 1e-12)
    assert objectives[0] > objectives[-1]


def test_it_says_how_far_it_came(random_problem):
    from cosim.rate import Shannon

    problem = random_problem(np.random.default_rng(2), 8, Shannon(), tightness=0.3)
    early, late = KKTAlternating(iterations=1).allocate(problem, RNG), KKTAlternating().allocate(problem, RNG)
    assert early.certificate.worst > 1e-3
    assert late.certificate.worst < 1e-6
    assert late.multiplier == pytest.approx(KKT().allocate(problem, RNG).multiplier, rel=1e-6)


def test_devices_that_cannot_be_served_are_those_of_kkt(random_problem, rate):
    problem = random_problem(np.random.default_rng(3), 8, rate, tightness=-0.2)
    answer, exact = KKTAlternating().allocate(problem, RNG), KKT().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert not answer.feasible
    assert 0 < answer.selected.sum() < 8
    assert np.array_equal(answer.selected, exact.selected)


def test_plenty_of_bandwidth_needs_no_pruning(random_problem, rate):
    problem = random_problem(np.random.default_rng(4), 5, rate, tightness=1.5)
    answer = KKTAlternating().allocate(problem, RNG)
    assert answer.objective == pytest.approx(0.0, abs=1e-12)
    assert answer.multiplier == 0


@pytest.mark.parametrize("wrong", [{"iterations": 0}, {"tolerance": 0.0}, {"tolerance": 1.0}], ids=str)
def test_it_takes_at_least_one_turn_and_ends(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        KKTAlternating(**wrong)


def test_a_coarser_tolerance_takes_fewer_turns(random_problem, monkeypatch):
    from cosim.rate import Shannon

    turns, problem = [], random_problem(np.random.default_rng(2), 8, Shannon(), tightness=0.3)
    monkeypatch.setattr("cosim.alloc.alternating.clear", lambda *arguments: turns.append(1) or clear(*arguments))
    taken = []
    for tolerance in (1e-1, 1e-3, 1e-6, 1e-9):
        turns.clear()
        KKTAlternating(tolerance=tolerance).allocate(problem, RNG)
        taken.append(len(turns))
    assert taken == sorted(set(taken))
    turns.clear()
    KKTAlternating(iterations=2, tolerance=1e-9).allocate(problem, RNG)
    assert len(turns) == 2
