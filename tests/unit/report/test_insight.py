"""Who was last and why, what waiting cost, what bound the pruned: on rounds whose answers are known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cosim.report import bounds, insight, rounds, words

PLAN = {"fixed_time_s": 0.1, "prunable_time_s": 0.8, "fixed_bits": 0.0, "prunable_bits": 1e6, "prune_ratio": 0.5, "t_planned_s": 1.0}
COMMON = {"selected": True, "los": False, "gain_planned_db": -100.0, "bandwidth_hz": 1e5, "bandwidth_mean_hz": 1e5}
COMMON |= {"payload_bits": 5e5, "straggler_factor": 1.0, "merged_round": 7.0, "staleness": 0.0}


def device(device, download, compute, upload, *, status="arrived", wait=0.0, **other):
    """A device of round 7: planned are 0.5 s until its upload, which takes 0.5 s."""
    times = {"t_download_s": download, "t_compute_s": compute, "t_wait_s": wait, "t_upload_s": upload}
    total = download + compute + wait + upload if status == "arrived" else np.nan
    return {"round": 7, "device": device, "status": status, **COMMON, **PLAN, **times, "t_total_s": total, **other}


def run_of(*devices, latency=2.0):
    total = {"round": 7, "t_start_s": 0.0, "t_end_s": latency, "latency_s": latency, "planned_latency_s": 1.0}
    return SimpleNamespace(devices=pd.DataFrame(devices), rounds=pd.DataFrame([total]), asynchronous=False)


def test_a_slow_upload():
    run = run_of(device(3, 0.1, 0.4, 0.5), device(4, 0.1, 0.4, 1.5, gain_planned_db=-120.0), device(5, 0.1, 0.6, 0.3))
    last = insight.stragglers(insight.device_rounds(run)).loc[7]
    assert (last["device"], last["bound"]) == (4, insight.RADIO)
    assert last["over_s"] == pytest.approx(1.0)
    assert words.round_notes(run)[7] == (
        "Round 7 took 2.00 s, 1.00 s (100 %) longer than planned. Last was device 4, after 2.00 s. Why: the radio; its upload took "
        "1.50 s, 1.00 s more than planned (it sent at 333 kbit/s, planned were 1.00 Mbit/s in 100 kHz: its channel was worse than the plan "
        "expected; planned gain -120 dB, the weakest of 3; no line of sight). Waiting was 33.3 % of the devices' time."
    )


def test_a_band_that_others_held():
    run = run_of(device(3, 0.1, 0.4, 0.5), device(4, 0.1, 0.4, 1.5, bandwidth_mean_hz=4e4))
    assert "planned were 1.00 Mbit/s in 100 kHz, of which it held 40.0 kHz on average; planned gain" in words.round_notes(run)[7]


def test_a_slow_computer():
    run = run_of(device(3, 0.1, 1.4, 0.5, straggler_factor=3.5), device(4, 0.1, 0.4, 0.9), latency=2.0)
    last = insight.stragglers(insight.device_rounds(run)).loc[7]
    assert (last["device"], last["bound"]) == (3, insight.COMPUTING)
    assert "Why: computing; 1.50 s passed before its upload could begin, 1.00 s more than planned" in words.round_notes(run)[7]
    assert "it computed 3.5 times as long as nominal" in words.round_notes(run)[7]


def test_as_planned_the_longer_part_is_named():
    run = run_of(device(3, 0.1, 0.3, 0.6), latency=1.0)
    assert insight.stragglers(insight.device_rounds(run)).loc[7, "bound"] == insight.RADIO
    assert "Round 7 took 1.00 s, as planned." in words.round_notes(run)[7]


def test_late_devices_were_last():
    nan = np.nan
    computing = device(3, 0.1, nan, nan, status="late")
    uploading = device(4, 0.1, 0.4, nan, status="late")
    run = run_of(device(2, 0.1, 0.4, 1.4), uploading, computing)
    assert insight.stragglers(insight.device_rounds(run)).loc[7, ["device", "bound"]].tolist() == [3, insight.COMPUTING]
    assert "Device 3 (and 1 more) had not arrived when it closed." in words.round_notes(run)[7]
    only = run_of(device(2, 0.1, 0.4, 1.4), uploading)
    assert "Why: the radio; it had been uploading for 1.50 s, 1.00 s more than planned" in words.round_notes(only)[7]


def test_waiting_is_counted_for_those_who_stayed():
    """0.3 s for its own work and 1.0 s for the other; the late device never waited; who left or was not asked does not count."""
    gone = device(5, 0.1, 0.1, np.nan, status="dropped")
    rows = insight.device_rounds(run_of(device(2, 0.1, 0.3, 0.3, wait=0.3), device(4, 0.1, 0.4, np.nan, status="late"), gone))
    assert rows["device"].tolist() == [2, 4]
    assert insight.waiting_share(rows) == pytest.approx(1.3 / 4.0)


def asynchronous_run():
    """Three rounds of 1 s. Device 3 is taken by round 0, device 4 after 1.5 s by round 1; device 5 is at work when the run ends."""
    rows = [
        device(3, 0.1, 0.4, 0.5, round=0, merged_round=0.0),
        device(4, 0.1, 0.4, 1.0, round=0, merged_round=1.0, staleness=1.0),
        device(5, 0.1, 0.4, np.nan, round=1, status="late", merged_round=np.nan, staleness=np.nan),
    ]
    times = {"t_start_s": [0.0, 1.0, 2.0], "t_end_s": [1.0, 2.0, 3.0], "latency_s": 1.0, "planned_latency_s": 1.0}
    return SimpleNamespace(devices=pd.DataFrame(rows), rounds=pd.DataFrame({"round": [0, 1, 2], **times}), asynchronous=True)


def test_asynchronous_rounds_wait_for_nobody():
    """Device 4 waits for 0.5 s until its update is taken; nobody holds a round up."""
    run = asynchronous_run()
    rows = insight.device_rounds(run)
    assert rows["latency_s"].tolist() == [1.0, 2.0, 2.0]
    assert insight.waiting_share(rows) == pytest.approx(0.5 / 5.0)
    said = dict(words.answers(run))
    assert "Which devices held the rounds up, and why?" not in said
    assert said["Which devices took longest, and why?"].startswith("No aggregation waited for everybody.")
    assert said["How far was planned latency off?"] == (
        "From when a device was asked until its update had come it took 1.25 s on average, planned were 1.00 s: 250 ms (25 %) longer than "
        "planned. The server aggregated every 1.00 s on average, with the updates that had come by then."
    )
    notes = words.round_notes(run)
    assert notes[0].startswith("Round 0 took 1.00 s. Of those that began with it (2), device 4 took longest: 1.50 s, 500 ms (50 %) longer")
    assert notes[0].endswith("Waiting, until an aggregation took their updates, was 16.7 % of their time.")
    assert "(1), device 5 was still at work when the run ended. Why: the radio; it had been uploading for 1.50 s" in notes[1]


def test_the_axis_of_an_asynchronous_round_reaches_to_the_aggregation_that_took_the_last_update():
    one, timeline = rounds.panels(asynchronous_run())
    assert one.frames[0]["layout"]["xaxis"]["range"] == pytest.approx([0.0, 1.04 * 2.0])
    cells = timeline.figure.data[0]
    assert None not in cells.z[list(cells.y).index(4)][: len(cells.z[0]) * 2 // 3]


def test_what_bound_the_pruned():
    """Pruned by half, 0.5 s were planned for sending the rest: 1.0 s for the whole, which is more than 0.8 s of computing."""
    radio = device(3, 0.1, 0.4, 0.5)
    computing = device(4, 0.1, 0.4, 0.5, prunable_time_s=1.2, t_planned_s=1.0)
    whole = device(5, 0.1, 0.4, 0.5, prune_ratio=0.0)
    run = run_of(radio, computing, whole)
    known = insight.pruned(insight.device_rounds(run)).set_index("device")
    assert known["bound"].to_dict() == {3: insight.RADIO, 4: insight.COMPUTING}
    assert known["full_upload_s"].tolist() == pytest.approx([1.0, 0.6])
    assert {trace.name: list(trace.y) for trace in bounds.panels(run)[0].figure.data if trace.name != "equally long"} == {
        "radio-bound": [1.0],
        "compute-bound": [0.6],
    }
    assert bounds.pruned_table(run).count("<tr>") == 3
    assert "50.0 % of those devices were radio-bound" in dict(words.answers(run))["Who was pruned, and why?"]


def test_without_a_plan_the_longer_part_is_named():
    unknown = dict.fromkeys(("fixed_time_s", "prunable_time_s", "fixed_bits", "prunable_bits", "t_planned_s"), np.nan)
    run = run_of(device(3, 0.1, 0.3, 0.6, **unknown), device(4, 0.1, 1.3, 0.6, **unknown))
    assert insight.stragglers(insight.device_rounds(run)).loc[7, ["device", "bound"]].tolist() == [4, insight.COMPUTING]
    assert bounds.panels(run) == []
    assert bounds.pruned_table(run) == ""


def test_bars_of_a_round_and_the_timeline_say_the_same():
    """Upload of device 4 from 0.5 to 2.0 s, late; device 3 done at 1.0 s, and then waiting."""
    run = run_of(device(3, 0.1, 0.4, 0.5), device(4, 0.1, 0.4, np.nan, status="late"))
    one, timeline = rounds.panels(run)
    bars = {trace.name: list(trace.x) for trace in one.figure.data if trace.type == "bar"}
    assert one.figure.layout.yaxis.ticktext == ("4 late", "3")
    assert bars["upload"] == pytest.approx([1.5, 0.5])
    assert bars["waiting for others"] == pytest.approx([0.0, 1.0])
    cells = np.array(timeline.figure.data[0].z, dtype=float)
    doing = [list(rounds.PARTS)[int(code)] for code in cells[0]]
    share = [doing.count(name) / len(doing) for name in ("t_download_s", "t_compute_s", "t_upload_s", "t_rest_s")]
    assert share == pytest.approx([0.05, 0.2, 0.25, 0.5], abs=2 / len(doing))
    assert timeline.figure.data[0].y == (3, 4)
    assert one.frames == []
