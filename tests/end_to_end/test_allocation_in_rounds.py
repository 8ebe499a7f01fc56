"""The claim in small: joint pruning and bandwidth against personalization alone, and against equal shares."""

import numpy as np
import pytest

import cosim
from cosim.alloc.baselines import EqualBandwidth
from cosim.alloc.kkt import KKT
from cosim.errors import RunError
from cosim.replay import recorded_problem

RNG = np.random.default_rng(0)  # none of these allocators draws from it


def simulate(out, kind):
    overrides = {"learning.kind": "none", "rounds": 6, "allocator.kind": kind, "trace.radio_interval_s": None, "trace.events": False}
    return cosim.run(cosim.Scenario.load("scenarios/urban_50dev.yaml", overrides=overrides), out=out)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("runs") / "kkt", "kkt")


def test_kkt_prunes_some_devices_and_not_others(run):
    ratios = run.devices.groupby("round").prune_ratio
    assert (ratios.min() == 0).all()
    assert (ratios.max() > 0.3).all()


def test_kkt_rounds_are_shorter_than_those_of_personalization_alone(run, tmp_path):
    alone = simulate(tmp_path / "alone", "personalization_only")
    assert run.rounds.planned_latency_s.iloc[0] == pytest.approx(0.5 * alone.rounds.planned_latency_s.iloc[0], rel=1e-9)
    assert run.rounds.latency_s.mean() < 0.7 * alone.rounds.latency_s.mean()
    assert (alone.devices.prune_ratio == 0).all()


def test_a_recorded_problem_has_the_recorded_answer(run):
    for index in (0, 5):
        again = KKT().allocate(recorded_problem(run, index), RNG)
        rows = run.devices[run.devices["round"] == index]
        assert np.array_equal(again.bandwidth_hz, rows.bandwidth_hz)
        assert np.array_equal(again.latency_s, rows.t_planned_s)
        assert again.objective == run.rounds.objective[index]


def test_solved_again_kkt_is_never_above_equal_bandwidth(run):
    pairs = [
        (KKT().allocate(problem, RNG).objective, other.objective)
        for problem in (recorded_problem(run, index) for index in run.rounds["round"])
        if (other := EqualBandwidth().allocate(problem, RNG)).feasible
    ]
    assert len(pairs) > 0
    assert all(kkt <= equal * (1 + 1e-9) for kkt, equal in pairs)
    assert sum(kkt < equal * (1 - 1e-6) for kkt, equal in pairs) > len(pairs) / 2


def test_a_round_that_is_not_there_is_said_so(run):
    with pytest.raises(RunError, match="no round 6"):
        recorded_problem(run, 6)
