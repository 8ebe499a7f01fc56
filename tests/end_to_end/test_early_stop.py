"""Runs that end before their last round, and what they evaluate."""

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.build import resume
from cosim.errors import ScenarioError, SimulationError
from cosim.simulation import Simulation
from cosim.trace import writer

LONG = 8


def scenario(**overrides):
    chosen = {name.replace("__", "."): value for name, value in overrides.items()}
    return cosim.Scenario.load("scenarios/small_5dev.yaml", overrides={"rounds": LONG, **chosen})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return cosim.run(scenario(), out=tmp_path_factory.mktemp("whole") / "run")


def test_a_target_accuracy_ends_the_run_and_changes_nothing_before(whole, tmp_path):
    reached = whole.rounds.accuracy_mean.cummax()
    target = float(reached.iloc[LONG // 2])
    last = int(np.argmax(reached >= target))
    run = cosim.run(scenario(stop__accuracy=target), out=tmp_path / "run")
    assert run.manifest["status"] == "finished"
    pd.testing.assert_frame_equal(run.rounds, whole.rounds.iloc[: last + 1], check_exact=True)


@pytest.mark.parametrize("name", ["accuracy", "global_accuracy"])
def test_an_accuracy_that_nothing_measures_is_refused(name):
    with pytest.raises(ScenarioError, match=rf"stop\.{name}\b.* must be null where learning\.kind is none"):
        scenario(learning={"kind": "none"}, **{f"stop__{name}": 0.5})


def test_a_time_budget_ends_with_the_round_in_which_it_passes(whole, tmp_path):
    """That round is evaluated, though only every fifth one would be."""
    budget = float(whole.rounds.t_end_s.iloc[2]) - 1e-3
    run = cosim.run(scenario(stop__time_s=budget, learning__evaluate_every=5), out=tmp_path / "run")
    assert len(run.rounds) == 3
    np.testing.assert_array_equal(run.rounds.accuracy_mean.notna(), [False, False, True])
    assert run.rounds.accuracy_mean.iloc[2] == whole.rounds.accuracy_mean.iloc[2]


def test_a_stopped_run_stays_stopped(whole, tmp_path, monkeypatch):
    """Killed after the round that ended it, but before the manifest said so; and when it is to be extended."""
    monkeypatch.setattr(writer, "FLUSH_INTERVAL_S", 0.0)
    budget = float(whole.rounds.t_end_s.iloc[1])
    save = Simulation.save

    def cut(self, *, force=False):
        save(self, force=force)
        if force:
            raise KeyboardInterrupt

    monkeypatch.setattr(Simulation, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        cosim.run(scenario(stop__time_s=budget), out=tmp_path / "run")
    monkeypatch.undo()
    for rounds in (None, LONG + 2):
        run = resume(tmp_path / "run", rounds=rounds)
        assert run.manifest["status"] == "finished"
        assert run.scenario["rounds"] == LONG
        pd.testing.assert_frame_equal(run.rounds, whole.rounds.iloc[:2], check_exact=True)


def test_the_last_round_is_evaluated(tmp_path):
    run = cosim.run(scenario(rounds=4, learning__evaluate_every=3), out=tmp_path / "run")
    np.testing.assert_array_equal(run.rounds.global_accuracy.notna(), [False, False, True, True])


@pytest.mark.parametrize("choice", ["reject", "stop"])
def test_divergence_is_rejected_or_stops_the_run(tmp_path, choice):
    given = scenario(rounds=2, learning__on_divergence=choice, learning__trainer__learning_rate=1e38)
    if choice == "stop":
        with pytest.raises(SimulationError, match="are not finite"):
            cosim.run(given, out=tmp_path / "run")
        assert cosim.Run.open(tmp_path / "run").manifest["status"] == "failed"
        return
    run = cosim.run(given, out=tmp_path / "run")
    assert "rejected" in set(run.devices.status)
    assert len(run.rounds) == 2
    assert run.rounds.global_accuracy.notna().all()
