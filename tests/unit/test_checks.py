"""The check of allocators: every shipped one passes, and each broken one is told what broke."""

import dataclasses

import numpy as np
import pytest

from cosim.alloc.baselines import EqualBandwidth, PersonalizationOnly
from cosim.catalog import KINDS, make
from cosim.checks import check_allocator, trial_problems
from cosim.errors import AllocationError


@pytest.mark.parametrize("kind", KINDS["allocator"])
def test_every_shipped_allocator_passes(kind):
    check_allocator(make("allocator", kind))


def test_the_problems_are_always_the_same():
    for one, other in zip(trial_problems().values(), trial_problems().values(), strict=True):
        for field in dataclasses.fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name))


class Broken:
    """Equal bandwidth with one fault."""

    def __init__(self, fault):
        self.fault, self.calls = fault, 0

    def allocate(self, problem, rng):
        self.calls += 1
        return self.fault(self, problem, EqualBandwidth().allocate(problem, rng))


def shares(self, problem, answer):
    return dataclasses.replace(answer, bandwidth_hz=2 * answer.bandwidth_hz)


def fails_when_empty(self, problem, answer):
    problem.weight.max()
    return answer


def a_dictionary(self, problem, answer):
    return {"selected": answer.selected}


def changes_its_input(self, problem, answer):
    problem.weight[...] = 1.0
    return answer


def counts(self, problem, answer):
    return dataclasses.replace(answer, multiplier=float(self.calls))


def integers(self, problem, answer):
    return dataclasses.replace(answer, selected=answer.selected.astype(int))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (shares, "Broken, one device: latency_s is not|Broken, one device: device"),
        (fails_when_empty, "Broken, no device: allocate raised ValueError"),
        (a_dictionary, "no device: allocate returned dict, must return"),
        (changes_its_input, "allocate changed weight of the problem"),
        (counts, "gave another multiplier: draw from rng alone"),
        (integers, "selected has dtype int64, must be bool"),
    ],
)
def test_a_broken_allocator_is_told_what_broke(fault, message):
    with pytest.raises(AllocationError, match=message):
        check_allocator(Broken(fault))


def test_an_answer_must_not_hold_the_problems_arrays():
    class Lazy:
        def allocate(self, problem, rng):
            answer = PersonalizationOnly().allocate(problem, rng)
            same = np.array_equal(answer.prune_ratio, problem.prune_max)
            return dataclasses.replace(answer, prune_ratio=problem.prune_max) if same else answer

    with pytest.raises(AllocationError, match="no pruning allowed: prune_ratio of the answer is an array of the problem: return a copy"):
        check_allocator(Lazy())


def test_a_second_call_must_not_write_into_the_first_answer():
    class Reuses:
        def __init__(self):
            self.store, self.calls = {}, 0

        def allocate(self, problem, rng):
            answer = EqualBandwidth().allocate(problem, rng)
            kept = self.store.setdefault(id(problem), answer)
            if kept is not answer:
                kept.prune_ratio[...] = 0.5
            return answer

    with pytest.raises(AllocationError, match="a second call changed the arrays of the first answer"):
        check_allocator(Reuses())


def test_something_without_the_method():
    with pytest.raises(AllocationError, match="int has no method allocate"):
        check_allocator(3)
