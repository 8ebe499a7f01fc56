"""A round that cannot serve everyone goes on with those it can, and says what threshold would have done."""

import numpy as np
import pytest

import cosim
from cosim.alloc.problem import least_feasible_threshold
from cosim.errors import SimulationError
from cosim.net.csi import Ergodic
from cosim.replay import recorded_problem


@pytest.mark.parametrize(("relative", "feasible"), [(0.1, False), (0.9, True)])
def test_least_threshold(tmp_path, relative, feasible):
    overrides = {"learning.kind": "none", "rounds": 1, "round.latency_threshold.relative_to_unpruned": relative}
    run = cosim.run(cosim.Scenario.load("scenarios/small_5dev.yaml", overrides=overrides), out=tmp_path / "run")
    row = run.rounds.iloc[0]
    assert bool(row.feasible) is feasible
    if feasible:
        assert np.isnan(row.least_threshold_s)
    else:
        assert row.least_threshold_s > row.latency_threshold_s
        assert row.least_threshold_s == pytest.approx(least_feasible_threshold(recorded_problem(run, 0)), rel=1e-9)


def simulate(out, threshold, selection="feasible"):
    overrides = {"learning.kind": "none", "rounds": 2, "round.latency_threshold": threshold, "round.selection.kind": selection}
    return cosim.run(cosim.Scenario.load("scenarios/small_5dev.yaml", overrides=overrides), out=out)


@pytest.mark.parametrize("selection", ["feasible", "max_kept_mass"])
@pytest.mark.parametrize("threshold", [0.05, {"relative_to_unpruned": 0.02}])
def test_a_round_in_which_nobody_is_selected_passes_idle(tmp_path, selection, threshold):
    """It takes the threshold, seconds or relative to the unpruned latency of those who were not taken."""
    run = simulate(tmp_path / "run", threshold, selection)
    assert (run.devices.status == "skipped").all()
    assert run.rounds.feasible.all()
    assert (run.rounds.latency_threshold_s > 0).all()
    np.testing.assert_allclose(run.rounds.latency_s, run.rounds.latency_threshold_s, rtol=1e-12)


def test_a_round_that_would_take_no_time_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Ergodic, "observe", lambda self, channel, time_s, device_ids, streams: np.zeros(len(device_ids)))
    with pytest.raises(SimulationError, match=r"round 0, which begins at 0 s, would .* take no time: no device is within reach"):
        simulate(tmp_path / "run", {"relative_to_unpruned": 0.5})
