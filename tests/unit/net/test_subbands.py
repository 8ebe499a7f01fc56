"""Channels that differ over the band, at the level of the world."""

import numpy as np
import pytest

from cosim.interfaces import Band
from cosim.net.availability import Always
from cosim.net.buildings import Buildings
from cosim.net.channel import Channel
from cosim.net.compute import Constant
from cosim.net.geometry import Area, Devices, Site
from cosim.net.mobility import RandomWaypoint
from cosim.net.pathloss import UrbanMacro
from cosim.net.shadowing import NoShadowing
from cosim.net.subbands import band_of
from cosim.net.tdl import TappedDelayLine
from cosim.net.uplink import Allocated, Ideal
from cosim.net.world import World
from cosim.rng import Streams

IDS, TIMES = np.arange(6), np.arange(300) * 0.05


def world(height_m=1.5, count=6, area_m=400.0, **channel):
    return World(
        streams=Streams(5),
        area=Area(width_m=area_m, height_m=area_m),
        site=Site(x_m=-20.0, y_m=200.0),
        devices=Devices(count=count, height_m=height_m),
        mobility=RandomWaypoint(speed_min_m_s=5.0, speed_max_m_s=20.0),
        channel=Channel(**channel),
        compute=Constant(),
        availability=Always(),
        band=Band(9e6, 50),
    )


def test_the_band_of_an_uplink():
    assert band_of(Allocated(bandwidth_hz=10e6)) == Band(52 * 180e3, 52)
    assert band_of(Ideal(bandwidth_hz=1e6)) == Band(1e6, 6)  # six pieces of 167 kHz
    band = Band(1e6, 4)
    np.testing.assert_allclose(band.edges_hz, [0, 250e3, 500e3, 750e3, 1e6])
    np.testing.assert_allclose(band.offsets_hz, [-375e3, -125e3, 125e3, 375e3])


def test_flat_fading_has_no_sub_bands():
    assert world().subbands is None


def test_the_gain_is_the_mean_over_the_band():
    w = world(fading=TappedDelayLine())
    gain = w.subbands.gain(TIMES, IDS)
    assert gain.shape == (300, 6, 50)
    np.testing.assert_allclose(gain.mean(axis=-1), w.gain(TIMES, IDS), rtol=1e-12)


def test_a_smooth_transition_lies_between_and_agrees_where_the_state_is_certain():
    instant, smooth = (world(los_transition=kind, shadowing=NoShadowing()).large_scale(TIMES, IDS) for kind in ("instant", "smooth"))
    np.testing.assert_array_equal(instant.los, smooth.los)
    assert set(np.unique(instant.sight)) <= {0.0, 1.0}
    model, heights = UrbanMacro(), (25.0, 1.5)
    clear, blocked = (model.loss_db(smooth.distance_m, state, *heights) for state in (True, False))
    expected = -10 * np.log10(smooth.sight**2 * 10 ** (-clear / 10) + (1 - smooth.sight**2) * 10 ** (-blocked / 10))
    np.testing.assert_allclose(smooth.pathloss_db, expected, atol=1e-9)
    assert ((smooth.sight > 0.1) & (smooth.sight < 0.9)).any()


def test_a_smooth_transition_has_no_jumps():
    # along walks at 20 m/s or less, every 2 ms: 4 cm
    times = np.arange(15_000) * 2e-3
    jump = {
        kind: np.abs(np.diff(world(los_transition=kind, shadowing=NoShadowing()).large_scale(times, IDS).pathloss_db, axis=0)).max()
        for kind in ("instant", "smooth")
    }
    assert jump["instant"] > 10.0
    assert jump["smooth"] < 2.0


def test_shadowing_and_path_loss_add_up_to_the_gain():
    record = world(los_transition="smooth", buildings=Buildings(indoor_probability=0.5)).large_scale(TIMES, IDS)
    np.testing.assert_allclose(record.gain_db, 8.0 - record.pathloss_db - record.shadowing_db, atol=1e-9)


def test_indoor_devices_lose_what_the_wall_takes():
    out, inside = (world(shadowing=NoShadowing(), buildings=Buildings(indoor_probability=p)).large_scale(TIMES, IDS) for p in (0.0, 1.0))
    same = out.los == inside.los  # the state is that of the wall, which is nearer to the site
    loss = Buildings(indoor_probability=1.0).start(3.5e9, 6, Streams(5)).loss_db
    np.testing.assert_allclose((inside.pathloss_db - out.pathloss_db)[same], np.broadcast_to(loss, same.shape)[same], atol=1e-9)
    assert (inside.los | ~out.los).all()


def test_tall_devices_get_an_environment_height_of_their_own():
    w = world(height_m=22.5, count=300, area_m=1000.0, shadowing=NoShadowing())
    scale = w.large_scale(np.zeros(1), np.arange(300))
    chance = Streams(5).uniform("environment", 300, 0)
    expected = UrbanMacro().loss_db(np.maximum(scale.distance_m[0], 10.0), scale.los[0], 25.0, 22.5, chance)
    np.testing.assert_allclose(scale.pathloss_db[0], expected, atol=1e-12)
    assert not np.allclose(expected, UrbanMacro().loss_db(np.maximum(scale.distance_m[0], 10.0), scale.los[0], 25.0, 22.5))


def test_a_height_that_the_model_has_not_is_a_scenario_error():
    from cosim.errors import ScenarioError

    with pytest.raises(ScenarioError, match="antenna heights"):
        world(height_m=23.0)
