"""Uploads as events: they end when they would if nothing else happened, and what is left is accounted for."""

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.net.transfer import Medium, Transfers
from cosim.net.uplink import Allocated
from cosim.simulation.uplink_process import UplinkProcess

UPLINK = Allocated(bandwidth_hz=10 * 180e3)
QUOTAS = UPLINK.quotas(np.array([3.0, 3.0, 4.0]) * 180e3)


class Wavy:
    def gain(self, times_s, device_ids):
        return 1.1 + np.sin(7 * np.asarray(times_s)[:, None] + np.asarray(device_ids))


def fresh(bits):
    return Transfers.of(np.arange(3), QUOTAS, 1e6, np.asarray(bits, np.float64))


def alone(row, bits, begin_s):
    """When a row ends that nobody disturbs, and its airtime."""
    transfers = fresh(np.where(np.arange(3) == row, bits, 0.0))
    return Medium(UPLINK, Wavy()).finish(transfers, begin_s)[row], transfers.airtime_s[row]


def play(bits, acts, until_s):
    """Acts: (time, name of a method, row). Returns {row: end}, and the record at ``until_s``."""
    env, ends = simpy.Environment(), {}
    process = UplinkProcess(env, Medium(UPLINK, Wavy()), lambda row, end_s: ends.__setitem__(row, (end_s, env.now)))
    process.open(fresh(bits), 0.0)
    begins = [(time_s, row) for time_s, act, row in acts if act == "begin"]
    process.expect(np.array([row for _, row in begins]), np.array([time_s for time_s, _ in begins]))

    def actor():
        for time_s, act, row in sorted(acts):
            yield env.timeout(max(0.0, time_s - env.now))
            if act == "abandon":
                process.abandon(row, time_s)

    env.process(actor())
    env.run(until=until_s)
    return ends, process.close(until_s)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 3.0), min_size=3, max_size=3), st.floats(1e3, 3e6))
def test_every_upload_ends_when_it_would_alone(begins, bits):
    ends, record = play([bits] * 3, [(begin_s, "begin", row) for row, begin_s in enumerate(begins)], until_s=60.0)
    for row, begin_s in enumerate(begins):
        end_s, airtime_s = alone(row, bits, begin_s)
        assert ends[row][0] == pytest.approx(end_s, rel=1e-9)
        assert ends[row][1] == pytest.approx(end_s, rel=1e-9)  # the clock says the same
        assert record.airtime_s[row] == pytest.approx(airtime_s, abs=1e-9)
    assert record.done.all()
    assert record.backlog_bits.tolist() == [0, 0, 0]


def test_what_a_device_has_sent_before_it_leaves_counts_and_nothing_after():
    bits = [3e6, 5e6, 4e6]
    ends, record = play(bits, [(0.0, "begin", 0), (0.1, "begin", 1), (0.2, "begin", 2), (0.9, "abandon", 1)], until_s=30.0)
    assert sorted(ends) == [0, 2]
    sent = fresh(bits)
    medium = Medium(UPLINK, Wavy())
    sent.begin(1, 0.1)
    window = medium.window(sent, -1e5, 0.0)
    window.settle(sent, np.array([1]), 0.9)
    assert record.backlog_bits[1] == pytest.approx(sent.backlog_bits[1], rel=1e-9)
    assert record.airtime_s[1] == pytest.approx(sent.airtime_s[1], abs=1e-9)
    assert record.done[1]


def test_a_round_that_ends_in_between_leaves_a_backlog():
    bits = [1e9, 1e4, 1e9]
    ends, record = play(bits, [(0.0, "begin", 0), (0.0, "begin", 1)], until_s=2.345)
    assert list(ends) == [1]
    assert record.sending.tolist() == [True, False, False]
    assert record.backlog_bits[2] == 1e9
    assert record.settled_s[0] == 2.345
    whole = fresh(bits)
    whole.begin(0, 0.0)
    Medium(UPLINK, Wavy()).window(whole, -1e5, 0.0).settle(whole, np.array([0]), 2.345)
    assert record.backlog_bits[0] == pytest.approx(whole.backlog_bits[0], rel=1e-12)


def test_nothing_to_send_ends_at_once_and_another_round_can_follow():
    env, ends = simpy.Environment(), []
    process = UplinkProcess(env, Medium(UPLINK, Wavy()), lambda row, end_s: ends.append((row, end_s)))
    process.open(fresh([0.0, 1e9, 1e9]), 0.0)
    process.expect(np.array([0, 1]), np.zeros(2))
    env.run(until=1.0)
    process.close(1.0)
    process.open(fresh([1e5, 1e9, 1e9]), 1.0)
    process.expect(np.array([0]), np.ones(1))
    env.run(until=20.0)  # events of the first round that come now are nobody's
    assert ends == [(0, 0.0), (0, pytest.approx(alone(0, 1e5, 1.0)[0]))]
