"""A run can stop anywhere and go on: the tables are those of a run that never stopped."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.build import resume
from cosim.errors import RunError
from cosim.simulation import Simulation
from cosim.trace import writer

LATE = {
    "round.policy.after": {"relative_to_plan": 0.8},
    "availability.kind": "on_off",
    "availability.mean_on_s": 3.0,
    "availability.mean_off_s": 1.0,
}


def scenario(rounds=6, learning="federated"):
    overrides = {"rounds": rounds, **LATE, **({"learning.kind": "none"} if learning == "none" else {})}
    return cosim.Scenario.load("scenarios/small_5dev.yaml", overrides=overrides)


@pytest.fixture(scope="module", params=["federated", "none"])
def whole(request, tmp_path_factory):
    run = cosim.run(scenario(learning=request.param), out=tmp_path_factory.mktemp("whole") / "run")
    run.learning = request.param
    return run


class Cut(BaseException):
    """Like a kill: nothing in the program catches it."""


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_interrupted_in_mid_round_and_resumed(whole, after, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "FLUSH_INTERVAL_S", 0.0)  # a checkpoint after every round
    begin = Simulation._begin

    def cut(self, index, now_s):
        record = begin(self, index, now_s)
        if index == after:
            raise Cut
        return record

    monkeypatch.setattr(Simulation, "_begin", cut)
    with pytest.raises(Cut):
        cosim.run(scenario(learning=whole.learning), out=tmp_path / "run")
    monkeypatch.undo()
    resumed = resume(tmp_path / "run")
    assert resumed.manifest["status"] == "finished"
    for table in ("rounds", "devices"):
        pd.testing.assert_frame_equal(getattr(resumed, table), getattr(whole, table), check_exact=True)
    assert resumed.manifest["fingerprint"] == whole.manifest["fingerprint"]


def test_a_longer_run_is_the_shorter_one_extended(whole, tmp_path):
    cosim.run(scenario(rounds=2, learning=whole.learning), out=tmp_path / "run")
    assert resume(tmp_path / "run", rounds=6).manifest["fingerprint"] == whole.manifest["fingerprint"]
    again = cosim.run(cosim.Scenario.load(tmp_path / "run" / "scenario.yaml"), out=tmp_path / "again")
    assert again.manifest["fingerprint"] == whole.manifest["fingerprint"]


def test_a_finished_run_is_returned_unchanged(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.directory.rglob("*")}
    assert resume(whole.directory).manifest == whole.manifest
    assert {path: path.stat().st_mtime_ns for path in whole.directory.rglob("*")} == before


def test_killed_and_resumed_on_the_command_line(tmp_path):
    made = cosim.run(scenario(), out=tmp_path / "made")
    path = tmp_path / "scenario.yaml"
    shutil.copy(tmp_path / "made" / "scenario.yaml", path)
    command = [sys.executable, "-m", "cosim", "run", str(path), "--out", str(tmp_path / "run"), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "run" / "rounds.parquet").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(
        [sys.executable, "-m", "cosim", "resume", str(tmp_path / "run"), "--quiet"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert cosim.Run.open(tmp_path / "run").manifest["fingerprint"] == made.manifest["fingerprint"]


@pytest.fixture
def finished(tmp_path):
    return cosim.run(scenario(rounds=2, learning="none"), out=tmp_path / "run").directory


def test_fewer_rounds_than_done_is_refused(finished):
    with pytest.raises(RunError, match="has 2 rounds already"):
        resume(finished, rounds=1)


def test_a_damaged_checkpoint_is_refused(finished):
    path = finished / "checkpoint" / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="checksum"):
        resume(finished, rounds=3)
    path.write_bytes(content[:20])
    with pytest.raises(RunError, match="damaged"):
        resume(finished, rounds=3)


def test_another_scenario_is_refused(finished):
    path = finished / "scenario.yaml"
    path.write_text(path.read_text().replace("seed: 1", "seed: 2"))
    with pytest.raises(RunError, match="another scenario"):
        resume(finished, rounds=3)


def test_a_run_without_checkpoint_begins_anew(finished):
    expected = cosim.run(scenario(rounds=3, learning="none"), out=finished.parent / "other").manifest["fingerprint"]
    shutil.rmtree(finished / "checkpoint")
    assert resume(finished, rounds=3).manifest["fingerprint"] == expected


def test_killed_while_the_tables_were_made(finished):
    """Some tables are there, some are not, and there is no checkpoint."""
    expected = cosim.Run.open(finished).manifest["fingerprint"]
    shutil.rmtree(finished / "checkpoint")
    shutil.rmtree(finished / "devices.parquet")
    manifest = finished / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"finished"', '"running"'))
    assert resume(finished).manifest["fingerprint"] == expected


def test_state_survives_as_arrays():
    from cosim.simulation.records import State

    state = State(3, 1.5, np.array([np.inf, 2.0]), np.array([np.inf, 7.0]), np.array([0.5]), np.array([1.0, 2.0]), 1.25, 1.5000000000000002)
    state.open_rows = {2: {"status": np.array(["late", "arrived"]), "x_m": np.array([1.0, np.nan])}}
    again = State.of(state.arrays())
    assert (again.round, again.rounds_written, again.clock_s, again.env_now_s) == (3, 2, 1.5, 1.5000000000000002)
    assert (again.over_noise.tolist(), again.backhaul_free_s.tolist(), again.cloud_s) == ([0.5], [1.0, 2.0], 1.25)
    assert np.array_equal(again.ticket_end_s, state.ticket_end_s)
    assert np.array_equal(again.battery_j, state.battery_j)
    assert again.open_rows[2]["status"].tolist() == ["late", "arrived"]
    assert np.array_equal(again.open_rows[2]["x_m"], [1.0, np.nan], equal_nan=True)


def test_a_checkpoint_may_be_read_by_those_who_may_read_the_run(tmp_path, monkeypatch):
    run = cosim.run(scenario(rounds=1, learning="none"), out=tmp_path / "run")
    state = run.directory / "checkpoint" / "state.safetensors"
    assert state.stat().st_mode == (run.directory / "scenario.yaml").stat().st_mode
    monkeypatch.setattr("os.access", lambda path, mode: path != state)
    with pytest.raises(RunError, match=r"state\.safetensors cannot be read: permission denied"):
        resume(run.directory, rounds=2)


@pytest.mark.parametrize(("wrong", "message"), [
    ({"workers": 0}, "workers = 0: must be at least 1"),
    ({"round_limit_s": 0.0}, r"round_limit_s = 0\.0: must be above 0"),
    ({"round_limit_s": float("nan")}, "round_limit_s = nan"),
])  # fmt: skip
def test_numbers_out_of_range_leave_nothing_behind(wrong, message, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        cosim.run(scenario(rounds=1, learning="none"), **wrong)
    assert list(tmp_path.iterdir()) == []
