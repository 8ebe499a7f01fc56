"""Conservation laws of whole runs, read from their tables: whatever the uplink, the policy, the stragglers and the faults."""

import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import cosim

SLOT_S = 0.01
UPLINKS = [
    *({"kind": kind} for kind in ("ideal", "allocated", "work_conserving", "round_robin", "proportional_fair", "max_ci")),
    *({"kind": kind, "rate": {"kind": "nr_mcs", "harq_attempts": 2}} for kind in ("round_robin", "proportional_fair")),
]
POLICIES = [
    {"kind": "wait_all"},
    {"kind": "deadline", "after": {"relative_to_plan": 1.0}},
    {"kind": "first_m", "count": 2},
    {"kind": "tiers", "count": 2},
    {"kind": "fed_async"},
    {"kind": "fed_buff", "buffer": 2},
]
COMPUTE = [{"kind": kind} for kind in ("constant", "shifted_exponential", "pareto", "two_state", "background_load")]
FAULTS = [
    {},
    {"channel.outage": {"mean_up_s": 1.0, "mean_down_s": 0.3}},
    {"availability": {"kind": "on_off", "mean_on_s": 2.0, "mean_off_s": 1.0}},
    {"devices.battery": {"capacity_j": 2.0, "charge_low": 0.2, "charge_high": 1.0}},
]
SCENARIOS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "devices.count": st.integers(2, 6),
        "uplink": st.sampled_from(UPLINKS),
        "round.policy": st.sampled_from(POLICIES),
        "compute": st.sampled_from(COMPUTE),
        "downlink.mode": st.sampled_from(["broadcast", "multicast", "unicast"]),
        "faults": st.sampled_from(FAULTS),
        "uplink.uplink_share": st.sampled_from([1.0, 0.5]),
        "uplink.grant_delay_s": st.sampled_from([0.0, 0.015]),
        "network.backhaul_delay_s": st.sampled_from([0.0, 0.1]),
    }
)


def simulate(drawn, folder):
    """Two rounds; what is sent is sampled in every slot."""
    fixed = {"learning.kind": "none", "rounds": 2, "uplink.bandwidth_hz": 1.8e6, "trace.radio_interval_s": SLOT_S, "trace.events": True}
    drawn = deepcopy(drawn)
    scenario = cosim.Scenario.load("scenarios/urban_50dev.yaml", overrides={**drawn.pop("faults"), **drawn, **fixed})
    return scenario, cosim.run(scenario, out=Path(folder) / "run")


def check(drawn):
    with tempfile.TemporaryDirectory() as folder:
        scenario, run = simulate(drawn, folder)
        devices, rounds, radio, events = run.devices, run.rounds, run.radio, run.events
    statuses_are_exclusive(devices, rounds)
    times_add_up(devices)
    nothing_before_its_cause(scenario, devices, rounds, events)
    blocks_are_there(scenario, radio)
    bits_and_energy(scenario, devices, rounds, radio)


def statuses_are_exclusive(devices, rounds):
    """One row and one status for each device and round; whoever is selected arrives, is late, is dropped or rejected."""
    assert not devices.duplicated(["round", "device"]).any()
    assert len(devices) == len(rounds) * devices.device.nunique()
    assert (devices.selected == devices.status.isin(["arrived", "late", "dropped", "rejected"])).all()
    assert (rounds.devices_selected == rounds.devices_arrived + rounds.devices_dropped).all()


def times_add_up(devices):
    """Waiting + service = sojourn."""
    arrived = devices[devices.status == "arrived"]
    parts = arrived[["t_download_s", "t_compute_s", "t_wait_s", "t_upload_s"]]
    assert (parts >= -1e-12).all(axis=None)
    np.testing.assert_allclose(parts.sum(axis=1), arrived.t_total_s, rtol=1e-9)


def nothing_before_its_cause(scenario, devices, rounds, events):
    """Start, download, local work, upload, arrival, aggregation: in this order for each work, and time never runs back."""
    assert (events.t_s.diff().dropna() >= 0).all()
    delay_s = scenario.network.backhaul_delay_s
    begin = rounds.set_index("round").t_start_s
    merged = devices[devices.status == "arrived"]
    end_s = merged.merged_round.map(rounds.set_index("round").t_end_s)
    assert (merged["round"].map(begin) + merged.t_total_s <= end_s + 1e-9).all()
    order = ["round_start", "download_done", "compute_done", "upload_done", "arrival"]
    for device, mine in events[events.device >= 0].groupby("device"):
        stage, last_s = 0, -np.inf
        for kind, t_s in zip(mine.kind, mine.t_s, strict=True):
            if kind == "departure":
                stage = 0
                continue
            at = order.index(kind)
            assert at == stage + 1 or at == 1, (device, kind)  # a work is cut off at any stage, and the next begins with its download
            least_s = {"upload_done": scenario.uplink.grant_delay_s, "arrival": delay_s}.get(kind, 0.0)
            assert t_s >= last_s + least_s - 1e-9
            stage, last_s = at, t_s


def blocks_are_there(scenario, radio):
    if np.isfinite(scenario.uplink.block_hz):
        held = radio.groupby("t_s").blocks.sum()
        assert held.max() <= scenario.uplink.blocks + 1e-9
        assert (radio.blocks == np.rint(radio.blocks)).all()


def bits_and_energy(scenario, devices, rounds, radio):
    """What was sent in all slots is the payload, and energy is power x time; to the slots in which an upload begins and ends."""
    uplink, radio_of = scenario.uplink, scenario.devices
    power_w = 10 ** (radio_of.transmit_power_dbm / 10 - 3) / radio_of.amplifier_efficiency
    assert (devices.retransmitted_bits.fillna(0.0) >= 0).all()
    spans = rounds.set_index("round")
    for row in devices[devices.status == "arrived"].itertuples():
        end_s = spans.t_start_s[row.round] + row.t_total_s - scenario.network.backhaul_delay_s
        mine = radio[(radio.device == row.device) & (radio.t_s >= end_s - row.t_upload_s - SLOT_S) & (radio.t_s < end_s)]
        sent = mine.rate_bps.to_numpy() * SLOT_S
        edge = mine.rate_bps.max() * SLOT_S if len(mine) else np.inf
        assert row.payload_bits - edge <= sent.sum() * (1 + 1e-9)
        assert sent.sum() <= row.payload_bits + 2 * edge
        on_air_s = row.energy_transmit_j / power_w
        assert 0 < on_air_s <= row.t_upload_s * uplink.uplink_share + 1e-9
        held_s = np.count_nonzero(mine.blocks.where(mine.blocks.notna(), mine.rate_bps)) * SLOT_S * uplink.uplink_share
        if scenario.channel.outage is None:
            assert on_air_s == pytest.approx(held_s, abs=2 * SLOT_S + 1e-9)
    whole = devices.payload_bits + devices.retransmitted_bits
    assert whole[devices.status == "arrived"].sum() - 1e-6 <= rounds.uplink_bits.sum() <= whole.sum() + 1e-6
    assert rounds.energy_j.sum() == pytest.approx(devices[["energy_compute_j", "energy_transmit_j"]].sum(axis=None), rel=1e-9)


COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "phases": [Phase.explicit, Phase.generate]}


@pytest.mark.filterwarnings("ignore::cosim.errors.CosimWarning")
@settings(max_examples=20, **COMMON)
@given(SCENARIOS)
def test_conservation_in_any_run(drawn):
    check(drawn)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::cosim.errors.CosimWarning")  # a device may start next to the site
@settings(max_examples=300, **COMMON)
@given(SCENARIOS)
def test_conservation_in_many_runs(drawn):
    check(drawn)
