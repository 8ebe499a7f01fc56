"""Many cells in whole runs: each cell's problem is a single cell's, silence is silence, and a run that was cut is the run that was not."""

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.build import resume
from cosim.errors import ScenarioError
from cosim.replay import recorded_problem
from cosim.simulation import Simulation
from cosim.trace import writer

CITY = {
    "learning.kind": "none",
    "rounds": 3,
    "devices.count": 21,
    "mobility.speed_max_m_s": 30.0,
    "round.latency_threshold": 1.0,
    "trace.radio_interval_s": 0.1,
}
ASYNC = {
    **CITY,
    "rounds": 12,
    "round.policy": {"kind": "fed_buff", "buffer": 5},
    "cells.handover": {"upload": "restarts", "interruption_s": 0.4, "hysteresis_db": 0.0, "time_to_trigger_s": 0.0},
    "uplink.kind": "proportional_fair",
    "learning.prunable_parameters": 300_000,
}
pytestmark = pytest.mark.filterwarnings("ignore::cosim.errors.CosimWarning")


def city(overrides, out):
    return cosim.run(cosim.Scenario.load("scenarios/city_7cells.yaml", overrides=overrides), out=out)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return city(CITY, tmp_path_factory.mktemp("city") / "run")


def test_each_cell_is_allocated_as_a_single_cell_would_be(run):
    scenario = cosim.Scenario.load(run.directory / "scenario.yaml")
    for index in run.rounds["round"]:
        rows = run.devices[run.devices["round"] == index].set_index("device")
        objectives = run.rounds.set_index("round")["objective_by_site"][index].split()
        for site in rows["site"].unique().tolist():
            problem = recorded_problem(run, index, site)
            assert problem.device_ids.tolist() == rows.index[rows["site"] == site].tolist()
            assert problem.bandwidth_hz == scenario.uplink.usable_bandwidth_hz
            answer = scenario.allocator.allocate(problem, np.random.default_rng(0))
            np.testing.assert_array_equal(
                rows.loc[problem.device_ids[answer.selected], "bandwidth_hz"], answer.bandwidth_hz[answer.selected]
            )
            assert float(objectives[site]) == answer.objective
        assert sum(map(float, objectives)) == pytest.approx(run.rounds["objective"][index])


def test_tables_tell_who_serves_whom_and_when_that_changes(run):
    changes = run.events[run.events["kind"] == "handover"]
    assert len(changes) > 5
    assert changes["detail"].str.fullmatch(r"site [0-6] to [0-6]").all()
    radio = run.radio.sort_values(["device", "t_s"])
    for device, rows in radio.groupby("device"):
        mine = changes[changes["device"] == device]
        at = rows["t_s"].to_numpy()
        targets = mine["detail"].str[-1].astype(int).to_numpy()
        known = np.searchsorted(mine["t_s"].to_numpy(), at, side="right")
        first = rows["site"].iloc[0] if not known[0] else targets[known[0] - 1]
        np.testing.assert_array_equal(rows["site"], np.append(first, targets[known[0] :])[known - known[0]])
    silent = ~np.isfinite(radio["gain_db"])
    assert silent.any()
    assert (radio["rate_bps"][silent] == 0).all()
    assert run.devices["distance_m"].max() <= np.sqrt(7 / 3) * 500 + 1  # never farther than the farthest corner of the torus


def test_blocks_used_in_a_cell_are_not_more_than_it_has_and_bits_add_up(run):
    used = run.radio.groupby(["t_s", "site"])["blocks"].sum()
    assert used.max() <= cosim.Scenario.load(run.directory / "scenario.yaml").uplink.blocks
    arrived = run.devices[run.devices["status"] == "arrived"]
    assert len(arrived) > 20
    assert run.rounds["uplink_bits"].sum() >= arrived["payload_bits"].sum()
    np.testing.assert_allclose(arrived[["t_download_s", "t_compute_s", "t_wait_s", "t_upload_s"]].sum(axis=1), arrived["t_total_s"])


def test_interference_costs_bits(tmp_path):
    still = {name: value for name, value in CITY.items() if not name.startswith("mobility")}
    still |= {"rounds": 1, "mobility": {"kind": "static"}, "round.policy.kind": "wait_all"}
    loud, quiet = (city({**still, "cells.interference": heard}, tmp_path / str(heard)) for heard in (True, False))
    both = pd.concat([one.devices.set_index("device")["t_upload_s"] for one in (loud, quiet)], axis=1).dropna()
    assert (both.iloc[:, 0] >= both.iloc[:, 1] - 1e-9).all()
    assert both.iloc[:, 0].mean() > 1.05 * both.iloc[:, 1].mean()


@pytest.mark.parametrize("uplink", ["proportional_fair", "work_conserving"])
def test_a_far_site_that_serves_nobody_changes_nothing(uplink, tmp_path):
    overrides = {"rounds": 2, "learning.kind": "none", "uplink.kind": uplink, "trace.radio_interval_s": 0.05, "trace.events": True}
    single = cosim.Scenario.load("scenarios/small_5dev.yaml", overrides=overrides)
    near = single.resolved()["sites"][0]
    far = {**near, "x_m": near["x_m"] + 4000.0}
    both = cosim.Scenario.load("scenarios/small_5dev.yaml", overrides={**overrides, "sites": [near, far]})
    one, two = cosim.run(single, out=tmp_path / "one"), cosim.run(both, out=tmp_path / "two")
    assert (two.devices["site"] == 0).all()
    for name in ("rounds", "devices", "radio", "events"):
        drop = [column for column in getattr(one, name) if column.endswith("_by_site")]
        pd.testing.assert_frame_equal(getattr(one, name).drop(columns=drop), getattr(two, name).drop(columns=drop), check_exact=True)


class Cut(BaseException):
    """Like a kill: nothing in the program catches it."""


@pytest.mark.parametrize(
    ("overrides", "cuts"),
    [(CITY, (1,)), pytest.param(CITY, (0, 2), marks=pytest.mark.full), (ASYNC, (5,)), pytest.param(ASYNC, (2, 9), marks=pytest.mark.full)],
)
def test_cut_in_mid_upload_and_mid_handover_and_resumed(overrides, cuts, tmp_path, monkeypatch):
    whole = city(overrides, tmp_path / "whole")
    monkeypatch.setattr(writer, "FLUSH_INTERVAL_S", 0.0)  # a checkpoint after every round
    begin, seen = Simulation._begin, []
    for after in cuts:

        def cut(self, index, now_s, after=after):
            works, now = self.state.works, np.array([now_s])
            if index == after:
                seen.append((works.sending.any(), self._parts.world.interrupted(now, self._parts.device_ids).any()))
            record = begin(self, index, now_s)
            if index == after:
                raise Cut
            return record

        monkeypatch.setattr(Simulation, "_begin", cut)
        with pytest.raises(Cut):
            city(overrides, tmp_path / f"run{after}")
        monkeypatch.setattr(Simulation, "_begin", begin)
        resumed = resume(tmp_path / f"run{after}")
        assert resumed.manifest["fingerprint"] == whole.manifest["fingerprint"]
    if overrides is ASYNC:
        assert all(sending and interrupted for sending, interrupted in seen)
        assert whole.devices["retransmitted_bits"].max() > 0  # uploads did begin anew


def test_uploads_that_restart_take_longer_than_those_that_survive(tmp_path):
    rough = {**CITY, "rounds": 2, "cells.handover": {"hysteresis_db": 0.0, "time_to_trigger_s": 0.0, "upload": "restarts"}}
    restarts = city(rough, tmp_path / "restarts").devices
    survives = city({**rough, "cells.handover.upload": "survives"}, tmp_path / "survives").devices
    assert restarts["retransmitted_bits"].sum() > 0
    assert survives["retransmitted_bits"].sum() == 0


HIERARCHY = {
    "rounds": 3,
    "devices.count": 8,
    "network.edge_rounds": 2,
    "round.latency_threshold": 1.0,
    "learning.model": {"kind": "mlp", "hidden": [8]},
    "learning.dataset.kind": "digits",
}


def test_hierarchical_runs_wait_for_the_cloud_after_every_second_round_and_resume(tmp_path, monkeypatch):
    scenario = cosim.Scenario.load("scenarios/hierarchical.yaml", overrides=HIERARCHY)
    whole = cosim.run(scenario, out=tmp_path / "whole")
    download_s = whole.devices.groupby("round")["t_download_s"].min()
    assert (download_s[[2]] > download_s[[0, 1]].max() + 0.04).all()  # twice the 20 ms to the cloud, and the model on the line
    monkeypatch.setattr(writer, "FLUSH_INTERVAL_S", 0.0)
    cosim.run(scenario.model_copy(update={"rounds": 1}), out=tmp_path / "short")  # the edge servers' models differ
    assert resume(tmp_path / "short", rounds=3).manifest["fingerprint"] == whole.manifest["fingerprint"]


def test_a_recorded_problem_has_the_pruning_cost_of_its_edge_server(tmp_path):
    scenario = cosim.Scenario.load("scenarios/hierarchical.yaml", overrides={**HIERARCHY, "allocator.kind": "pruning_aware"})
    run = cosim.run(scenario, out=tmp_path / "run")
    rows = run.devices[(run.devices["round"] == 1) & run.devices["weight"].notna()].set_index("device")
    problems = {site: recorded_problem(run, 1, site) for site in rows["site"].unique().tolist()}
    assert len({tuple(problem.pruning_cost.cost) for problem in problems.values()}) == 2
    for problem in problems.values():
        answer = scenario.allocator.allocate(problem, np.random.default_rng(0))
        np.testing.assert_array_equal(rows.loc[problem.device_ids[answer.selected], "bandwidth_hz"], answer.bandwidth_hz[answer.selected])


def test_one_edge_server_at_the_cloud_is_the_plain_scenario(tmp_path):
    """tau_edge = 1, one edge server, a line to the cloud that costs nothing: the tables of federated averaging, bit for bit."""
    plain = {
        **{k: v for k, v in HIERARCHY.items() if k != "network.edge_rounds"},
        "rounds": 1,
        "network": {"links": [{"between": [f"site{i}", "cloud"]} for i in range(4)]},
    }
    links = [{"between": [f"site{i}", "edge"]} for i in range(4)] + [{"between": ["edge", "cloud"]}]
    edge = {**plain, "network": {"edge_servers": ["edge"], "links": links}}
    one, two = (
        cosim.run(cosim.Scenario.load("scenarios/hierarchical.yaml", overrides=o), out=tmp_path / name)
        for o, name in ((plain, "a"), (edge, "b"))
    )
    assert one.manifest["fingerprint"] == two.manifest["fingerprint"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"network.links.2.between": ["site9", "cloud"]}, "network: links.2.between: there is no 'site9'; nodes are site0 to site6, cloud"),
        ({"network.links": [{"between": ["site0", "cloud"]}]}, "network: links: no way leads from site1 to cloud"),
        ({"network.links.0.capacity_bps": -1e6}, "network.links.0.capacity_bps = -1000000.0: must be > 0"),
        ({"uplink.kind": "ideal"}, 'uplink.kind = "ideal": several sites need an uplink that hands out blocks'),
        ({"sites.3.x_m": 0}, "area.wrap_around = true: needs one site in the middle and six around it"),
        ({"mobility": {"kind": "recorded", "file": "traces/streets_12dev.csv"}}, "area.wrap_around = true: positions of a recorded trace"),
        ({"network.edge_rounds": 2}, "edge_rounds 2: rounds of edge servers, but edge_servers names none"),
        ({"cells.handover.hysteresis_db": -1}, "cells.handover.hysteresis_db = -1: must be >= 0"),
        ({"sites": []}, "at least one site"),
    ],
)
def test_nonsense_is_refused_with_one_clear_message(overrides, message):
    with pytest.raises(ScenarioError) as caught:
        cosim.Scenario.load("scenarios/city_7cells.yaml", overrides=overrides)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
