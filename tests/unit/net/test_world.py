"""The world around one site: what joins, how it interpolates, clamps and forgets."""

import warnings

import numpy as np
import pytest

import cosim.net.world as world_module
from cosim.errors import CosimWarning, ScenarioError
from cosim.interfaces import Band
from cosim.net.availability import OnOff
from cosim.net.channel import Channel
from cosim.net.compute import ShiftedExponential
from cosim.net.distance_laws import FreeSpace
from cosim.net.fading import BlockRayleigh, Jakes, NoFading
from cosim.net.geometry import Area, Devices, Site
from cosim.net.mobility import RandomWaypoint, Static
from cosim.net.pathloss import RuralMacro, UrbanMacro
from cosim.net.shadowing import NoShadowing
from cosim.net.world import World
from cosim.rng import Streams

MOVING = RandomWaypoint(speed_min_m_s=2.0, speed_max_m_s=20.0, pause_max_s=5.0)
OUTSIDE = Site(x_m=-20.0, y_m=250.0)
"""A site that no device comes nearer than 20 m to."""


def world(*, count=8, mobility=MOVING, channel=None, site=OUTSIDE, **more):
    return World(
        streams=Streams(5),
        area=Area(width_m=500.0, height_m=500.0),
        site=site,
        devices=Devices(count=count),
        mobility=mobility,
        channel=channel or Channel(),
        compute=ShiftedExponential(),
        availability=OnOff(mean_on_s=20.0, mean_off_s=10.0),
        **more,
    )


IDS = np.arange(8)


def test_the_large_scale_gain_is_the_link_budget():
    clean = Channel(pathloss=FreeSpace(carrier_hz=2e9), shadowing=NoShadowing())
    site = Site(x_m=0.0, y_m=0.0, height_m=21.5, antenna_gain_dbi=8.0)
    record = world(count=1, mobility=Static(positions_m=[[30.0, 40.0]]), channel=clean, site=site).large_scale(
        np.zeros(1), np.zeros(1, np.int64)
    )
    # 2D distance 50 m, 3D sqrt(50^2 + 20^2) = 53.8516 m; 20 lg(4 pi 53.8516 * 2e9 / 299792458) = 20 lg(4514.64) = 73.0924 dB
    assert record.distance_m[0, 0] == 50.0
    assert record.pathloss_db[0, 0] == pytest.approx(73.0924, abs=1e-4)
    assert record.shadowing_db[0, 0] == 0.0
    assert record.gain_db[0, 0] == pytest.approx(8.0 - 73.0924, abs=1e-4)
    assert record.los[0, 0]


def test_mean_gain_equals_the_large_scale_on_the_grid_and_is_linear_between():
    w = world()
    instants = np.arange(601) / 10.0
    exact = w.large_scale(instants, IDS).gain_db
    np.testing.assert_array_equal(w.mean_gain(instants, IDS), 10.0 ** (exact / 10.0))
    between = 10.0 * np.log10(w.mean_gain(instants[:-1] + 0.025, IDS))
    np.testing.assert_allclose(between, 0.75 * exact[:-1] + 0.25 * exact[1:], atol=1e-8)


def test_interpolation_stays_near_the_exact_gain():
    # away from changes of the LOS state; at up to 20 m/s a grid step is 2 m, over which UMa's shadowing (37 m) varies by
    # about sigma sqrt(2 * 2/37) = 1.3 dB: halfway the root mean square error is well below that
    times = np.arange(600) / 10.0 + 0.05
    w = world()
    steady = w.large_scale(times - 0.05, IDS).los == w.large_scale(times + 0.05, IDS).los
    error_db = 10.0 * np.log10(w.mean_gain(times, IDS)) - w.large_scale(times, IDS).gain_db
    assert np.sqrt(np.mean(error_db[steady] ** 2)) < 1.0


def test_gain_is_mean_gain_times_fading():
    times = np.arange(50) * 0.013
    w = world()
    power = Jakes().start(UrbanMacro(), Band(10e6, 1), 0, 8, Streams(5)).power(times, w.motion(times, IDS).travelled_m, IDS)
    np.testing.assert_array_equal(w.gain(times, IDS), w.mean_gain(times, IDS) * power)
    still = world(channel=Channel(fading=NoFading()))
    np.testing.assert_array_equal(still.gain(times, IDS), still.mean_gain(times, IDS))


def test_chunks_and_cache_change_no_bit(monkeypatch):
    times = np.linspace(0.0, 30.0, 41)
    expected = world().gain(times, IDS)
    monkeypatch.setattr(world_module, "_CHUNK", 24)  # three times in a chunk
    monkeypatch.setattr("cosim.net.time_grid._CACHED", 1)  # next to nothing remembered
    cramped = world()
    np.testing.assert_array_equal(cramped.gain(times, IDS), expected)
    np.testing.assert_array_equal(cramped.gain(times[::-1], IDS), expected[::-1])


def test_devices_at_one_place_see_one_shadow():
    w = world(count=3, mobility=Static(positions_m=[[100.0, 100.0], [100.0, 100.0], [100.1, 100.0]]))
    record = w.large_scale(np.zeros(1), np.arange(3))
    assert record.gain_db[0, 0] == record.gain_db[0, 1]
    assert record.shadowing_db[0, 0] != record.shadowing_db[0, 2]
    assert record.shadowing_db[0, 0] == pytest.approx(record.shadowing_db[0, 2], abs=2.0)


@pytest.mark.parametrize(("position", "word", "limit_m"), [([3.0, 4.0], "nearer", 10.0), ([500.0, 0.0], "farther", 300.0)])
def test_distances_beyond_the_model_are_clamped_with_one_warning(monkeypatch, position, word, limit_m):
    monkeypatch.setattr(UrbanMacro, "distance_range_m", (10.0, 300.0))
    w = world(count=1, mobility=Static(positions_m=[position]), site=Site(x_m=0.0, y_m=0.0), channel=Channel(shadowing=NoShadowing()))
    one = np.zeros(1, np.int64)
    with pytest.warns(CosimWarning, match=f"{word} than the {limit_m:g} m") as caught:
        record = w.large_scale(np.zeros(1), one)
    assert len(caught) == 1
    assert record.distance_m[0, 0] == np.hypot(*position)  # as it is
    assert record.pathloss_db[0, 0] == UrbanMacro().loss_db(limit_m, record.los[0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        w.gain(np.linspace(0, 5, 9), one)


def test_heights_that_the_model_does_not_know_are_an_error_at_once():
    with pytest.raises(ScenarioError, match=r"antenna heights: RuralMacro: site height: 5 m is outside 10 m to 150 m"):
        world(site=Site(x_m=-20.0, height_m=5.0), channel=Channel(pathloss=RuralMacro()))


def test_sites_have_fields_and_fading_of_their_own():
    times = np.arange(5) * 0.01
    one, other = world(), world(site_index=1)
    assert (one.gain(times, IDS) != other.gain(times, IDS)).all()
    np.testing.assert_array_equal(one.motion(times, IDS).x_m, other.motion(times, IDS).x_m)
    np.testing.assert_array_equal(one.frequency_hz(IDS), other.frequency_hz(IDS))


def test_processors_and_availability_are_passed_on():
    w, some = world(), np.array([6, 1])
    model, streams = ShiftedExponential(), Streams(5)
    np.testing.assert_array_equal(w.straggler_factor(3, some, np.zeros(len(some)), np.ones(len(some))), model.factor(3, 8, streams)[some])
    np.testing.assert_array_equal(w.frequency_hz(some), model.frequency_hz(8, streams)[some])
    process = OnOff(mean_on_s=20.0, mean_off_s=10.0).start(8, streams)
    np.testing.assert_array_equal(w.online(33.0, IDS), process.online(33.0, IDS))
    np.testing.assert_array_equal(w.next_change_s(33.0, some), process.next_change_s(33.0, some))


def test_no_times_or_no_devices_give_empty_answers():
    w = world()
    assert w.gain(np.empty(0), IDS).shape == (0, 8)
    assert w.gain(np.arange(3.0), np.empty(0, np.int64)).shape == (3, 0)


def test_times_before_the_start_are_refused():
    with pytest.raises(ValueError, match="times must be finite and >= 0 s"):
        world().gain(np.array([-1.0]), IDS)


def test_block_fading_moves_no_large_scale_gain():
    times = np.arange(9) * 0.1
    jakes, block = world(), world(channel=Channel(fading=BlockRayleigh()))
    np.testing.assert_array_equal(jakes.mean_gain(times, IDS), block.mean_gain(times, IDS))
