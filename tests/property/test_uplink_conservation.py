"""What goes in comes out, on every uplink: bits, blocks, power x time, causes before effects; and a queue of which the mean wait is known."""

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from cosim.net.energy import transmit_energy_j
from cosim.net.mcs import TransportBlocks
from cosim.net.transfer import Medium, Transfers
from cosim.net.transfer_records import HELD
from cosim.net.uplink import Allocated, Ideal
from cosim.net.uplink_schedulers import MaxCI, ProportionalFair, RoundRobin, WorkConserving
from cosim.rng import Streams
from cosim.simulation.uplink_process import UplinkProcess

SLOT_S, N = 1e-3, 5
BAND = {"bandwidth_hz": 1.8e6, "slot_s": SLOT_S}
MCS = {**BAND, "rate": TransportBlocks(harq_delay_slots=3, harq_attempts=2)}
UPLINKS = {
    "ideal": Ideal(**BAND),
    "allocated": Allocated(**BAND),
    "shares": WorkConserving(**BAND),
    "shares_mcs": WorkConserving(**MCS),
    "turns": RoundRobin(**BAND, grant_delay_s=0.0123),
    "turns_mcs": RoundRobin(**MCS, uplink_share=0.5),
    "fair": ProportionalFair(**BAND, overhead=0.3),
    "fair_mcs": ProportionalFair(**MCS, report_delay_slots=3),
    "strongest_mcs": MaxCI(**MCS),
}


class Fading:
    """Any gains at all, a function of slot and device."""

    def __init__(self, seed):
        self._table = np.random.default_rng(seed).exponential(size=(997, N))

    def gain(self, times_s, device_ids):
        return self._table[np.rint(np.asarray(times_s) / SLOT_S).astype(int) % 997][:, device_ids]

    mean_gain = gain


def play(uplink, bits, acts, until_s):
    """A round with (time, act, row); what the process kept, the record at the end, the ends by row as (recorded, clock)."""
    env, ends = simpy.Environment(), {}
    medium = Medium(uplink, Fading(3), streams=Streams(11))
    changes_s = [time_s for time_s, act, _ in acts if act != "begin"]
    process = UplinkProcess(
        env,
        medium,
        lambda row, end_s: ends.__setitem__(row, (end_s, env.now)),
        keep_windows=True,
        horizon=lambda: min((time_s for time_s in changes_s if time_s > env.now + 1e-9), default=np.inf),
    )
    share = np.full(N, uplink.usable_bandwidth_hz / N)
    process.open(Transfers.of(np.arange(N), uplink.quotas(share), 1e7, np.array(bits)), 0.0)
    begins = [(time_s, row) for time_s, act, row in acts if act == "begin"]
    process.expect(np.array([row for _, row in begins], np.int64), np.array([time_s for time_s, _ in begins]))

    def actor():
        for time_s, act, row in sorted(acts):
            yield env.timeout(max(0.0, time_s - env.now))
            if act == "abandon" and row not in ends:
                process.abandon(row, time_s)

    env.process(actor())
    env.run(until=until_s)
    return process.close(until_s), process.windows, ends


@pytest.mark.parametrize("name", UPLINKS)
@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(0, 60_000), min_size=N, max_size=N),
    st.lists(st.floats(0, 0.08), min_size=N, max_size=N),
    st.lists(st.floats(0, 0.1), max_size=3),
    st.floats(0.02, 0.4),
)
def test_what_goes_in_comes_out(name, bits, begins, leave, until_s):
    uplink = UPLINKS[name]
    acts = [(begin_s, "begin", row) for row, begin_s in enumerate(begins)]
    acts += [(begins[row] + after_s, "abandon", row) for row, after_s in enumerate(leave)]
    acts = [act for act in acts if act[0] < until_s]
    record, windows, ends = play(uplink, [float(b) for b in bits], acts, until_s)
    stop_s = np.minimum([begins[row] + leave[row] if row < len(leave) else np.inf for row in range(N)], until_s)
    for row, (end_s, clock_s) in ends.items():  # no end before its cause
        assert begins[row] + (uplink.grant_delay_s if bits[row] else 0.0) <= end_s + 1e-12
        assert end_s == pytest.approx(clock_s, abs=1e-9)
        assert record.backlog_bits[row] == 0.0
    assert (record.backlog_bits >= 0).all()
    assert (record.backlog_bits <= bits).all()
    on_air_s = np.maximum(np.minimum([ends[row][0] if row in ends else np.inf for row in range(N)], stop_s) - begins, 0.0)
    assert (record.airtime_s <= on_air_s * uplink.uplink_share + 1e-9).all()
    assert record.held_hz_s.sum() <= uplink.usable_bandwidth_hz * until_s * (1 + 1e-9)
    assert (record.held_hz_s <= uplink.usable_bandwidth_hz * on_air_s + 1e-3).all()
    energy_j = transmit_energy_j(record.airtime_s, power_w=0.2, efficiency=0.35)
    assert (energy_j <= 0.2 / 0.35 * on_air_s + 1e-9).all()
    if not isinstance(uplink.rate, TransportBlocks):
        assert (record.again_bits == 0).all()
    if not uplink.coupled:
        return
    blocks = np.concatenate([window.slope[HELD].sum(axis=0) for window in windows] or [np.zeros(1)]) / uplink.block_hz
    assert (blocks <= uplink.blocks).all()
    edges = np.concatenate([window.edges_s[:-1] for window in windows] or [np.zeros(1)])
    assert (np.diff(edges) >= SLOT_S * (1 - 1e-6)).all()  # no slot twice
    if not leave and len(ends) == N:  # all that was put on the air is the payload and what was sent again
        sent = sum((window.total[0, :, -1] - window.total[0, :, 0]).sum() for window in windows)
        assert sent == pytest.approx(sum(bits), abs=1e-3)


@pytest.mark.parametrize("name", ["fair", "fair_mcs", "shares_mcs"])
def test_a_device_that_stays_silent_changes_nothing(name):
    uplink, bits = UPLINKS[name], [4e4, 3e4, 2e4, 5e4, 0.0]
    acts = [(0.003 * row, "begin", row) for row in range(4)]
    record, _, ends = play(uplink, bits, acts, 0.5)
    bits[4] = 1e9
    other, _, others = play(uplink, bits, acts, 0.5)
    assert ends == others
    assert (record.airtime_s == other.airtime_s).all()


def test_windows_that_are_cut_short_change_nothing():
    """Changes that change nothing make windows shorter; the slots stay the same."""
    uplink = UPLINKS["fair_mcs"]
    acts = [(0.002 * row, "begin", row) for row in range(N)]
    quiet = play(uplink, [5e4] * N, acts, 0.6)
    disturbed = play(uplink, [5e4] * N, [*acts, *((0.0007 * k, "change", 0) for k in range(400))], 0.6)
    assert quiet[2] == disturbed[2]
    assert len(disturbed[1]) > len(quiet[1])
    assert quiet[0].again_bits == pytest.approx(disturbed[0].again_bits)


class Equal:
    """The same unit gain for all, always."""

    def gain(self, times_s, device_ids):
        return np.ones((len(times_s), len(device_ids)))

    mean_gain = gain


def test_waiting_is_that_of_a_queue_with_constant_service():
    """Poisson arrivals of equal uploads, served one at a time in order: M/D/1, E[W] = rho s / (2 (1 - rho)).

    Max C/I among equals serves the first in order, with the whole band, two slots each. Counted from the slot edge at which it could
    begin, the mean wait in slots is exactly that of M/D/1: with U the work left at an edge, U' = max(U + s A - 1, 0), A Poisson,
    E[U^2] in balance gives E[U] = rho s / (2 (1 - rho)) - rho / 2, and those of the same slot who come first add rho / 2.
    """
    uploads, load, service_slots = 3000, 0.5, 2
    rng = np.random.default_rng(17)
    arrival_s = np.cumsum(rng.exponential(service_slots / load, uploads)) * SLOT_S
    uplink = MaxCI(**BAND)
    snr_hz = 3 * uplink.usable_bandwidth_hz
    bits = uplink.usable_bandwidth_hz * 2.0 * service_slots * SLOT_S * (1 - 1e-12)
    env, ends = simpy.Environment(), np.full(uploads, np.nan)
    process = UplinkProcess(env, Medium(uplink, Equal()), ends.__setitem__)
    process.open(Transfers.of(np.arange(uploads), np.zeros(uploads), snr_hz, np.full(uploads, bits)), 0.0)
    process.expect(np.arange(uploads), arrival_s)
    env.run()
    record = process.close(env.now)
    assert record.done.all()
    assert (np.diff(ends) > 0).all()  # in order
    service = record.airtime_s / SLOT_S
    assert service == pytest.approx(np.full(uploads, service_slots), abs=1e-6)
    first_edge = np.ceil(arrival_s / SLOT_S)
    wait = ends / SLOT_S - service - first_edge  # sojourn less service
    assert wait.min() > -1e-6
    batches = wait[300:].reshape(30, -1).mean(axis=1)  # the queue forgets within some ten uploads; a batch has 90
    half_width = student.ppf(0.9995, 29) * batches.std(ddof=1) / np.sqrt(30)
    expected = load * service_slots / (2 * (1 - load))
    assert abs(batches.mean() - expected) < half_width  # 99.9 % confidence
    assert half_width < 0.25 * expected
