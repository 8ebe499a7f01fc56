"""The world is a function of (seed, device, t): asking changes nothing, order and company do not matter, bit for bit."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.interfaces import Band
from cosim.net.availability import OnOff
from cosim.net.buildings import Buildings
from cosim.net.channel import Channel
from cosim.net.compute import ShiftedExponential
from cosim.net.fading import BlockRayleigh, Jakes
from cosim.net.geometry import Area, Devices, Site
from cosim.net.mobility import RandomWaypoint, Static
from cosim.net.pathloss import RuralMacro, UrbanMacro, UrbanMicro
from cosim.net.rician import Rician
from cosim.net.tdl import TappedDelayLine
from cosim.net.world import World
from cosim.rng import Streams

COUNT = 9
CHANNELS = {
    "uma": Channel(),
    "umi": Channel(pathloss=UrbanMicro(), fading=Jakes(sinusoids=11)),
    "rma": Channel(pathloss=RuralMacro(), fading=BlockRayleigh()),
    "mmwave": Channel(pathloss=UrbanMacro(carrier_hz=28e9)),
    "tdl": Channel(fading=TappedDelayLine(profile="D", sinusoids=5)),
    "rician_smooth_indoors": Channel(fading=Rician(), los_transition="smooth", buildings=Buildings(indoor_probability=0.5)),
}
MOBILITIES = {"static": Static(), "waypoint": RandomWaypoint(speed_min_m_s=5.0, speed_max_m_s=30.0, pause_max_s=2.0)}


def world(seed=1, count=COUNT, channel="uma", mobility="waypoint", subbands=25):
    return World(
        streams=Streams(seed),
        area=Area(width_m=400.0, height_m=300.0),
        site=Site(x_m=-15.0, y_m=150.0),
        devices=Devices(count=count),
        mobility=MOBILITIES[mobility],
        channel=CHANNELS[channel],
        compute=ShiftedExponential(),
        availability=OnOff(mean_on_s=7.0, mean_off_s=3.0),
        band=Band(9e6, subbands),
    )


def radio(w, times, ids):
    """Everything of the world that is an array over times and devices."""
    motion, scale = w.motion(times, ids), w.large_scale(times, ids)
    parts = [w.gain(times, ids), w.mean_gain(times, ids), motion.x_m, motion.y_m, motion.speed_m_s, motion.travelled_m]
    return np.array([*parts, scale.los, scale.pathloss_db, scale.shadowing_db, scale.gain_db, scale.distance_m])


def devices(w, times, ids):
    """Everything that is an array over devices."""
    nominal_s = np.full(len(ids), 0.5)
    return np.array([
        [w.online(t, ids), w.next_change_s(t, ids), w.straggler_factor(int(t), ids, nominal_s * t, nominal_s), w.frequency_hz(ids)]
        for t in times
    ])  # fmt: skip


many_times = st.lists(st.floats(0.0, 90.0) | st.integers(0, 900).map(lambda i: i / 10), min_size=1, max_size=12)
many_ids = st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=20)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    channel=st.sampled_from(sorted(CHANNELS)),
    mobility=st.sampled_from(sorted(MOBILITIES)),
    before=st.tuples(many_times, many_ids),
    times=many_times,
    ids=many_ids,
)
def test_any_question_has_one_answer(seed, channel, mobility, before, times, ids):
    times, ids = np.array(times), np.array(ids)
    fresh, asked = world(seed, COUNT, channel, mobility), world(seed, COUNT, channel, mobility)
    earlier = np.array(before[0]), np.array(before[1])
    radio(asked, *earlier)
    devices(asked, *earlier)
    whole, later = np.arange(COUNT), np.sort(times)
    expected = radio(fresh, later, whole)
    row = np.searchsorted(later, times)
    np.testing.assert_array_equal(radio(asked, times, ids), expected[:, row][:, :, ids])
    np.testing.assert_array_equal(devices(asked, times, ids), devices(fresh, times, whole)[:, :, ids])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**40), times=many_times, device=st.integers(0, COUNT - 1))
def test_one_device_alone_at_one_time_sees_the_same(seed, times, device):
    times, fresh, asked = np.array(times), world(seed), world(seed)
    together = radio(fresh, times, np.arange(COUNT))
    for k, time in enumerate(times):
        np.testing.assert_array_equal(radio(asked, np.array([time]), np.array([device]))[:, 0, 0], together[:, k, device])


@pytest.mark.parametrize("channel", sorted(CHANNELS))
@pytest.mark.parametrize("mobility", sorted(MOBILITIES))
def test_a_device_less_changes_nobody_elses_world(channel, mobility):
    times, others = np.linspace(0.0, 200.0, 301), np.arange(49)
    fifty, less = world(3, 50, channel, mobility), world(3, 49, channel, mobility)
    np.testing.assert_array_equal(radio(fifty, times, np.arange(50))[:, :, :49], radio(less, times, others))
    np.testing.assert_array_equal(devices(fifty, times[::60], np.arange(50))[:, :, :49], devices(less, times[::60], others))


def test_chunks_of_any_width_give_the_same_bits():
    # wide enough to be split by the world and by the fading, and of sizes that leave odd remainders for vector units
    times = np.arange(37) * 0.0131
    w = world(2, 3001)
    whole = w.gain(times, np.arange(3001))
    for width in (1, 2, 3, 5, 7, 16, 33, 1000):
        ids = np.arange(width) * (3000 // width)
        np.testing.assert_array_equal(w.gain(times, ids), whole[:, ids])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**40), times=many_times, ids=many_ids)
def test_a_sub_band_has_one_answer_too(seed, times, ids):
    times, ids, later = np.array(times), np.array(ids), np.sort(times)
    whole = world(seed, channel="tdl").subbands.gain(later, np.arange(COUNT))
    part = world(seed, 40, channel="tdl").subbands.gain(times, ids)
    np.testing.assert_array_equal(part, whole[np.searchsorted(later, times)][:, ids])


@pytest.mark.parametrize(("count", "channel", "result_bytes"), [(10_000, "uma", 8), (1_000, "tdl", 8 * 50)])
def test_many_devices_need_little_memory_beside_the_result(count, channel, result_bytes):
    # 40 slots: all sinusoids at once would be 400,000 x 16 or 40,000 x 96 numbers of 8 bytes, 50 or 30 MB for each array of them
    many = world(1, count, channel, subbands=50)
    ids, times = np.arange(count), np.arange(40) * 0.01
    gain = many.gain if channel == "uma" else many.subbands.gain
    gain(times[:1], ids)
    tracemalloc.start()
    size = gain(times + 0.01, ids).nbytes
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 40 * count * result_bytes
    assert peak - size < 25e6
