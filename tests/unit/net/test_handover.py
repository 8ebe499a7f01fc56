"""Association: the strongest at first, then the A3 event, at the place that hysteresis and time-to-trigger predict."""

import numpy as np
import pytest

from cosim.interfaces import Motion
from cosim.net.availability import Always
from cosim.net.channel import Channel
from cosim.net.compute import ShiftedExponential
from cosim.net.distance_laws import LogDistance
from cosim.net.fading import NoFading
from cosim.net.geometry import Area, Devices, Site
from cosim.net.handover import Association, Handover
from cosim.net.many_sites import ManySites
from cosim.net.shadowing import CorrelatedShadowing, NoShadowing
from cosim.net.world import World
from cosim.rng import Streams

SITES = (Site(x_m=0.0, y_m=-20.0), Site(x_m=1000.0, y_m=-20.0))
SPEED_M_S, EXPONENT = 20.0, 3.5
ONE = np.zeros(1, np.int64)


class Drive:
    """Devices on the line between the sites, ``lanes`` m beside it; device k starts ``starts_m`` further back."""

    def __init__(self, lanes_m=(0.0,), from_m=50.0):
        self.lanes_m, self.from_m = np.array(lanes_m), from_m

    def at(self, times_s, device_ids):
        x = self.from_m + SPEED_M_S * np.broadcast_to(times_s[:, None], (len(times_s), len(device_ids)))
        return Motion(x, np.zeros_like(x) + self.lanes_m[device_ids], np.full_like(x, SPEED_M_S), x - self.from_m)


ALONE, CLEAR = Drive(), NoShadowing()


def between(rule, *, drive=ALONE, shadowing=CLEAR, seed=1):
    n = len(drive.lanes_m)
    worlds = [
        World(
            streams=Streams(seed),
            area=Area(),
            site=site,
            site_index=index,
            devices=Devices(count=n),
            mobility=None,
            motion=drive,
            channel=Channel(pathloss=LogDistance(exponent=EXPONENT), shadowing=shadowing, fading=NoFading()),
            compute=ShiftedExponential(),
            availability=Always(),
        )
        for index, site in enumerate(SITES)
    ]
    return ManySites(worlds, rule, n)


@pytest.mark.parametrize("offset_db", [0.0, 2.0])
@pytest.mark.parametrize(("hysteresis_db", "trigger_s"), [(0.0, 0.0), (3.0, 0.0), (3.0, 0.5), (6.0, 1.28)])
def test_a_device_between_two_sites_hands_over_once_where_theory_says(offset_db, hysteresis_db, trigger_s):
    rule = Handover(offset_db=offset_db, hysteresis_db=hysteresis_db, time_to_trigger_s=trigger_s)
    changes = between(rule).handovers(0.0, 45.0)  # from x = 50 m to 950 m
    # 3D distances d1, d2 with height difference h: 10 n lg(d1 / d2) = offset + hysteresis, a quadratic in x
    ratio, h = 10.0 ** ((offset_db + hysteresis_db) / (10.0 * EXPONENT)), np.hypot(23.5, 20.0)
    place = np.roots([1 - ratio**2, 2000 * ratio**2, h**2 - ratio**2 * (1000.0**2 + h**2)]) if ratio > 1 else np.array([500.0])
    crossing_s = (min(place[(place > 0) & (place < 1000)]) - 50.0) / SPEED_M_S
    assert (changes.origin.tolist(), changes.target.tolist()) == ([0], [1])
    first_s = np.floor(crossing_s / 0.1 + 1e-9) * 0.1 + 0.1  # the first measurement behind the crossing
    steps = np.ceil(trigger_s / 0.1 - 1e-9)
    assert changes.t_s[0] == pytest.approx(first_s + 0.1 * steps, abs=1e-9)


def test_the_serving_site_before_and_after_and_the_interruption():
    world = between(Handover(interruption_s=0.25))
    t_h = world.handovers(0.0, 45.0).t_s[0]
    times = np.array([0.0, t_h - 1e-6, t_h, t_h + 0.2, t_h + 0.25, 40.0])
    assert world.serving(times, ONE)[:, 0].tolist() == [0, 0, 1, 1, 1, 1]
    assert world.interrupted(times, ONE)[:, 0].tolist() == [False, False, True, True, False, False]
    assert (world.gain(times, ONE)[:, 0] == 0).tolist() == [False, False, True, True, False, False]
    each = world.gains(times, ONE)[:, 0]
    np.testing.assert_array_equal(world.mean_gain(times, ONE)[:, 0], np.where(times < t_h, each[:, 0], each[:, 1]))
    large = world.large_scale(times, ONE)
    np.testing.assert_array_equal(large.distance_m[:, 0], np.hypot(large.x_m[:, 0] - np.where(times < t_h, 0.0, 1000.0), 20.0))


def test_a_neighbour_that_is_better_for_too_short_a_time_gets_nobody():
    def gain_db(times_s, device_ids):  # site 1 is 10 dB better from 1.0 s for half a second, and again from 2.0 s on
        better = ((times_s > 0.95) & (times_s < 1.45)) | (times_s > 1.95)
        return np.stack([np.zeros(len(times_s)), np.where(better, 10.0, -10.0)], axis=1)[:, None, :].repeat(len(device_ids), axis=1)

    patient = Association(Handover(time_to_trigger_s=0.5), gain_db, 1).handovers(0.0, 5.0)
    assert patient.t_s == pytest.approx([2.5])
    hasty = Association(Handover(time_to_trigger_s=0.4), gain_db, 1).handovers(0.0, 5.0)  # and back when it is worse for as long
    assert hasty.t_s == pytest.approx([1.4, 1.9, 2.4])


def test_of_several_better_neighbours_the_strongest():
    def gain_db(times_s, device_ids):
        late = times_s[:, None] > 1.0
        return np.where(late[:, :, None], np.array([0.0, 5.0, 8.0]), np.array([0.0, -9.0, -9.0])).repeat(len(device_ids), axis=1)

    changes = Association(Handover(), gain_db, 2).handovers(0.0, 3.0)
    assert changes.target.tolist() == [2, 2]
    assert changes.device.tolist() == [0, 1]


def test_neither_order_nor_chunks_of_questions_move_anything():
    drive, rule = Drive(np.linspace(0, 300, 20)), Handover(hysteresis_db=1.0)
    one, other = (between(rule, drive=drive, shadowing=CorrelatedShadowing(sigma_db=6.0, correlation_m=30.0)) for _ in range(2))
    ids, times = np.arange(20), np.linspace(0.0, 45.0, 400)
    whole = one.serving(times, ids)
    pieces = np.stack([other.serving(times[i : i + 1], ids)[0] for i in np.random.default_rng(0).permutation(400)])
    np.testing.assert_array_equal(whole[np.random.default_rng(0).permutation(400)], pieces)
    both = [other.handovers(0.0, 20.0), other.handovers(20.0, 45.0)]
    np.testing.assert_array_equal(one.handovers(0.0, 45.0).t_s, np.concatenate([part.t_s for part in both]))


def test_with_shadowing_ping_pong_falls_as_hysteresis_grows():
    drive = Drive(np.linspace(0, 300, 60))
    counts = []
    for hysteresis_db in (0.0, 1.0, 2.0, 4.0, 8.0):
        shadowing = CorrelatedShadowing(sigma_db=6.0, correlation_m=50.0)
        changes = between(Handover(hysteresis_db=hysteresis_db, time_to_trigger_s=0.1), drive=drive, shadowing=shadowing).handovers(
            0.0, 45.0
        )
        counts.append(len(changes.t_s) / 60)
    assert np.all(np.diff(counts) < 0)
    assert counts[0] > 2 * counts[-1]
    assert counts[-1] >= 0.9  # everybody has to change once
