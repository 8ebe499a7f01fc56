"""Every uplink in whole runs: bits, blocks, energy and times add up, and a run that goes on is the run that was never stopped."""

import numpy as np
import pytest

import cosim
from cosim.build import resume
from cosim.errors import ScenarioError

CASES = {
    "work_conserving": {"uplink.kind": "work_conserving"},
    "round_robin": {"uplink.kind": "round_robin", "uplink.grant_delay_s": 0.02},
    "proportional_fair": {"uplink.kind": "proportional_fair", "uplink.uplink_share": 0.6, "uplink.overhead": 0.1},
    "max_ci_tdl": {"uplink.kind": "max_ci", "channel.fading.kind": "tdl", "uplink.bandwidth_hz": 5e6},
    "nr": {"uplink.kind": "proportional_fair", "uplink.rate.kind": "nr_mcs", "uplink.slot_s": 2e-3, "uplink.report_delay_slots": 2},
    "nr_tdl": {
        "uplink.kind": "work_conserving",
        "uplink.rate.kind": "nr_mcs",
        "uplink.slot_s": 2e-3,
        "uplink.bandwidth_hz": 5e6,
        "channel.fading.kind": "tdl",
    },
    "power_control": {"uplink.kind": "round_robin", "devices.power_control": {"p0_dbm": -85, "alpha": 0.9}},
    "reserved_power_control": {"uplink.kind": "ideal", "devices.power_control": {"p0_dbm": -85, "alpha": 0.9}},
    "leaving": {"uplink.kind": "max_ci", "availability.kind": "on_off", "availability.mean_on_s": 3.0, "availability.mean_off_s": 2.0},
}


def scenario(**more):
    base = {"learning.kind": "none", "rounds": 2, "devices.count": 8, "trace.radio_interval_s": 0.02}
    return cosim.Scenario.load("scenarios/urban_50dev.yaml", overrides={**base, **more})


@pytest.fixture(scope="module", params=CASES)
def run(request, tmp_path_factory):
    what = scenario(**CASES[request.param])
    found = cosim.run(what, out=tmp_path_factory.mktemp("uplinks") / request.param)
    found.what = what
    return found


def test_bits_and_times(run):
    devices = run.devices
    arrived = devices[devices.status == "arrived"]
    assert len(arrived) > 0
    assert (arrived.t_upload_s > run.what.uplink.grant_delay_s).all()
    parts = arrived.t_download_s + arrived.t_compute_s + arrived.t_wait_s + arrived.t_upload_s
    assert np.allclose(parts, arrived.t_total_s, rtol=1e-9)
    for index, row in run.rounds.set_index("round").iterrows():
        mine, sent = ((rows.payload_bits + rows.retransmitted_bits)[rows["round"] == index].sum() for rows in (arrived, devices))
        assert mine - 1e-6 <= row.uplink_bits <= sent + 1e-6


def test_blocks_and_bandwidth(run):
    uplink, devices = run.what.uplink, run.devices[run.devices.status == "arrived"]
    assert (devices.bandwidth_hz > 0).all()  # what was planned
    assert (devices.bandwidth_mean_hz > 0).all()  # what was held
    assert (devices.bandwidth_mean_hz <= uplink.usable_bandwidth_hz * (1 + 1e-9)).all()
    assert (devices.retransmitted_bits >= 0).all()
    if np.isfinite(uplink.block_hz):
        held = run.radio.groupby("t_s").blocks.sum()
        assert held.max() <= uplink.blocks + 1e-9
        assert held.max() > 0
    assert (run.radio.rate_bps > 0).any()


def test_energy_is_power_times_time(run):
    """At most the radiated power over the efficiency, during the upload's share of the time."""
    devices, parts = run.devices[run.devices.status == "arrived"], run.what
    drawn_w = 10 ** (parts.devices.transmit_power_dbm / 10 - 3) / parts.devices.amplifier_efficiency
    most_j = drawn_w * devices.t_upload_s * parts.uplink.uplink_share
    assert (devices.energy_transmit_j > 0).all()
    assert (devices.energy_transmit_j <= most_j * (1 + 1e-9)).all()
    if parts.devices.power_control:
        assert (devices.energy_transmit_j < 0.9 * most_j).any()


def test_a_run_that_goes_on_is_the_same(tmp_path):
    settings = CASES["nr"]
    whole = cosim.run(scenario(**settings), out=tmp_path / "whole")
    cosim.run(scenario(**settings, rounds=1), out=tmp_path / "part")
    again = resume(tmp_path / "part", rounds=2)
    assert again.manifest["fingerprint"] == whole.manifest["fingerprint"]


def test_windows_are_the_same_after_a_stop(tmp_path):
    """Uploads go on over the end of asynchronous rounds, in windows that end where senders change, not where events of old rounds lie."""
    settings = {
        "devices.count": 8,
        "uplink.kind": "max_ci",
        "uplink.bandwidth_hz": 3.6e6,
        "round.policy": {"kind": "fed_buff", "buffer": 3},
        "availability": {"kind": "on_off", "mean_on_s": 4.0, "mean_off_s": 1.0},
        "seed": 3,
        "learning.kind": "none",
    }
    first, second = (cosim.Scenario.load("scenarios/urban_50dev.yaml", overrides={**settings, "rounds": rounds}) for rounds in (3, 6))
    whole = cosim.run(second, out=tmp_path / "whole")
    cosim.run(first, out=tmp_path / "part")
    assert resume(tmp_path / "part", rounds=6).manifest["fingerprint"] == whole.manifest["fingerprint"]


def test_luck_does_not_depend_on_the_allocator_and_the_seed_moves_it(tmp_path):
    runs = [cosim.run(scenario(**CASES["nr"], seed=seed, rounds=1), out=tmp_path / str(k)) for k, seed in enumerate((5, 5, 6))]
    assert runs[0].manifest["fingerprint"] == runs[1].manifest["fingerprint"] != runs[2].manifest["fingerprint"]


def test_transport_blocks_need_a_scheduler():
    with pytest.raises(ScenarioError, match="needs one of the schedulers"):
        scenario(**{"uplink.rate.kind": "nr_mcs"})
    with pytest.raises(ScenarioError, match="lowest MCS"):
        scenario(**{"uplink.kind": "max_ci", "uplink.rate.kind": "nr_mcs", "uplink.snr_min_db": -10.0})
    assert np.isnan(scenario(**{"uplink.kind": "ideal"}).uplink.block_hz)


def test_the_rate_of_a_sample_is_that_of_sending_in_the_last_slot_too(tmp_path):
    """On a channel that does not change, so many blocks always carry so much, though an upload ends within a slot."""
    overrides = {"learning.kind": "none", "rounds": 1, "uplink": {"kind": "round_robin", "bandwidth_hz": 1.8e6}, "mobility.kind": "static"}
    overrides |= {"channel.fading.kind": "none", "trace.radio_interval_s": 0.01}
    run = cosim.run(cosim.Scenario.load("scenarios/small_5dev.yaml", overrides=overrides), out=tmp_path / "run")
    rates = run.radio[run.radio.rate_bps > 0].groupby(["device", "blocks"]).rate_bps
    assert rates.size().min() > 1
    np.testing.assert_allclose(rates.min(), rates.max(), rtol=1e-9)
