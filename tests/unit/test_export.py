"""Exports: the timeline against the format and the tables it is made from, CSV against the frames."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim import export
from cosim.errors import RunError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A deadline that stragglers miss, devices that leave, and radio samples."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "s.yaml").write_text("""
seed: 3
rounds: 6
devices: {count: 6}
learning: {kind: none}
compute: {kind: shifted_exponential, mean: 2.0}
round: {policy: {kind: deadline, after: {relative_to_plan: 1.1}}}
trace: {radio_interval_s: 0.05}
""")
    return cosim.run(cosim.Scenario.load(folder / "s.yaml"), out=folder / "run")


@pytest.fixture(scope="module")
def events(run):
    path = export.write_perfetto(run)
    assert path == run.directory / "timeline.json"
    return json.loads(path.read_text(encoding="utf-8"))["traceEvents"]


def test_every_event_has_what_the_format_asks_for(events):
    """Chrome's "Trace Event Format": M metadata, X complete events, C counters; ts and dur in microseconds."""
    assert {event["ph"] for event in events} == {"M", "X", "C"}
    for event in events:
        assert {"ph", "pid", "name", "args"} <= set(event)
        assert isinstance(event["pid"], int)
        if event["ph"] == "X":
            assert isinstance(event["tid"], int)
            assert event["ts"] >= 0
            assert event["dur"] > 0
        if event["ph"] == "C":
            assert all(isinstance(value, float) for value in event["args"].values())
            assert event["ts"] >= 0


def test_a_track_per_device_named_and_in_order(events, run):
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == {device + 1: f"device {device}" for device in range(6)}
    assert {event["tid"] for event in events if event["ph"] == "X" and event["pid"] == 2} <= set(names)


def test_slices_are_the_phases_of_the_table(events, run):
    for name, column in export.PHASES.items():
        expected = run.devices.loc[run.devices["selected"] & (run.devices[column] > 0), ["round", "device", column]]
        slices = [event for event in events if event["ph"] == "X" and event["name"] == name]
        assert sorted((event["args"]["round"], event["tid"] - 1) for event in slices) == sorted(
            zip(expected["round"], expected["device"], strict=True)
        )
        durations = {(event["args"]["round"], event["tid"] - 1): event["dur"] for event in slices}
        for row in expected.itertuples(index=False):
            assert durations[row.round, row.device] == pytest.approx(row[2] * 1e6, abs=2e-3)


@pytest.mark.parametrize(("policy", "rounds"), [("{kind: fed_buff, buffer: 2}", 6), ("{kind: tiers, count: 2}", 1)])
def test_work_that_an_asynchronous_run_cuts_off_reaches_to_its_end(policy, rounds, tmp_path):
    """Even where it ends so soon that no update was ever stale."""
    (tmp_path / "s.yaml").write_text(f"""
{{seed: 3, rounds: {rounds}, devices: {{count: 6}}, learning: {{kind: none}}, compute: {{kind: shifted_exponential, mean: 2.0}},
 uplink: {{kind: allocated}}, round: {{policy: {policy}}}}}
""")
    run = cosim.run(cosim.Scenario.load(tmp_path / "s.yaml"), out=tmp_path / "run")
    assert run.asynchronous
    slices = json.loads(export.write_perfetto(run).read_text(encoding="utf-8"))["traceEvents"]
    cut = [event for event in slices if event["name"].endswith("(cut off)")]
    assert len(cut) == (run.devices["status"] == "late").sum() > 0
    for event in cut:
        assert event["ts"] + event["dur"] == pytest.approx(1e6 * run.rounds["t_end_s"].max(), abs=2e-3)


def test_late_devices_are_cut_off_at_the_end_of_the_round(events, run):
    late = run.devices[run.devices["status"] == "late"]
    assert len(late)
    cut = [event for event in events if event["name"].endswith("(cut off)")]
    assert sorted((event["args"]["round"], event["tid"] - 1) for event in cut) == sorted(zip(late["round"], late["device"], strict=True))
    ends = run.rounds.set_index("round")["t_end_s"]
    for event in cut:
        assert event["ts"] + event["dur"] == pytest.approx(ends[event["args"]["round"]] * 1e6, abs=2e-3)


def test_slices_of_a_track_never_overlap(events):
    """A viewer stacks slices that overlap, and drops some that do so in part."""
    tracks = {}
    for event in events:
        if event["ph"] == "X":
            tracks.setdefault((event["pid"], event["tid"]), []).append((round(event["ts"] * 1000), round(event["dur"] * 1000)))
    assert len(tracks) == 7
    for spans in tracks.values():
        spans.sort()
        assert all(begin + length <= following for (begin, length), (following, _) in itertools.pairwise(spans))


def test_counters_are_the_radio_samples(events, run):
    found = [(event["name"], event["ts"], event["args"]["dB"]) for event in events if event["ph"] == "C"]
    assert len(found) == len(run.radio)
    row = run.radio.iloc[7]
    assert found[7] == (f"SNR of device {int(row['device'])}", pytest.approx(row["t_s"] * 1e6), pytest.approx(row["snr_db"], abs=5e-4))


def test_without_radio_there_are_no_counters(run):
    bare = SimpleNamespace(rounds=run.rounds, devices=run.devices, radio=run.radio.iloc[:0], asynchronous=False)
    assert {event["ph"] for event in export.trace_events(bare)} == {"M", "X"}


def test_csv_is_the_tables(run, tmp_path):
    paths = export.write_csv(run, tmp_path / "csv")
    assert [path.name for path in paths] == ["rounds.csv", "devices.csv", "radio.csv"]
    pd.testing.assert_frame_equal(pd.read_csv(paths[1]), run.devices, check_dtype=False, rtol=0, atol=0)
    assert np.isnan(pd.read_csv(paths[0])["accuracy_mean"]).all()


def test_a_folder_is_made(run, tmp_path):
    assert export.write_perfetto(run, tmp_path / "new" / "timeline.json").is_file()


def test_where_nothing_can_be_written(run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write"):
        export.write_csv(run, tmp_path / "file")
    with pytest.raises(RunError, match="cannot write"):
        export.write_perfetto(run, tmp_path)
