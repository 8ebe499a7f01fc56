import math

import pytest
from pydantic import ValidationError

from cosim.policy import Deadline, RelativeToPlan, RoundState, WaitAll


def state(**changed):
    return RoundState(**{"start_s": 10.0, "now_s": 11.0, "planned_latency_s": 2.0, "selected": 4, "arrived": 1, "gone": 1, **changed})


def test_wait_all_waits_for_those_who_can_still_arrive():
    assert not WaitAll().on_event(state()).aggregate
    assert WaitAll().on_event(state()).wake_at_s == math.inf
    assert WaitAll().on_event(state(arrived=3)).aggregate
    assert WaitAll().on_event(state(arrived=0, gone=4)).aggregate


def test_deadline_in_seconds():
    decision = Deadline(after=1.5).on_event(state())
    assert not decision.aggregate
    assert decision.wake_at_s == 11.5
    assert Deadline(after=1.5).on_event(state(now_s=11.5)).aggregate


def test_deadline_relative_to_the_plan():
    policy = Deadline(after=RelativeToPlan(relative_to_plan=1.25))
    assert policy.on_event(state()).wake_at_s == 12.5
    assert policy.on_event(state(now_s=12.5)).aggregate


def test_deadline_ends_early_when_nobody_is_outstanding():
    assert Deadline(after=5.0).on_event(state(arrived=2, gone=2)).aggregate


@pytest.mark.parametrize("after", [0.0, -1.0, {"relative_to_plan": 0.0}])
def test_a_deadline_lies_in_the_future(after):
    with pytest.raises(ValidationError, match="greater than 0"):
        Deadline(after=after)
