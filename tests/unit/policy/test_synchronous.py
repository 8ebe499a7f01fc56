import math

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.interfaces import Evaluation
from cosim.policy.state import RoundState
from cosim.policy.stop import Stop
from cosim.policy.synchronous import Deadline, FirstM, RelativeToPlan, WaitAll


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


def evaluation(accuracy=(0.4, math.nan, 0.8), global_accuracy=0.5):
    return Evaluation(accuracy=np.array(accuracy), accuracy_full=np.array(accuracy), global_accuracy=global_accuracy)


@pytest.mark.parametrize(
    ("stop", "reached"),
    [
        (Stop(), False),
        (Stop(accuracy=0.6), True),
        (Stop(accuracy=0.61), False),
        (Stop(global_accuracy=0.5), True),
        (Stop(global_accuracy=0.51), False),
        (Stop(time_s=10.0), True),
        (Stop(time_s=10.1), False),
        (Stop(time_s=10.1, accuracy=0.6), True),
    ],
)
def test_a_run_stops_at_whatever_comes_first(stop, reached):
    assert stop.reached(10.0, evaluation()) is reached


def test_unknown_accuracies_reach_nothing():
    nothing = evaluation(accuracy=(math.nan, math.nan), global_accuracy=math.nan)
    assert not Stop(accuracy=0.1, global_accuracy=0.1).reached(1.0, nothing)


@pytest.mark.parametrize("fields", [{"accuracy": 0.0}, {"accuracy": 1.1}, {"time_s": 0.0}, {"global_accuracy": math.nan}])
def test_what_can_never_or_always_be_reached_is_refused(fields):
    with pytest.raises(ValidationError):
        Stop(**fields)


def test_first_m_ends_with_the_mth_arrival_or_when_nobody_is_left():
    policy = FirstM(count=2)
    assert not policy.on_event(state(arrived=1)).aggregate
    assert policy.on_event(state(arrived=2)).aggregate
    assert policy.on_event(state(arrived=1, gone=3)).aggregate
    assert not policy.on_event(state(arrived=2)).others_go_on
