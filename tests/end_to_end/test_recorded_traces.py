"""The showcase of recorded traces: who is not in the area is offline, positions are the file's."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import cosim
from cosim.cli import app
from cosim.errors import SimulationError

SCENARIO = "scenarios/recorded_traces.yaml"
TRACE = "scenarios/traces/streets_12dev.csv"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    overrides = {"learning.kind": "none", "trace.radio_interval_s": 1.0}
    return cosim.run(cosim.Scenario.load(SCENARIO, overrides=overrides), out=tmp_path_factory.mktemp("recorded") / "run")


def test_devices_are_offline_exactly_while_they_are_not_recorded(run):
    seen = pd.read_csv(TRACE).groupby("device").t_s.agg(["min", "max"])
    devices = run.devices.merge(run.rounds[["round", "t_start_s"]], on="round").merge(seen, left_on="device", right_index=True)
    there = (devices["min"] <= devices.t_start_s) & (devices.t_start_s < devices["max"])
    assert ((devices.status != "offline") == there).all()
    assert 0 < there.mean() < 1


def test_positions_are_the_recorded_ones(run):
    recorded = pd.read_csv(TRACE).merge(run.radio, on=["t_s", "device"], suffixes=("_file", ""))
    assert len(recorded) > 50
    np.testing.assert_allclose(recorded.x_m, recorded.x_m_file, atol=1e-9)
    np.testing.assert_allclose(recorded.y_m, recorded.y_m_file, atol=1e-9)


def test_a_malformed_trace_is_exit_2_and_leaves_no_directory(tmp_path):
    (tmp_path / "bad.csv").write_text("t_s,device,x_m,y_m\n0,1,2,3\n1,1,two,3\n")
    arguments = ["run", SCENARIO, "--out", str(tmp_path / "run"), "--set", f"mobility.file={tmp_path / 'bad.csv'}", "--quiet"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "bad.csv:3: column x_m is 'two', must be a finite number" in result.stderr.replace("\n", "")
    assert not (tmp_path / "run").exists()


def test_a_check_opens_the_trace(tmp_path):
    (tmp_path / "bad.csv").write_text("t_s,device,x_m,y_m\n0,1,2,3\n1,1,two,3\n")
    (tmp_path / "s.yaml").write_text("devices: {count: 1}\nmobility: {kind: recorded, file: bad.csv}\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "s.yaml")])
    assert result.exit_code == 2
    assert "bad.csv:3: column x_m is 'two', must be a finite number" in result.stderr.replace("\n", "")


def test_a_trace_that_ends_before_the_rounds_is_named(tmp_path):
    (tmp_path / "short.csv").write_text("t_s,device,x_m,y_m\n0,1,20,30\n3,1,20,40\n")
    scenario = "rounds: 1000\ndevices: {count: 1}\nmobility: {kind: recorded, file: short.csv}\nlearning: {kind: none}\n"
    (tmp_path / "s.yaml").write_text(scenario)
    with pytest.raises(SimulationError, match=r"no device will ever be online again: .* where a recorded mobility ends"):
        cosim.run(cosim.Scenario.load(tmp_path / "s.yaml"), out=tmp_path / "run")
