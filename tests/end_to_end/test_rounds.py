"""Rounds as a user sees them: tables that add up, under both policies, with stragglers and departures."""

import numpy as np
import pandas as pd
import pytest

import cosim

URBAN = "scenarios/urban_50dev.yaml"


def simulate(out, **overrides):
    base = {"learning.kind": "none", "rounds": 4, "devices.count": 15}
    chosen = {**base, **{name.replace("__", "."): value for name, value in overrides.items()}}
    return cosim.run(cosim.Scenario.load(URBAN, overrides=chosen), out=out)


CASES = {
    "wait_all": {},
    "deadline": {"round.policy.kind": "deadline", "round.policy.after": {"relative_to_plan": 0.9}},
    "leaving": {"availability.kind": "on_off", "availability.mean_on_s": 4.0, "availability.mean_off_s": 2.0},
    "leaving_deadline": {
        "availability.kind": "on_off",
        "availability.mean_on_s": 4.0,
        "availability.mean_off_s": 2.0,
        "round.policy.kind": "deadline",
        "round.policy.after": {"relative_to_plan": 0.8},
        "rounds": 12,
    },
    "ideal": {"uplink.kind": "ideal"},
    "snapshot": {"round.csi.kind": "snapshot", "channel.fading.kind": "block_rayleigh"},
    "random_selection": {"round.selection.kind": "random", "round.selection.count": 6},
    "backhaul": {"network.backhaul_delay_s": 0.25},
    "infeasible": {"round.latency_threshold": 0.2},
    "hopeless": {"round.latency_threshold": 0.001},
}


@pytest.fixture(scope="module", params=CASES)
def run(request, tmp_path_factory):
    overrides = {"learning.kind": "none", "rounds": 4, "devices.count": 15, "devices.transmit_power_dbm": 20, **CASES[request.param]}
    result = cosim.run(cosim.Scenario.load(URBAN, overrides=overrides), out=tmp_path_factory.mktemp("runs") / request.param)
    result.case = request.param
    return result


def test_time_goes_on(run):
    rounds = run.rounds
    assert (rounds.t_end_s > rounds.t_start_s).all()
    assert (rounds.t_start_s.to_numpy()[1:] >= rounds.t_end_s.to_numpy()[:-1]).all()
    assert np.array_equal(rounds.latency_s, rounds.t_end_s - rounds.t_start_s)


def test_every_device_has_one_row_and_one_status_per_round(run):
    devices = run.devices
    assert not devices.duplicated(["round", "device"]).any()
    assert (devices.groupby("round").device.count() == 15).all()
    chosen = devices.status.isin(["arrived", "late", "dropped", "rejected"])
    assert (devices.selected == chosen).all()


def test_latency_parts_add_up(run):
    arrived = run.devices[run.devices.status == "arrived"]
    parts = arrived[["t_download_s", "t_compute_s", "t_wait_s", "t_upload_s"]]
    assert arrived.t_total_s.to_numpy() == pytest.approx(parts.sum(axis=1).to_numpy(), rel=1e-12)
    latest = arrived.groupby("round").t_total_s.max()
    rounds = run.rounds.set_index("round").loc[latest.index]
    assert (latest <= rounds.latency_s * (1 + 1e-9)).all()
    assert run.devices.loc[run.devices.status != "arrived", "t_total_s"].isna().all()


def test_counts_of_the_round_are_those_of_its_devices(run):
    count = run.devices.assign(arrived=run.devices.status == "arrived").groupby("round")[["selected", "arrived"]].sum()
    rounds = run.rounds.set_index("round")
    assert (count.selected == rounds.devices_selected).all()
    assert (count.arrived == rounds.devices_arrived).all()
    assert (rounds.devices_selected == rounds.devices_arrived + rounds.devices_dropped).all()
    pruned = run.devices.assign(pruned=run.devices.prune_ratio > 0).groupby("round")[["pruned", "kept_flops"]].sum()
    assert (pruned.pruned == rounds.devices_pruned).all()
    assert pruned.kept_flops.to_numpy() == pytest.approx(rounds.kept_flops.to_numpy(), rel=1e-12)
    sent = run.devices[run.devices.status == "arrived"].groupby("round").payload_bits.sum().reindex(rounds.index, fill_value=0.0)
    assert (sent <= rounds.uplink_bits * (1 + 1e-12)).all()  # uploads cut short were sent in part
    whole = rounds.devices_arrived == rounds.devices_selected
    assert sent[whole].to_numpy() == pytest.approx(rounds.uplink_bits[whole].to_numpy(), rel=1e-12)


def test_bandwidth_stays_within_the_band(run):
    used = run.devices.groupby("round").bandwidth_hz.sum()
    assert (used <= run.scenario["uplink"]["bandwidth_hz"] * (1 + 1e-9)).all()


def test_events_tell_the_same_story(run):
    events = run.events
    arrivals = events[events.kind == "arrival"].merge(run.devices, on=["round", "device"])
    starts = run.rounds.set_index("round").t_start_s
    expected = arrivals["round"].map(starts) + arrivals.t_total_s
    assert arrivals.t_s.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9)
    assert (events.t_s.diff().dropna() >= -1e-9).all()


def test_radio_samples_show_transmissions_only_while_uploading(run):
    radio = run.radio.merge(run.devices[["round", "device", "status"]], on=["round", "device"])
    assert (radio.loc[~radio.status.isin(["arrived", "late", "dropped"]), "rate_bps"] == 0).all()
    if run.case != "hopeless":
        assert (radio.rate_bps > 0).any()


def test_the_case_shows_what_it_is_for(run):
    statuses = set(run.devices.status)
    expected = {
        "deadline": "late",
        "leaving": "offline",
        "leaving_deadline": "dropped",
        "random_selection": "skipped",
        "infeasible": "infeasible",
        "hopeless": "infeasible",
    }
    assert expected.get(run.case, "arrived") in statuses
    if run.case == "backhaul":
        assert (run.devices.t_upload_s.dropna() > 0.25).all()
        assert (run.devices.t_download_s.dropna() > 0.25).all()
    if run.case == "random_selection":
        assert (run.rounds.devices_selected == 6).all()
    if run.case == "hopeless":
        assert (run.rounds.devices_selected == 0).all()
        assert run.rounds.latency_s.to_numpy() == pytest.approx(0.001)


def test_deadline_ends_the_round_where_it_says(tmp_path):
    run = simulate(tmp_path / "run", round__policy__kind="deadline", round__policy__after=0.75)
    late = run.devices[run.devices.status == "late"].groupby("round").device.count()
    ended = run.rounds.set_index("round").latency_s
    assert len(late) > 0
    assert ended.loc[late.index].to_numpy() == pytest.approx(0.75, rel=1e-12)


def test_a_device_that_was_late_with_its_work_waits_before_the_next_round(tmp_path):
    """Work that outlasts the deadline is finished first: waiting time in the next round."""
    run = simulate(tmp_path / "run", round__policy__kind="deadline", round__policy__after=0.3, rounds=6)
    devices = run.devices.sort_values(["device", "round"])
    waited = devices[devices.t_wait_s > 0]
    assert len(waited) > 0
    before = devices.set_index(["round", "device"]).status
    assert all(before[row["round"] - 1, row.device] == "late" for _, row in waited.iterrows())


def test_same_seed_same_tables(tmp_path):
    one, two = (simulate(tmp_path / name) for name in ("one", "two"))
    for table in ("rounds", "devices", "radio", "events"):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(two, table), check_exact=True)
    assert one.manifest["fingerprint"] == two.manifest["fingerprint"]
