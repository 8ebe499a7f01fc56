"""A run directory read back."""

import subprocess
import sys

import numpy as np
import pytest

from cosim.errors import RunError
from cosim.trace.invariants import Audit
from cosim.trace.manifest import fingerprint, write_manifest
from cosim.trace.run import Run
from cosim.trace.schema import TABLES
from cosim.trace.writer import TraceWriter

ROUNDS = {
    "round": [0, 1], "t_start_s": [0.0, 1.0], "t_end_s": [1.0, 2.0], "latency_s": 1.0,
    "devices_selected": 1, "devices_arrived": 1, "devices_dropped": 0, "feasible": True, "pruning_cost": "",
    "bandwidth_used_hz": 1e6, "uplink_bits": 1e3, "energy_j": 0.1,
}  # fmt: skip
DEVICES = {
    "round": [0, 1], "device": 0, "selected": True, "status": "arrived", "los": True, "x_m": [1.5, 2.5], "bandwidth_hz": 1e6,
    **dict.fromkeys(("y_m", "speed_m_s", "distance_m", "pathloss_db", "shadowing_db", "gain_planned_db"), 2.0),
    **dict.fromkeys(("t_download_s", "t_compute_s", "t_wait_s", "t_upload_s"), 0.25), "t_total_s": 1.0, "merged_round": [0.0, 1.0],
}  # fmt: skip


def audit():
    return Audit(devices=1, bandwidth_hz=1e6)


@pytest.fixture
def directory(tmp_path):
    trace = TraceWriter(tmp_path)
    trace.append("rounds", ROUNDS)
    trace.append("devices", DEVICES)
    trace.close()
    (tmp_path / "scenario.yaml").write_text("seed: 3\nuplink: {bandwidth_hz: 20e6}\n")
    write_manifest(tmp_path, status="finished", seed=3, scenario_digest="", wall_times_s={"total": 1.0}, fingerprint=fingerprint(tmp_path))
    return tmp_path


def test_what_was_written_is_read(directory):
    run = Run.open(directory)
    assert run.directory == directory
    assert run.manifest["seed"] == 3
    assert run.scenario == {"seed": 3, "uplink": {"bandwidth_hz": 20e6}}
    assert run.tables == ("rounds", "devices")
    assert run.rounds["round"].tolist() == [0, 1]
    assert run.devices["x_m"].tolist() == [1.5, 2.5]
    assert run.rounds is run.rounds
    run.verify(audit())


def test_optional_tables_that_were_not_kept_have_columns_and_no_rows(directory):
    run = Run.open(directory)
    for name, frame in (("radio", run.radio), ("events", run.events)):
        assert len(frame) == 0
        assert tuple(frame.columns) == TABLES[name].column_names


def test_repr_says_what_it_is(directory):
    assert repr(Run.open(directory)) == f"Run({str(directory)!r}, finished, seed 3, 2 rounds, tables: rounds, devices)"


@pytest.mark.parametrize("place", ["", "absent"])
def test_not_a_run_directory(tmp_path, place):
    with pytest.raises(RunError, match="is not a run directory"):
        Run.open(tmp_path / place)


def test_changed_tables_are_found(directory):
    trace = TraceWriter.open_existing(directory, keep_rounds=1)
    trace.append("rounds", {**ROUNDS, "round": 1, "t_start_s": 1.0, "t_end_s": 2.0, "energy_j": 0.2})
    trace.append("devices", {**DEVICES, "round": 1, "x_m": 2.5, "merged_round": 1.0})
    trace.close()
    with pytest.raises(RunError, match="were changed"):
        Run.open(directory).verify(audit())


@pytest.mark.parametrize("content", [b"", b"PAR1 cut off"])
def test_damaged_table(directory, content):
    (directory / "devices.parquet" / "part-00000.parquet").write_bytes(content)
    with pytest.raises(RunError, match=r"devices\.parquet"):
        _ = Run.open(directory).devices
    with pytest.raises(RunError, match=r"devices\.parquet"):
        Run.open(directory).verify(audit())


def test_missing_table(directory):
    (directory / "devices.parquet" / "part-00000.parquet").unlink()
    (directory / "devices.parquet").rmdir()
    with pytest.raises(RunError, match=r"devices\.parquet"):
        Run.open(directory).verify(audit())


@pytest.mark.parametrize("text", ["a: [", "- a list\n", None])
def test_damaged_scenario(directory, text):
    path = directory / "scenario.yaml"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(RunError, match=r"scenario\.yaml"):
        _ = Run.open(directory).scenario


def test_opening_loads_no_heavy_package(directory):
    code = f"import sys; from cosim.trace.run import Run; Run.open({str(directory)!r}); print([m for m in ('pandas', 'pyarrow', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nan_stays_nan_and_flags_stay_flags(directory):
    devices = Run.open(directory).devices
    assert devices["accuracy"].isna().all()
    assert devices["selected"].dtype == np.bool_


def test_devices_beside_their_rounds(directory):
    joined = Run.open(directory).device_rounds
    assert joined["x_m"].tolist() == [1.5, 2.5]
    assert joined["devices_selected"].tolist() == [1, 1]
    assert {"train_loss", "round_train_loss", "round"} <= set(joined)
    assert not [name for name in joined if name.endswith(("_x", "_y"))]


def test_what_a_column_is():
    assert (Run.column("latency_s").unit, Run.column("snr_db").unit, Run.column("objective").unit) == ("s", "dB", "")
    assert Run.column("round_train_loss").meaning == Run.column("train_loss").meaning
    with pytest.raises(KeyError, match="no table has a column 'latency'"):
        Run.column("latency")
