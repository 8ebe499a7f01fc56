"""Energy budgets and pruning costs in rounds: planned, used, recorded, and posed again bit for bit."""

import numpy as np
import pytest

import cosim
from cosim.alloc.kkt import KKT
from cosim.alloc.kkt_energy import KKTEnergy
from cosim.alloc.pruning_aware import PruningAware
from cosim.replay import recorded_problem

RNG = np.random.default_rng(0)  # none of these allocators draws from it


def simulate(out, **overrides):
    fixed = {"rounds": 2, "trace.radio_interval_s": None, "trace.events": False}
    changes = {name.replace("__", "."): value for name, value in overrides.items()}
    return cosim.run(cosim.Scenario.load("scenarios/small_5dev.yaml", overrides=fixed | changes), out=out)


@pytest.fixture(scope="module")
def frugal(tmp_path_factory):
    free = simulate(tmp_path_factory.mktemp("runs") / "free", learning__kind="none", round__energy__budget_j=1e9, uplink__kind="ideal")
    budget = 0.6 * float(free.devices["energy_planned_j"].median())
    budgeted = {"learning__kind": "none", "round__energy__budget_j": budget, "uplink__kind": "ideal"}
    folder = tmp_path_factory.mktemp("runs")
    return budget, simulate(folder / "energy", allocator__kind="kkt_energy", **budgeted), simulate(folder / "kkt", **budgeted)


def test_the_plan_keeps_the_budget_and_kkt_does_not(frugal):
    budget, run, kkt = frugal
    assert (run.devices["energy_planned_j"].dropna() <= budget * (1 + 1e-9)).all()
    assert (kkt.devices["energy_planned_j"] > 1.2 * budget).any()
    assert run.rounds["energy_j"].sum() < kkt.rounds["energy_j"].sum()


def test_devices_run_with_what_was_chosen(frugal):
    """Computing energy is kappa C f^2 and its time C / f with the chosen clock, sending draws the chosen power."""
    _, run, kkt = frugal
    rows, compute = run.devices[run.devices["status"] == "arrived"], run.scenario["compute"]
    assert (rows["transmit_power_w"] < 0.99 * kkt.devices["transmit_power_w"].max()).any()
    assert (rows["frequency_hz"] < 0.99 * kkt.devices["frequency_hz"][rows.index]).any()
    cycles = rows["kept_flops"] / compute["flops_per_cycle"]
    expected_j = compute["capacitance"] * cycles * rows["frequency_hz"] ** 2
    assert rows["energy_compute_j"].to_numpy() == pytest.approx(expected_j.to_numpy(), rel=1e-12)
    expected_s = cycles / rows["frequency_hz"] * rows["straggler_factor"]
    assert rows["t_compute_s"].to_numpy() == pytest.approx(expected_s.to_numpy(), rel=1e-9)
    drawn = rows["transmit_power_w"] / run.scenario["devices"]["amplifier_efficiency"]
    sending_s = rows["t_upload_s"] - run.scenario["network"]["backhaul_delay_s"]
    assert rows["energy_transmit_j"].to_numpy() == pytest.approx((drawn * sending_s).to_numpy(), rel=1e-6)


def test_an_energy_problem_posed_again(frugal):
    budget, run, _ = frugal
    problem = recorded_problem(run, 1)
    assert (problem.energy.budget_j == budget).all()
    answer, rows = KKTEnergy().allocate(problem, RNG), run.devices[run.devices["round"] == 1]
    for name, column in {"bandwidth_hz": "bandwidth_hz", "latency_s": "t_planned_s"}.items():
        assert np.array_equal(getattr(answer, name)[answer.selected], rows[column].dropna())
    assert answer.transmit_power_w[answer.selected] == pytest.approx(rows["transmit_power_w"].dropna().to_numpy(), rel=1e-15)
    assert answer.objective == run.rounds["objective"][1]


def test_without_a_budget_nothing_is_recorded_of_it(tmp_path):
    run = simulate(tmp_path / "run", learning__kind="none", rounds=1)
    assert recorded_problem(run, 0).energy is None
    assert run.devices["energy_planned_j"].isna().all()
    assert run.rounds["pruning_cost"].tolist() == [""]
    assert run.rounds["objective_pruning_cost"].isna().all()


def test_pruning_aware_loses_less_of_the_weights(tmp_path):
    aware = simulate(tmp_path / "aware", allocator__kind="pruning_aware")
    kkt = simulate(tmp_path / "kkt")
    assert aware.rounds["pruning_error"][0] < 0.8 * kkt.rounds["pruning_error"][0]
    assert aware.rounds["objective"][0] > kkt.rounds["objective"][0]
    total = aware.rounds["pruning_bound"] / aware.rounds["objective"]
    planned = aware.rounds["objective_pruning_cost"] * total
    assert planned.to_numpy() == pytest.approx(aware.rounds["pruning_error"].to_numpy(), rel=0.01)
    assert aware.rounds["pruning_cost"][0] == kkt.rounds["pruning_cost"][0]  # the same weights
    for run, allocator in ((aware, PruningAware()), (kkt, KKT())):
        answer = allocator.allocate(recorded_problem(run, 1), RNG)
        assert np.array_equal(answer.bandwidth_hz[answer.selected], run.devices[run.devices["round"] == 1]["bandwidth_hz"].dropna())
        assert answer.objective == run.rounds["objective"][1]


def test_power_control_and_transport_blocks_are_posed_again(tmp_path):
    run = simulate(tmp_path / "run", learning__kind="none", rounds=1, devices__power_control={}, uplink__kind="allocated")
    answer = KKT().allocate(recorded_problem(run, 0), RNG)
    assert np.array_equal(answer.bandwidth_hz[answer.selected], run.devices["bandwidth_hz"].dropna())
