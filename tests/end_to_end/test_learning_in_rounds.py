"""Real training inside the simulation."""

import joblib
import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.build import build
from cosim.learn.federated import Federated

SMALL = "scenarios/small_5dev.yaml"


def simulate(out, workers=1, **overrides):
    chosen = {name.replace("__", "."): value for name, value in overrides.items()}
    return cosim.run(cosim.Scenario.load(SMALL, overrides=chosen), out=out, workers=workers)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("runs") / "small")


def test_accuracy_rises_and_loss_falls(run):
    assert run.rounds.train_loss.iloc[-1] < run.rounds.train_loss.iloc[0]
    assert run.rounds.accuracy_mean.iloc[-1] > run.rounds.accuracy_mean.iloc[0]
    assert run.devices.accuracy.between(0, 1).all()


@pytest.mark.parametrize("workers", [1, 3])
def test_same_seed_same_tables_for_any_number_of_workers(run, tmp_path, workers):
    again = simulate(tmp_path / "again", workers=workers)
    for table in ("rounds", "devices"):
        pd.testing.assert_frame_equal(getattr(run, table), getattr(again, table), check_exact=True)
    assert again.manifest["fingerprint"] == run.manifest["fingerprint"]


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (3, 3), (64, 8)])
def test_as_many_threads_as_processors_but_not_too_many(monkeypatch, processors, threads):
    asked, start = [], Federated.start
    monkeypatch.setattr(joblib, "cpu_count", lambda: processors)
    monkeypatch.setattr(Federated, "start", lambda *args, workers, **rest: asked.append(workers) or start(*args, workers=workers, **rest))
    for workers in (None, 20):
        build(cosim.Scenario.load(SMALL), workers=workers)
    assert asked == [threads, 20]


def test_another_seed_gives_other_tables(run, tmp_path):
    other = simulate(tmp_path / "other", seed=2)
    assert not np.isclose(other.rounds.train_loss, run.rounds.train_loss).any()
    assert other.manifest["fingerprint"] != run.manifest["fingerprint"]


def test_the_resolved_scenario_gives_the_same_run(run, tmp_path):
    again = cosim.run(cosim.Scenario.load(run.directory / "scenario.yaml"), out=tmp_path / "again", workers=1)
    assert again.manifest["fingerprint"] == run.manifest["fingerprint"]


def test_pruning_error_stays_below_its_bound(run):
    """Magnitude masks: the smallest fraction rho of the entries holds at most that fraction of the squared norm."""
    assert (run.rounds.pruning_error <= run.rounds.pruning_bound * (1 + 1e-6)).all()
    assert (run.rounds.pruning_error > 0).all()


def test_payload_shrinks_with_the_pruning_ratio(run):
    rows = run.devices[run.devices.selected].sort_values("prune_ratio")
    assert (rows.payload_bits.diff().dropna() <= 0).all()
    assert (rows.kept_flops.diff().dropna() <= 1e-3).all()


def test_late_devices_keep_their_personal_part(tmp_path):
    """With a deadline that nobody meets, nothing is aggregated, yet personal parts learn and accuracy rises."""
    run = simulate(tmp_path / "late", round__policy__after=0.26, round__latency_threshold=2.0, rounds=4)
    assert set(run.devices.status) == {"late"}
    assert (run.rounds.devices_arrived == 0).all()
    assert run.rounds.accuracy_mean.iloc[-1] > run.rounds.accuracy_mean.iloc[0]
    assert run.rounds.global_accuracy.notna().all()


LATE = {
    "round__policy": {"kind": "deadline"},
    "compute": {"kind": "pareto"},
    "availability": {"kind": "on_off", "mean_on_s": 5, "mean_off_s": 2},
}
STALE = {"round__policy": {"kind": "fed_buff", "buffer": 2}}


@pytest.mark.parametrize("overrides", [LATE, STALE])
def test_a_loss_belongs_to_the_update_of_its_row_and_to_the_round_that_took_it(overrides, tmp_path):
    run = simulate(tmp_path / "run", rounds=6, learning__dataset={"kind": "digits"}, learning__model={"kind": "mlp"}, **overrides)
    arrived = run.devices[run.devices.status == "arrived"]
    assert set(run.devices.status) > {"arrived"}
    assert run.devices.train_loss.notna().equals(run.devices.status == "arrived")
    mean = arrived.groupby("merged_round").train_loss.mean().reindex(run.rounds["round"])
    np.testing.assert_allclose(run.rounds.train_loss, mean, rtol=1e-12)
