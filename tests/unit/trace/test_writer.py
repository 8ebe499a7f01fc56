"""Tables can be read at any time, survive kills and full disks, and can be cut and continued."""

import resource

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cosim.errors import RunError
from cosim.trace import parts, writer
from cosim.trace.manifest import fingerprint
from cosim.trace.schema import TABLES
from cosim.trace.writer import TraceWriter


def round_row(index, **more):
    return {"round": index, "devices_selected": 2, "devices_arrived": 2, "devices_dropped": 0, "feasible": True, "pruning_cost": "", **more}


def device_rows(index, count=3):
    ids = np.arange(count)
    return {
        "round": index,
        "device": ids,
        "selected": ids > 0,
        "status": np.where(ids > 0, "arrived", "skipped"),
        "los": False,
        "x_m": ids + index / 7,
    }


def write_rounds(trace, rounds, *, each_flushed=True):
    for index in rounds:
        trace.append("rounds", round_row(index, latency_s=0.1 * index))
        trace.append("devices", device_rows(index))
        if each_flushed:
            trace.flush(force=True)


def part_names(directory, table):
    return sorted(path.name for path in (directory / f"{table}.parquet").iterdir())


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART_ROWS", 4)


def test_tables_can_be_read_before_the_first_row(tmp_path):
    TraceWriter(tmp_path, ("rounds", "devices", "events"))
    for name in ("rounds", "devices", "events"):
        frame = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert len(frame) == 0
        assert tuple(frame.columns) == TABLES[name].column_names
    assert not (tmp_path / "radio.parquet").exists()


def test_rows_come_back_with_types_scalars_spread_and_missing_floats_nan(tmp_path):
    trace = TraceWriter(tmp_path)
    write_rounds(trace, range(2), each_flushed=False)
    trace.close()
    rounds, devices = pd.read_parquet(tmp_path / "rounds.parquet"), pd.read_parquet(tmp_path / "devices.parquet")
    assert rounds["round"].tolist() == [0, 1]
    assert rounds["latency_s"].tolist() == [0.0, 0.1]
    assert rounds["accuracy_mean"].isna().all()
    assert rounds["feasible"].dtype == bool
    assert devices["round"].tolist() == [0, 0, 0, 1, 1, 1]
    assert devices["status"].tolist() == ["skipped", "arrived", "arrived"] * 2
    assert devices["x_m"].tolist() == [0.0, 1.0, 2.0, 1 / 7, 1 + 1 / 7, 2 + 1 / 7]


def test_parts_carry_unit_and_meaning(tmp_path):
    TraceWriter(tmp_path)
    schema = pq.read_schema(tmp_path / "rounds.parquet" / "part-00000.parquet")
    assert schema.field("latency_s").metadata[b"unit"] == b"s"
    assert schema.field("latency_s").metadata[b"meaning"] == b"t_end_s - t_start_s"


@pytest.mark.usefixtures("small_parts")
def test_a_full_part_is_left_alone_and_a_new_one_begins(tmp_path):
    trace = TraceWriter(tmp_path)
    write_rounds(trace, range(2))  # 6 device rows: one part of 4, one of 2
    full = tmp_path / "devices.parquet" / "part-00000.parquet"
    before = full.stat()
    write_rounds(trace, range(2, 4))
    assert part_names(tmp_path, "devices") == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet", "part-00003.parquet"]
    assert [pq.read_metadata(tmp_path / "devices.parquet" / f"part-0000{i}.parquet").num_rows for i in range(4)] == [4, 4, 4, 0]
    assert (full.stat().st_ino, full.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert pd.read_parquet(tmp_path / "devices.parquet")["round"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.usefixtures("small_parts")
def test_one_append_may_fill_several_parts(tmp_path):
    trace = TraceWriter(tmp_path)
    trace.append("devices", device_rows(0, count=11))
    trace.close()
    assert pd.read_parquet(tmp_path / "devices.parquet")["device"].tolist() == list(range(11))


def test_a_draft_left_by_a_kill_does_not_disturb_readers_or_the_next_writer(tmp_path):
    trace = TraceWriter(tmp_path)
    write_rounds(trace, range(2))
    draft = tmp_path / "rounds.parquet" / ".part-00000.parquet.tmp"
    draft.write_bytes(b"PAR1 half a part")
    assert pd.read_parquet(tmp_path / "rounds.parquet")["round"].tolist() == [0, 1]
    write_rounds(TraceWriter.open_existing(tmp_path, keep_rounds=2), [2])
    assert pd.read_parquet(tmp_path / "rounds.parquet")["round"].tolist() == [0, 1, 2]
    assert not draft.exists()


def test_flush_waits_for_two_seconds_of_wall_time(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(writer.time, "monotonic", lambda: clock[0])
    trace = TraceWriter(tmp_path)
    trace.append("rounds", round_row(0))
    clock[0] += 1.9
    assert not trace.flush()
    assert len(pd.read_parquet(tmp_path / "rounds.parquet")) == 0
    clock[0] += 0.2
    assert trace.flush()
    assert len(pd.read_parquet(tmp_path / "rounds.parquet")) == 1
    assert not trace.flush()


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ("rounds", {"latency": 1.0}, "no column latency"),
        ("rounds", {"round": 0}, "devices_selected is missing"),
        ("devices", {**device_rows(0), "x_m": np.zeros(2)}, "differ in length"),
        ("devices", {**device_rows(0), "x_m": np.zeros((3, 1))}, "one dimension"),
        ("devices", {**device_rows(0), "los": np.zeros(3)}, "los is bool, got float64"),
        ("devices", {**device_rows(0), "device": [0.0, 1.0, np.nan]}, "device is int64, got float64"),
        ("devices", {**device_rows(0), "x_m": None}, None),
        ("devices", {**device_rows(0), "x_m": [1.0, None, 2.0]}, "x_m is float64, got object"),
        ("devices", {**device_rows(0), "x_m": ["1", "2", "3"]}, "x_m is float64, got <U1"),
        ("devices", {**device_rows(0), "status": 3}, "status is string, got int64"),
        ("radio", {}, "keeps no table 'radio'"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, table, columns, message):
    trace = TraceWriter(tmp_path)
    if message is None:
        trace.append(table, columns)
        return
    with pytest.raises(ValueError, match=message):
        trace.append(table, columns)
    trace.close()
    assert len(pd.read_parquet(tmp_path / "devices.parquet")) == 0


def test_a_second_run_cannot_take_the_directory(tmp_path):
    TraceWriter(tmp_path)
    with pytest.raises(RunError, match="already holds"):
        TraceWriter(tmp_path)


def test_a_place_that_cannot_be_a_directory(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunError, match=r"cannot write .*run"):
        TraceWriter(tmp_path / "run")


def test_a_full_disk_is_one_error_and_earlier_rows_stay(tmp_path):
    trace = TraceWriter(tmp_path)
    write_rounds(trace, range(3))
    before = fingerprint(tmp_path)
    trace.append("devices", {**device_rows(3, 30_000), "x_m": np.random.default_rng(1).random(30_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # a write beyond fails as on a full disk
    try:
        with pytest.raises(RunError, match=r"cannot write .*part-00000\.parquet"):
            trace.flush(force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert fingerprint(tmp_path) == before
    trace.flush(force=True)  # there is room again
    assert len(pd.read_parquet(tmp_path / "devices.parquet")) == 30_009


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("keep", [0, 1, 3, 4, 5])
def test_cut_and_continued_is_as_if_never_stopped(tmp_path, keep):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    write_rounds(TraceWriter(whole), range(6))
    write_rounds(TraceWriter(stopped), range(5))
    write_rounds(TraceWriter.open_existing(stopped, keep_rounds=keep), range(keep, 6))
    assert fingerprint(stopped) == fingerprint(whole)
    for name in ("rounds", "devices"):
        pd.testing.assert_frame_equal(pd.read_parquet(stopped / f"{name}.parquet"), pd.read_parquet(whole / f"{name}.parquet"))


def test_tables_older_than_the_checkpoint_are_refused(tmp_path):
    write_rounds(TraceWriter(tmp_path), range(2))
    with pytest.raises(RunError, match="holds 2 of the first 3 rounds"):
        TraceWriter.open_existing(tmp_path, keep_rounds=3)


def test_nothing_to_go_on_with(tmp_path):
    with pytest.raises(RunError, match="no rounds table"):
        TraceWriter.open_existing(tmp_path, keep_rounds=0)


def test_a_damaged_part_is_named(tmp_path):
    write_rounds(TraceWriter(tmp_path), range(2))
    (tmp_path / "rounds.parquet" / "part-00000.parquet").write_bytes(b"nonsense")
    with pytest.raises(RunError, match=r"part-00000\.parquet is damaged"):
        TraceWriter.open_existing(tmp_path, keep_rounds=2)
