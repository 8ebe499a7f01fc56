"""What no run can have is told with round, device and quantity; what runs have passes."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

import cosim
from cosim.errors import RunError, SimulationError
from cosim.trace.invariants import RULES, Audit, within
from cosim.trace.parts import part_files, read_part, table_directory
from cosim.trace.schema import TABLE_NAMES, TABLES
from cosim.trace.writer import TraceWriter

OVERRIDES = {"rounds": 6, "learning.kind": "none", "trace.events": True, "trace.radio_interval_s": 0.5}
LEAVES = {"availability.kind": "on_off", "availability.mean_on_s": 3.0, "availability.mean_off_s": 1.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    scenario = cosim.Scenario.load("scenarios/small_5dev.yaml", {**OVERRIDES, **LEAVES})
    return cosim.run(scenario, out=tmp_path_factory.mktemp("audited") / "run")


@pytest.fixture
def tables(run):
    """All columns of all tables, free to be changed."""
    found = {}
    for name in TABLE_NAMES:
        (path,) = part_files(table_directory(run.directory, name))
        part = read_part(path)
        found[name] = {column: part[column].to_numpy().copy() for column in part.column_names}
    return found


@pytest.fixture
def audit(run):
    return cosim.Scenario.load(run.directory / "scenario.yaml").audit()


def verdicts(audit, tables):
    return [wrong for name in TABLE_NAMES if (wrong := audit.violation(name, tables[name]))]


def test_a_run_as_it_was_written_breaks_no_rule(run, audit, tables):
    assert verdicts(audit, tables) == []
    assert {"dropped", "late"} & set(tables["devices"]["status"])
    run.verify(cosim.Scenario.load(run.directory / "scenario.yaml").audit())


@pytest.mark.parametrize("size", [1, 3, 7])
def test_rows_may_come_in_pieces(audit, tables, size):
    for name in TABLE_NAMES:
        for begin in range(0, len(tables[name]["round"]), size):
            assert audit.violation(name, {column: values[begin : begin + size] for column, values in tables[name].items()}) is None


SPOILT = {
    "time goes back": ("rounds", "t_start_s", 2, lambda c, row: c["t_end_s"][row - 1] - 0.01, "round 2: latency_s = .* must be t_end_s - t_start_s"),
    "a round overlaps": ("rounds", ("t_start_s", "latency_s"), 3, lambda c, row: (c["t_start_s"][row] - 1e-3, c["latency_s"][row] + 1e-3), "round 3: t_start_s = .* must not lie before the end of the round before it"),
    "a round is missing": ("rounds", "round", 4, lambda c, row: 5, "round 5: round = 5 must be 4"),
    "more than the band": ("rounds", "bandwidth_used_hz", 1, lambda c, row: 3e6, "round 1: bandwidth_used_hz = 3000000 must be within the band of"),
    "nobody knows the energy": ("rounds", "energy_j", 5, lambda c, row: np.nan, "round 5: energy_j = nan must be known"),
    "an infinite latency": ("rounds", "planned_latency_s", 0, lambda c, row: np.inf, "round 0: planned_latency_s = inf must be finite"),
    "counts do not add up": ("rounds", "devices_dropped", 1, lambda c, row: 4, r"round 1: devices_selected = \d must be devices_arrived \+ devices_dropped \(devices_arrived = "),
    "a device is everywhere": ("devices", "x_m", 7, lambda c, row: np.nan, "round 1, device 2: x_m = nan must be known"),
    "no such status": ("devices", "status", 7, lambda c, row: "lost", "round 1, device 2: status = lost must be one of arrived, late, "),
    "selected, yet offline": ("devices", ("selected", "status"), 7, lambda c, row: (True, "offline"), r"round 1, device 2: status = offline must be one of arrived, .* \(selected = True\)"),
    "a part too long": ("devices", "t_compute_s", "arrived", lambda c, row: c["t_compute_s"][row] + 0.1, r"device \d: t_total_s = .* must be t_download_s \+ t_compute_s"),
    "arrived after the end": ("devices", ("t_wait_s", "t_total_s"), "arrived", lambda c, row: (c["t_wait_s"][row] + 9, c["t_total_s"][row] + 9), r"device \d: t_total_s = .* must end by "),
    "negative bits": ("devices", "payload_bits", 7, lambda c, row: -1.0, "round 1, device 2: payload_bits = -1 must be >= 0"),
    "pruned away": ("devices", "prune_ratio", 7, lambda c, row: 1.5, "round 1, device 2: prune_ratio = 1.5 must be <= 1"),
    "a share of more than all": ("devices", "bandwidth_hz", 7, lambda c, row: 1e9, "round 1: bandwidth_hz sums to 1.*, must be within the band of"),
    "a device twice": ("devices", "device", 7, lambda c, row: 1, "round 1, device 1: device = 1 must be 2 of round 1"),
    "merged before it began": ("devices", "merged_round", "arrived", lambda c, row: -1.0, "merged_round = -1 must not lie before the round"),
    "radio of the past": ("radio", "t_s", 9, lambda c, row: 0.0, r"round \d+, device \d: t_s = 0 must not lie before the row before it"),
    "an event of the past": ("events", "t_s", 9, lambda c, row: -1.0, r"round \d+, device -?\d: t_s = -1 must be >= 0"),
}  # fmt: skip


def test_each_site_has_the_whole_band():
    audit = Audit(devices=4, bandwidth_hz=1e6, sites=2)
    columns = {"round": np.zeros(4, np.int64), "site": np.array([0, 0, 1, 1]), "bandwidth_hz": np.array([6e5, 4e5, 1e6, np.nan])}
    assert list(audit._within_band(columns)) == []
    columns["bandwidth_hz"][0] = 7e5
    (found,) = audit._within_band(columns)
    assert found == "round 0: bandwidth_hz of site 0 sums to 1100000, must be within the band of 1000000"


@pytest.mark.parametrize("name", SPOILT)
def test_what_no_run_can_have(audit, tables, name):
    table, quantity, row, change, message = SPOILT[name]
    columns = tables[table]
    if row == "arrived":
        row = int(np.flatnonzero(columns["status"] == "arrived")[0])
    names = [quantity] if isinstance(quantity, str) else quantity
    values = change(columns, row)
    for spoilt, value in zip(names, [values] if isinstance(quantity, str) else values, strict=True):
        columns[spoilt][row] = value
    (wrong, *_) = verdicts(audit, tables)
    assert re.search(message, wrong), wrong


def test_every_rule_names_a_column():
    for name, rules in RULES.items():
        for rule in rules:
            assert {rule.quantity, *rule.others} <= set(TABLES[name].column_names)
    assert all(least < most for table in TABLES.values() for column in table.columns for least, most in [within(column)])


def test_rows_that_no_run_can_have_are_not_written(tmp_path, tables):
    trace = TraceWriter(tmp_path, audit=Audit(devices=5, bandwidth_hz=1e6))
    columns = {name: values[:1] for name, values in tables["rounds"].items()}
    with pytest.raises(SimulationError, match=r"round 0: bandwidth_used_hz = .* these rows are not written"):
        trace.append("rounds", columns)
    trace.close()
    assert len(cosim.trace.parts.read_part(tmp_path / "rounds.parquet/part-00000.parquet")) == 0


def test_the_command_line_audits_an_old_run(run, tmp_path):
    """A table that was changed, with a manifest that does not give it away: a run that did not finish."""
    copy = tmp_path / "run"
    shutil.copytree(run.directory, copy)
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace(run.manifest["fingerprint"], "").replace('"fingerprint": ""', '"fingerprint": null'))
    path = copy / "devices.parquet" / "part-00000.parquet"
    part = read_part(path)
    late = part["t_upload_s"].to_numpy().copy()
    late[np.isfinite(late)] *= 1.5
    place = part.schema.get_field_index("t_upload_s")
    pq.write_table(part.set_column(place, part.schema.field(place), [late]), path)
    done = subprocess.run([sys.executable, "-m", "cosim", "check", "--run", str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("cosim: error: ")
    assert "device 0: t_total_s = " in done.stderr
    with pytest.raises(RunError, match="t_total_s"):
        cosim.Run.open(copy).verify(cosim.Scenario.load(copy / "scenario.yaml").audit())
