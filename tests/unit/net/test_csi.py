"""What each kind of channel-state information shows the planner."""

import json

import numpy as np
import pytest

from cosim.interfaces import Spread
from cosim.net.averaging import outage_margin
from cosim.net.channel import Channel
from cosim.net.csi import Ergodic, Noisy, Outage, Snapshot, Stale
from cosim.net.fading import Jakes, NoFading
from cosim.net.shadowing import NoShadowing
from cosim.rate import Shannon
from cosim.rng import Streams
from cosim.scenario import Scenario

IDS = np.array([4, 1])


class Gains:
    """Mean gain 2 t + device, instantaneous gain ten times that; spread: variance 1/(1 + device), drift of the lag in dB."""

    def mean_gain(self, times_s, device_ids):
        return 2.0 * times_s[:, None] + device_ids

    def gain(self, times_s, device_ids):
        return 10.0 * self.mean_gain(times_s, device_ids)

    def spread(self, time_s, lag_s, window_s, device_ids):
        return Spread(1.0 / (window_s + time_s * device_ids), np.full(device_ids.shape, lag_s))


def test_ergodic_sees_the_mean_and_snapshot_the_instant():
    assert Ergodic().observe(Gains(), 3.0, IDS, Streams(1)).tolist() == [10.0, 7.0]
    assert Snapshot().observe(Gains(), 3.0, IDS, Streams(1)).tolist() == [100.0, 70.0]


def test_each_plans_with_the_rate_that_fits_what_it_sees():
    rate = Shannon()
    assert Snapshot().planning_rate(rate, Jakes()) is rate
    assert Ergodic().planning_rate(rate, NoFading()) is rate
    averaged, expected = Ergodic().planning_rate(rate, Jakes()), Jakes().ergodic(rate)
    assert averaged.value(1e6, 3e6) == expected.value(1e6, 3e6) < rate.value(1e6, 3e6)


@pytest.mark.parametrize("kind", [Stale, Noisy, Outage])
def test_what_is_made_of_other_information_plans_with_its_rate(kind):
    assert kind(of=Snapshot()).planning_rate(Shannon(), Jakes()) == Shannon()
    assert kind().planning_rate(Shannon(), Jakes()) == Jakes().ergodic(Shannon())


def test_stale_shows_the_past_and_nothing_before_the_beginning():
    assert Stale(age_s=1.0).observe(Gains(), 3.0, IDS, Streams(1)).tolist() == [8.0, 5.0]
    assert Stale(of=Snapshot(), age_s=1.0).observe(Gains(), 3.0, IDS, Streams(1)).tolist() == [80.0, 50.0]
    assert Stale(age_s=9.0).observe(Gains(), 3.0, IDS, Streams(1)).tolist() == [4.0, 1.0]


def test_the_error_is_log_normal_with_its_deviation():
    """100,000 draws: standard errors 0.0095 dB of the mean and 0.0067 dB of the deviation; four of each."""
    ids = np.arange(100_000)
    error_db = 10.0 * np.log10(Noisy().observe(Gains(), 0.5, ids, Streams(1)) / (1.0 + ids))
    assert np.mean(error_db) == pytest.approx(0.0, abs=0.04)
    assert np.std(error_db) == pytest.approx(3.0, abs=0.03)
    assert np.mean(error_db < -3.0 * 1.6448536) == pytest.approx(0.05, abs=0.003)


def test_an_error_belongs_to_device_time_and_seed_alone():
    noisy = Noisy()
    together = noisy.observe(Gains(), 3.0, np.arange(50), Streams(1))
    assert noisy.observe(Gains(), 3.0, np.array([7, 3, 7]), Streams(1)).tolist() == together[[7, 3, 7]].tolist()
    assert noisy.observe(Gains(), 3.0, np.empty(0, np.int64), Streams(1)).shape == (0,)
    truth = 6.0 + np.arange(50)
    errors = together / truth
    assert np.all(errors != noisy.observe(Gains(), 3.0, np.arange(50), Streams(2)) / truth)
    assert np.all(errors != noisy.observe(Gains(), np.nextafter(3.0, 4.0), np.arange(50), Streams(1)) / truth)
    late = Stale(of=noisy, age_s=2.0).observe(Gains(), 5.0, np.arange(50), Streams(1))
    assert late.tolist() == together.tolist()
    assert Noisy(sigma_db=0.0).observe(Gains(), 3.0, IDS, Streams(1)).tolist() == [10.0, 7.0]


def test_outage_takes_each_device_its_own_margin_off():
    margin = outage_margin(0.1, [1 / 14.0, 1 / 5.0], [0.5, 0.5])
    plan = Outage(outage=0.1, window_s=2.0, lag_s=0.5)
    assert plan.observe(Gains(), 3.0, IDS, Streams(1)).tolist() == pytest.approx((np.array([10.0, 7.0]) * margin).tolist(), rel=1e-15)


def test_the_world_spreads_more_the_slower_the_fading_and_the_farther_the_drift(tmp_path):
    from cosim.start import start_world

    (tmp_path / "s.yaml").write_text("mobility: {kind: random_waypoint, speed_min_m_s: 5.0, speed_max_m_s: 15.0, pause_max_s: 0.0}\n")
    world, ids = start_world(Scenario.load(tmp_path / "s.yaml")), np.arange(10)
    short, long, late = (world.spread(2.0, lag, window, ids) for lag, window in ((0.0, 0.5), (0.0, 5.0), (5.0, 0.5)))
    assert np.all(short.fading_variance > long.fading_variance)
    assert np.all(short.fading_variance == late.fading_variance)
    assert np.all((short.drift_db < long.drift_db) & (long.drift_db < late.drift_db))
    here = world.large_scale(np.array([2.0]), ids)
    doppler_hz = here.speed_m_s[0] * Channel().pathloss.carrier_hz / 299_792_458.0
    assert short.fading_variance.tolist() == pytest.approx(Jakes().average_variance(0.5, doppler_hz).tolist())
    way, length = here.speed_m_s[0] * 0.5, np.where(here.los[0], 37.0, 50.0)  # table 7.5-6, UMa
    known = np.exp(-np.abs(way[:, None] * (np.arange(400) + 0.5) / 400) / length[:, None])
    steps = np.abs(np.subtract.outer(np.arange(400), np.arange(400)))[None] / 400 * (way / length)[:, None, None]
    expected = np.sqrt(np.mean(np.exp(-steps) - known[:, :, None] * known[:, None, :], axis=(1, 2)))
    assert short.drift_db.tolist() == pytest.approx((np.where(here.los[0], 4.0, 6.0) * expected).tolist(), rel=3e-3)


def test_nothing_drifts_without_shadowing():
    zero = NoShadowing().drift_db(Channel().pathloss, np.zeros(2, bool), np.full(2, 6.0), np.full(2, 9.0), np.full(2, 9.0))
    assert zero.tolist() == [0.0, 0.0]


def test_kinds_nest_in_a_scenario_and_in_its_schema(tmp_path):
    text = "round: {csi: {kind: outage, window_s: 2.0, of: {kind: stale, age_s: 0.5, of: {kind: noisy}}}}\n"
    (tmp_path / "s.yaml").write_text(text)
    scenario = Scenario.load(tmp_path / "s.yaml", {"round.csi.of.age_s": 0.25})
    assert scenario.round.csi == Outage(window_s=2.0, of=Stale(age_s=0.25, of=Noisy(of=Ergodic())))
    assert Scenario.checked(scenario.resolved(), tmp_path, str) == scenario
    kinds = {kind["title"]: kind for kind in Scenario.model_json_schema()["$defs"]["Round"]["properties"]["csi"]["anyOf"]}
    assert "stale" in json.dumps(kinds["outage"]["properties"]["of"])
