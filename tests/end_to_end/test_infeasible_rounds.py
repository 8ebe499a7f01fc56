"""A round that cannot serve everyone goes on with those it can, and says what threshold would have done."""

import numpy as np
import pytest

import cosim
from cosim.alloc.problem import least_feasible_threshold
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
