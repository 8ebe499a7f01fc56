"""Asynchronous rounds: what is known in closed form, what is conserved, and that they can stop anywhere and go on."""

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.alloc.baselines import EqualBandwidth
from cosim.build import build, resume
from cosim.errors import RunError
from cosim.replay import recorded_problem
from cosim.simulation import Simulation
from cosim.trace import writer

ASYNC = "scenarios/async_50dev.yaml"
LEAVING = {"availability": {"kind": "on_off", "mean_on_s": 12.0, "mean_off_s": 3.0}}


def scenario(policy, path=ASYNC, **overrides):
    base = {"learning": {"kind": "none"}, "rounds": 25, "devices.count": 12, "round.policy": policy}
    return cosim.Scenario.load(path, overrides={**base, **{name.replace("__", "."): value for name, value in overrides.items()}})


CASES = {
    "fed_async": {"policy": {"kind": "fed_async"}},
    "fed_buff": {"policy": {"kind": "fed_buff", "buffer": 4}, "network__backhaul_delay_s": 0.2},
    "tiers": {"policy": {"kind": "tiers", "count": 3}},
    "leaving": {"policy": {"kind": "fed_buff", "buffer": 3}, **LEAVING},
    "scheduled": {"policy": {"kind": "fed_buff", "buffer": 4}, "uplink": {"kind": "proportional_fair", "bandwidth_hz": 5e6}},
}


@pytest.fixture(scope="module", params=CASES)
def run(request, tmp_path_factory):
    return cosim.run(scenario(**CASES[request.param]), out=tmp_path_factory.mktemp(request.param) / "run")


def test_every_work_ends_in_one_status_and_is_counted_once(run):
    devices, rounds = run.devices, run.rounds
    assert not devices.duplicated(["round", "device"]).any()
    assert len(devices) == 12 * len(rounds)
    assert (devices["round"].diff().dropna() >= 0).all()
    assert (devices.selected == devices.status.isin(["arrived", "late", "dropped", "rejected"])).all()
    merged = devices.groupby("merged_round").device.count().reindex(rounds["round"], fill_value=0)
    assert (merged.to_numpy() == rounds.devices_arrived).all()
    assert (rounds.devices_selected == rounds.devices_arrived + rounds.devices_dropped).all()
    assert rounds.devices_dropped.sum() == (devices.status == "dropped").sum()


def test_a_device_has_one_work_at_a_time(run):
    """It begins anew only when its update has been merged or lost."""
    ends = run.rounds.set_index("round").t_end_s
    starts = run.rounds.set_index("round").t_start_s
    for _, works in run.devices[run.devices.selected].sort_values("round").groupby("device"):
        over = works.merged_round.map(ends).to_numpy()
        begin = works["round"].map(starts).to_numpy()
        arrived = works.status.to_numpy()[:-1] == "arrived"
        assert (begin[1:][arrived] >= over[:-1][arrived]).all()


def test_parts_of_the_time_add_up_and_nothing_is_merged_before_it_has_arrived(run):
    arrived = run.devices[run.devices.status == "arrived"]
    parts = arrived[["t_download_s", "t_compute_s", "t_wait_s", "t_upload_s"]].sum(axis=1)
    np.testing.assert_allclose(arrived.t_total_s, parts, rtol=1e-12)
    starts, ends = (run.rounds.set_index("round")[name] for name in ("t_start_s", "t_end_s"))
    arrival_s = arrived["round"].map(starts) + arrived.t_total_s
    assert (arrival_s <= arrived.merged_round.map(ends) * (1 + 1e-12)).all()
    assert (arrived.staleness == arrived.merged_round - arrived["round"]).all()
    assert (run.events.t_s.diff().dropna() >= 0).all()


def test_shares_of_those_at_work_stay_within_the_band(run):
    assert (run.rounds.bandwidth_used_hz <= run.scenario["uplink"]["bandwidth_hz"] * (1 + 1e-9)).all()


def test_the_case_shows_what_it_is_for(run):
    assert run.devices.staleness.max() > 0
    assert (run.devices.status == "late").any()  # those who were at work when the run ended


def test_rounds_add_up_to_what_devices_spent_those_at_work_at_the_end_too(run):
    devices, rounds = run.devices[run.devices.selected], run.rounds
    assert rounds.energy_j.sum() == pytest.approx(devices[["energy_compute_j", "energy_transmit_j"]].sum(axis=None), rel=1e-12)
    assert rounds.kept_flops.sum() == pytest.approx(devices.kept_flops.sum(), rel=1e-12)
    whole = devices.payload_bits + devices.retransmitted_bits
    assert whole[devices.status == "arrived"].sum() * (1 - 1e-12) <= rounds.uplink_bits.sum() <= whole.sum() * (1 + 1e-12)
    assert (rounds[["energy_j", "uplink_bits"]] >= 0).all(axis=None)


def test_a_recorded_problem_has_the_band_that_others_left(run):
    posed = set(run.devices["round"][run.devices.weight.notna()])
    assert len(posed) > 3
    for index in run.rounds["round"]:
        if index not in posed:
            with pytest.raises(RunError, match=f"round {index} has no problem at site 0"):
                recorded_problem(run, index)
            continue
        problem = recorded_problem(run, index)
        rows = run.devices[(run.devices["round"] == index) & run.devices.weight.notna()]
        again = EqualBandwidth().allocate(problem, np.random.default_rng(0))
        np.testing.assert_array_equal(again.bandwidth_hz[again.selected], rows.bandwidth_hz[rows.selected])
        assert again.objective == run.rounds.objective[index]


class Cut(BaseException):
    """Like a kill: nothing in the program catches it."""


@pytest.mark.parametrize("case", CASES)
def test_killed_in_mid_flight_and_resumed(case, tmp_path, monkeypatch):
    overrides = {**CASES[case], "rounds": 12}
    if case == "leaving":  # with real training: tickets are in the checkpoint too
        overrides |= {"learning": {"kind": "federated", "model": {"kind": "mlp"}}, "rounds": 8}
    whole = cosim.run(scenario(**overrides), out=tmp_path / "whole")
    monkeypatch.setattr(writer, "FLUSH_INTERVAL_S", 0.0)  # a checkpoint after every round
    begin = Simulation._begin

    def cut(self, index, now_s):
        record = begin(self, index, now_s)
        if index == 5:
            raise Cut
        return record

    monkeypatch.setattr(Simulation, "_begin", cut)
    with pytest.raises(Cut):
        cosim.run(scenario(**overrides), out=tmp_path / "run")
    monkeypatch.undo()
    resumed = resume(tmp_path / "run")
    for table in ("rounds", "devices"):
        pd.testing.assert_frame_equal(getattr(resumed, table), getattr(whole, table), check_exact=True)
    assert resumed.manifest["fingerprint"] == whole.manifest["fingerprint"]


def test_a_longer_run_is_the_shorter_one_extended(tmp_path):
    policy = {"kind": "fed_buff", "buffer": 4}
    long = cosim.run(scenario(policy, rounds=12), out=tmp_path / "long")
    cosim.run(scenario(policy, rounds=5), out=tmp_path / "short")
    assert resume(tmp_path / "short", rounds=12).manifest["fingerprint"] == long.manifest["fingerprint"]


LEARNING = {"kind": "federated", "model": {"kind": "mlp"}, "partition": {"kind": "iid"}}


def simulate(policy, tmp_path, name, **overrides):
    """Train five devices; the devices table, and of each aggregation the model before, after, and (ticket, update) as received."""
    loaded = scenario(policy, "scenarios/small_5dev.yaml", learning=LEARNING, devices__count=5, compute={"kind": "constant"}, **overrides)
    learner = (parts := build(loaded, workers=1)).learner
    aggregate, receive, history, received = learner.aggregate, learner._received, [], []

    def watched(*arguments):
        received.clear()
        before = learner._servers[0].shared
        update = aggregate(*arguments)
        history.append((before, learner._servers[0].shared, list(received)))
        return update

    def kept(ticket, mask, result):
        received.append((ticket, receive(ticket, mask, result)))
        return received[-1][1]

    learner.aggregate, learner._received = watched, kept
    simulation = Simulation(parts, writer.TraceWriter(tmp_path / name))
    simulation.run()
    simulation.close()
    return pd.read_parquet(tmp_path / name / "devices.parquet"), history


def test_fed_buff_with_a_buffer_of_all_devices_is_synchronous(tmp_path):
    """Nobody is stale then, so every model is that of wait_all, bit for bit."""
    _, buffered = simulate({"kind": "fed_buff", "buffer": 5}, tmp_path, "buffered", rounds=3)
    _, synchronous = simulate({"kind": "wait_all"}, tmp_path, "synchronous", rounds=3)
    for (_, one, _), (_, other, _) in zip(buffered, synchronous, strict=True):
        np.testing.assert_array_equal(one, other)


def test_fed_async_is_its_recursion(tmp_path):
    """u_(t+1) = (1 - a) u_t + a u_k with a = alpha (1 + t - tau)^-1/2 on what k kept, trained from u_tau; float32 rounds to 6e-8."""
    policy = {"kind": "fed_async", "alpha": 0.6, "staleness": {"polynomial": 0.5}}
    devices, history = simulate(policy, tmp_path, "run", rounds=8)
    assert devices.staleness.max() > 1
    merged = devices[devices.status == "arrived"].set_index("merged_round")
    models = [history[0][0]]
    for t, (before, after, received) in enumerate(history):
        np.testing.assert_array_equal(before, models[-1])
        ((ticket, update),) = received
        assert (ticket.device, ticket.round) == (merged.device[t], merged["round"][t])
        np.testing.assert_array_equal(ticket.shared, models[ticket.round])
        weight = 0.6 * (1 + t - ticket.round) ** -0.5
        kept = np.ones(len(before), bool)
        kept[: ticket.mask.length] = ticket.mask.mask()
        expected = np.where(kept, (1 - weight) * before.astype(np.float64) + weight * update, before)
        np.testing.assert_allclose(after, expected, rtol=1e-6, atol=1e-9)
        models.append(after)
