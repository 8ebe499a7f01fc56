"""Records of transfers: what is still to be sent, and what could be sent in a window of slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray, IntArray
    from cosim.net.uplink_memory import Memory

BITS, AIRTIME, HELD, AGAIN = range(4)
"""Rows of a window's sums: bits sent [bit], airtime [s], bandwidth held [Hz s], bits sent again [bit]."""
_EVERY, _BITS_ONLY = slice(None), slice(BITS, BITS + 1)


@dataclass(slots=True)
class Transfers:
    """Uploads (or downloads) of one round; arrays (n,), changed in place. A transfer can go on from any such record.

    ``backlog_bits``: what is still to arrive at ``settled_s``; ``sending``: is on the air now; ``done``: nothing to come from it any more.
    Sums until ``settled_s``: ``airtime_s``, time spent in slots with bandwidth, counted at the share of its greatest power that a device
    used; ``held_hz_s``, the bandwidth that it held, over time; ``again_bits``, retransmissions. ``memory``: of a coupled uplink;
    ``share_hz`` (n,): bandwidths that quotas come from, where devices may take them to other cells.
    """

    device_ids: IntArray
    quotas: FloatArray
    snr_per_gain_hz: FloatArray
    backlog_bits: FloatArray
    settled_s: FloatArray
    sending: BoolArray
    done: BoolArray
    airtime_s: FloatArray
    held_hz_s: FloatArray
    again_bits: FloatArray
    memory: Memory | None = None
    share_hz: FloatArray | None = None

    @staticmethod
    def of(device_ids: IntArray, quotas: FloatArray, snr_per_gain_hz: float | FloatArray, bits: FloatArray) -> Transfers:
        """Transfers that nobody has begun yet."""
        n = len(device_ids)
        return Transfers(
            device_ids=device_ids,
            quotas=quotas,
            snr_per_gain_hz=np.full(n, snr_per_gain_hz),
            backlog_bits=np.array(bits, np.float64),
            settled_s=np.zeros(n),
            sending=np.zeros(n, np.bool_),
            done=np.zeros(n, np.bool_),
            airtime_s=np.zeros(n),
            held_hz_s=np.zeros(n),
            again_bits=np.zeros(n),
        )

    def begin(self, rows: int | IntArray, now_s: float | FloatArray) -> None:
        """Rows start to send, all at once or each at its own moment."""
        self.sending[rows] = True
        self.settled_s[rows] = now_s

    def stop(self, row: int) -> None:
        """A row stops, whatever is left of it."""
        self.sending[row], self.done[row] = False, True

    def complete(self, rows: int | IntArray) -> None:
        """Rows have sent everything; their airtime is settled later."""
        self.sending[rows], self.done[rows], self.backlog_bits[rows] = False, True, 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """What m transfers could send in T slots; ``slope`` (q, m, T) and ``total`` (q, m, T+1), the sums by the edges, of q quantities.

    ``edges_s`` (T+1,); ``place`` (n,): where a row of the transfers stands, -1 for those that are not in the window. Within a slot a sum
    grows by its slope; bits whose sum rises without a slope arrive at the slot's end, all at once.
    """

    edges_s: FloatArray
    place: IntArray
    slope: FloatArray
    total: FloatArray

    @property
    def end_s(self) -> float:
        """Where the last slot ends."""
        return float(self.edges_s[-1])

    @property
    def rate_bps(self) -> FloatArray:
        """Rate of sending (m, T) [bit/s]; of transport blocks, whose bits arrive all at once, what arrives in a slot over its duration."""
        sending, arriving = self.slope[BITS], np.diff(self.total[BITS]) / np.diff(self.edges_s)
        return np.asarray(np.where(sending > 0, sending, arriving))

    @property
    def held_hz(self) -> FloatArray:
        """Bandwidth held (m, T)."""
        return np.asarray(self.slope[HELD])

    def completion_s(self, transfers: Transfers, rows: IntArray) -> FloatArray:
        """Moment at which the backlog of rows (k,) has arrived: slot edge + what is then left / rate; inf if not in the window."""
        places, since_s, backlog = self.place[rows], transfers.settled_s[rows], transfers.backlog_bits[rows]
        target = self._by(places, since_s, _BITS_ONLY)[0] + backlog
        end_s = np.where(backlog > 0, np.inf, since_s)
        ready = np.flatnonzero((self.total[BITS, :, -1].take(places) >= target) & (places >= 0) & (backlog > 0))
        if ready.size:
            end_s[ready] = np.maximum(self._reached_s(places[ready], target[ready]), since_s[ready])
        return end_s

    def _reached_s(self, places: IntArray, target: FloatArray) -> FloatArray:
        """When the sums of bits reach what they do reach (k,)."""
        sent = self.total[BITS, places]
        slot = np.count_nonzero(sent[:, 1:] < target[:, None], axis=1)
        left = target - sent[np.arange(len(slot)), slot]
        rate = self.slope[BITS, places, slot]
        within_s = np.divide(left, rate, out=np.zeros_like(left), where=rate > 0)
        return np.asarray(np.where(rate > 0, self.edges_s[slot] + within_s, self.edges_s[slot + 1]))

    def settle(self, transfers: Transfers, rows: IntArray, until_s: float | FloatArray) -> None:
        """Bring rows (k,) to moments within the window, and not after their completion. Who is not in the window has not sent."""
        places, since_s = self.place[rows], transfers.settled_s[rows]
        until_s = np.maximum(until_s, since_s)
        gain = np.where(places < 0, 0.0, self._by(places, until_s) - self._by(places, since_s))
        transfers.backlog_bits[rows] = np.maximum(transfers.backlog_bits[rows] - gain[BITS], 0.0)
        transfers.airtime_s[rows] += gain[AIRTIME]
        transfers.held_hz_s[rows] += gain[HELD]
        if len(gain) > AGAIN:
            transfers.again_bits[rows] += gain[AGAIN]
        transfers.settled_s[rows] = until_s

    def _by(self, places: IntArray, times_s: FloatArray, quantities: slice = _EVERY) -> FloatArray:
        """Sums (q, k), each at its place and moment. At a window's end, what arrives there has arrived."""
        if not times_s.size or times_s.max() <= self.edges_s[0]:
            return np.zeros((len(self.total[quantities]), places.size))
        slots = self.edges_s.size - 1
        slot = self.edges_s[1:].searchsorted(times_s, side="right")
        inside = np.minimum(slot, slots - 1)
        elapsed = np.where(slot < slots, np.maximum(times_s - self.edges_s[inside], 0.0), 0.0)
        total = self.total[quantities].reshape(-1, self.total.shape[1] * (slots + 1))
        slope = self.slope[quantities].reshape(-1, self.slope.shape[1] * slots)
        return np.asarray(total.take(places * (slots + 1) + slot, axis=1) + slope.take(places * slots + inside, axis=1) * elapsed)


def cumulative(parts: FloatArray) -> FloatArray:
    """Sums (..., T+1) of parts (..., T), beginning with 0."""
    sums = np.zeros((*parts.shape[:-1], parts.shape[-1] + 1))
    np.cumsum(parts, axis=-1, out=sums[..., 1:])
    return sums
