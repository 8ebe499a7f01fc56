"""Batteries: energy is conserved, an empty one takes its device out of the round and of later ones, harvest brings it back."""

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.build import resume

CAPACITY_J = 3.0


def scenario(rounds, uplink="ideal", **battery):
    overrides = {
        "learning": {"kind": "none"},
        "rounds": rounds,
        "devices.count": 20,
        "devices.battery": {"capacity_j": CAPACITY_J, "charge_low": 0.1, "charge_high": 1.0, **battery},
        "uplink": {"kind": uplink, "bandwidth_hz": 10e6},
    }
    return cosim.Scenario.load("scenarios/urban_50dev.yaml", overrides=overrides)


@pytest.mark.parametrize("uplink", ["ideal", "allocated", "round_robin"])
def test_charge_falls_by_what_is_spent(uplink, tmp_path):
    run = cosim.run(scenario(6, uplink), out=tmp_path / "run")
    devices = run.devices.set_index(["device", "round"]).sort_index()
    spent = devices[["energy_compute_j", "energy_transmit_j"]].sum(axis=1)
    for device in range(20):
        charge = devices.battery_j[device].to_numpy()
        np.testing.assert_allclose(np.diff(charge), -spent[device].to_numpy()[:-1], atol=1e-6)
    assert (devices.battery_j >= 0).all()
    dropped = devices[devices.status == "dropped"]
    assert len(dropped) > 0
    slot_j = 0.01 * 0.2 / 0.35  # a battery is looked at once in a slot at most
    used = spent[devices.status == "dropped"]
    assert ((used >= dropped.battery_j - 1e-6) & (used <= dropped.battery_j + slot_j)).all()
    for device, index in dropped.index:
        later = devices.loc[device].loc[index + 1 :]
        assert (later.status == "offline").all()


def test_harvest_brings_devices_back(tmp_path):
    run = cosim.run(scenario(12, harvest_w=0.5, restart_share=0.2), out=tmp_path / "run")
    devices = run.devices.sort_values(["device", "round"])
    back = (devices.status == "arrived") & (devices.groupby("device").status.shift() == "offline")
    assert back.any()
    assert (devices.battery_j[devices.selected] >= 0.2 * CAPACITY_J).all()
    assert (devices.battery_j <= CAPACITY_J).all()


def test_a_run_with_batteries_can_be_extended(tmp_path):
    long = cosim.run(scenario(6), out=tmp_path / "long")
    cosim.run(scenario(3), out=tmp_path / "short")
    again = resume(tmp_path / "short", rounds=6)
    pd.testing.assert_frame_equal(again.devices, long.devices, check_exact=True)
    assert again.manifest["fingerprint"] == long.manifest["fingerprint"]
