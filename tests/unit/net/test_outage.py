"""Dead links: how often and how long, and that the world stays a function of time."""

import numpy as np
import pytest

import cosim
from cosim.net.outage import Outage
from cosim.rng import Streams
from cosim.start import start_world


def test_share_and_length_of_outages():
    """2000 links of 400 s are 16,000 outages: the share is within 4 standard deviations (1.3 %) of 1/5, the mean length of 4 s."""
    process = Outage(mean_up_s=16.0, mean_down_s=4.0).start(2000, 0, Streams(1))
    times, ids = np.arange(0, 400, 0.25), np.arange(2000)
    up = process.at(times, ids)
    assert (~up).mean() == pytest.approx(0.2, rel=0.06)
    assert (~up[0]).mean() == pytest.approx(0.2, abs=4 * 0.4 / np.sqrt(2000))  # stationary
    falls = (up[:-1] & ~up[1:]).sum()
    assert (~up).sum() * 0.25 / falls == pytest.approx(4.0, rel=0.08)


@pytest.mark.parametrize("fading", ["jakes", "tdl"])
def test_a_dead_link_has_no_gain_and_its_mean_gain_does_not_know(fading):
    overrides = {"devices.count": 6, "channel.outage": {"mean_up_s": 3.0, "mean_down_s": 3.0}, "channel.fading": {"kind": fading}}
    world = start_world(cosim.Scenario.load("scenarios/small_5dev.yaml", overrides=overrides))
    without = start_world(cosim.Scenario.load("scenarios/small_5dev.yaml", overrides={**overrides, "channel.outage": None}))
    times, ids = np.arange(0.0, 20.0, 0.5), np.arange(6)
    gain, dead = world.gain(times, ids), world.gain(times, ids) == 0
    assert 0.2 < dead.mean() < 0.8
    np.testing.assert_array_equal(gain[~dead], without.gain(times, ids)[~dead])
    np.testing.assert_array_equal(world.mean_gain(times, ids), without.mean_gain(times, ids))
    np.testing.assert_array_equal(world.gain(times[::-1], ids[2:4]), gain[::-1, 2:4])
    if world.subbands is not None:
        assert (world.subbands.gain(times, ids)[dead] == 0).all()


def test_an_upload_waits_for_its_link(tmp_path):
    overrides = {
        "learning": {"kind": "none"},
        "rounds": 3,
        "devices.count": 10,
        "channel.outage": {"mean_up_s": 2.0, "mean_down_s": 2.0},
        "compute": {"kind": "constant"},
    }
    run = cosim.run(cosim.Scenario.load("scenarios/urban_50dev.yaml", overrides=overrides), out=tmp_path / "run")
    late = run.devices.t_total_s - run.devices.t_planned_s
    assert (run.devices.status == "arrived").all()
    assert (late > 1.0).any()
    assert np.isneginf(run.radio.gain_db).any()
    assert (run.radio.rate_bps[np.isneginf(run.radio.gain_db)] == 0).all()
