"""Methods and faults of learning inside the simulation: plans hold, whatever is personal and whoever has no data."""

import sys
import types
from typing import final

import numpy as np
import pytest

import cosim
from cosim.component import Component
from cosim.learn.partition import IID
from cosim.learn.roles import Shares

METHODS = {
    "lg_fedavg": {"split.personal_layers": 0, "split.personal_first_layers": 1, "trainer.schedule": "simultaneous"},
    "ditto": {"split.personal_layers": "copy", "trainer.personal_proximal": 0.1, "server_optimizer.kind": "fedavgm"},
    "local_only": {"split.personal_layers": "copy", "trainer.global_steps": 0},
    "adapters": {"split.adapters": 4, "trainer.global_steps": {"epochs": 1}},
    "resnet": {"model.kind": "resnet", "model.width": 4, "model.groups": 2, "split.personal_layers": "fc", "trainer.global_steps": 1},
}


@final
class SomeWithout(Component):
    """IID, but devices 1 and 3 have no training data and device 4 no test data."""

    def check(self, classes):
        pass

    def deal(self, data, devices, streams):
        shares = IID(samples_per_device=40, test_samples_per_device=20).deal(data, devices, streams)
        none = np.empty(0, np.int64)
        train = tuple(none if k in {1, 3} else share for k, share in enumerate(shares.train))
        return Shares(train, tuple(none if k == 4 else share for k, share in enumerate(shares.test)))


def simulate(out, **learning):
    rounds = {
        "rounds": 2,
        "compute.kind": "constant",
        "round.policy.kind": "wait_all",
        "round.latency_threshold": {"relative_to_unpruned": 0.95},
    }
    overrides = {**rounds, **{f"learning.{name}": value for name, value in learning.items()}}
    return cosim.run(cosim.Scenario.load("scenarios/small_5dev.yaml", overrides=overrides), out=out, workers=2)


@pytest.mark.parametrize("name", METHODS)
def test_plans_are_upper_bounds_for_every_method(tmp_path, name):
    run = simulate(tmp_path / "run", **METHODS[name])
    rows = run.devices[run.devices.selected]
    assert len(rows) == 10
    assert (rows.status == "arrived").all()
    assert (rows.kept_flops > 0).all()
    assert rows.train_loss.notna().all()
    # no stragglers, so computing must fit into the plan; uploads may not, because of fading
    assert (rows.t_compute_s <= rows.t_planned_s).all()
    assert rows.accuracy.between(0, 1).all()


def test_devices_without_data_are_there_and_count_for_nothing(tmp_path, monkeypatch):
    module = types.ModuleType("my_partitions")
    module.SomeWithout = SomeWithout
    monkeypatch.setitem(sys.modules, "my_partitions", module)
    run = simulate(tmp_path / "run", **{"partition.kind": "my_partitions:SomeWithout"})
    empty, full = (run.devices[run.devices.device.isin(ids)] for ids in ([1, 3], [0, 2, 4]))
    assert (run.devices.status == "arrived").all()
    assert (empty.kept_flops == 0).all()
    assert empty.train_loss.isna().all()
    assert full.train_loss.notna().all()
    assert (empty.prune_ratio >= full.prune_ratio.max()).all()  # an allocator gives band to those that have weight
    assert (run.devices.accuracy.isna() == (run.devices.device == 4)).all()
    assert run.rounds.accuracy_mean.notna().all()
    assert run.rounds.train_loss.notna().all()
