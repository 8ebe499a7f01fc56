"""Dynamic schedulers: who gets the resource blocks of a slot depends on who has something to send in it.

All of them give a device at most as many blocks as it can light up: with power p on M blocks of width W its SNR is s g / (M W), which
has to reach ``snr_min_db``. A scheduler that ignores this hands the band to devices whose signal, spread over it, nobody can decode.

The allocator's shares are a plan for all of them: it plans as if a share of the band were a share of the blocks, B_k / W on average. Only
``work_conserving`` looks at the shares at all. What devices really held is in the trace, beside what was planned.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Self, final

import numpy as np
from pydantic import model_validator

from cosim.component import quantity
from cosim.net.mcs import TransportBlocks
from cosim.net.uplink import rotating_offsets, whole_quotas
from cosim.net.uplink_base import BlockUplink
from cosim.net.uplink_blocks import by_block, in_order, in_proportion
from cosim.units import from_db, to_db

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.net.uplink_memory import Memory, Turn


class Scheduler(BlockUplink):
    """A coupled uplink: ``counts`` decides, slot by slot, and ``owners`` where it matters which blocks they are."""

    snr_min_db: float = quantity(-6.0, "dB", "least SNR per block: a device gets no more blocks than reach it", ge=-40, le=40)
    report_delay_slots: int = quantity(0, "", "age of the channel reports by which blocks and schemes are chosen", ge=0, le=1000)

    @property
    def coupled(self) -> bool:
        """Blocks go to those who send."""
        return True

    @property
    def snr_min(self) -> float:
        """Least SNR per block, linear."""
        return float(from_db(self.snr_min_db))

    @model_validator(mode="after")
    def _decodable(self) -> Self:
        least_db = float(to_db(self.rate.snr_min)) if isinstance(self.rate, TransportBlocks) else -np.inf
        if self.snr_min_db < least_db:
            raise ValueError(f"snr_min_db {self.snr_min_db:g} dB is below the {least_db:.3g} dB that the rate's lowest MCS needs")
        return self

    @abstractmethod
    def counts(self, memory: Memory, turn: Turn) -> IntArray:
        """How many of the free blocks each of the m devices of a turn gets (m,) on a flat channel; at most ``turn.room`` each."""

    @abstractmethod
    def owners(self, memory: Memory, turn: Turn) -> IntArray:
        """Which of the m devices of the turn gets each block (N,), -1 for nobody; only free blocks, at most ``turn.room`` each."""

    @abstractmethod
    def learn(self, memory: Memory, rows: IntArray, rate_bps: FloatArray) -> None:
        """Take note of what those on the air, ``rows`` (m,), were given in a slot (m,)."""


@final
class WorkConserving(Scheduler):
    """The allocator's shares as in ``allocated``, and what is left of the band to those who still send, in proportion to their shares.

    Every sender has in every slot at least the blocks that ``allocated`` would give it, so on the same channel it is never later.
    """

    rotation_slots: int = quantity(100, "", "slots after which the quotas repeat: shares are multiples of 1/this block", ge=1, le=100_000)

    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray:
        """As ``allocated``: shares (n,) in units of 1/P block, whole numbers."""
        return whole_quotas(np.asarray(bandwidth_hz, np.float64) / self.block_hz, self.blocks, self.rotation_slots)

    def counts(self, memory: Memory, turn: Turn) -> IntArray:  # noqa: ARG002
        """Reserved blocks first, also beyond ``room``'s limit of power; then the rest. A retransmission may make both less."""
        offset = int(rotating_offsets(np.array([turn.slot]), self.rotation_slots)[0])
        edges = (np.append(0, turn.quotas.cumsum().astype(np.int64)) + offset) // self.rotation_slots
        reserved = np.where(turn.room > 0, (edges[1:] - edges[:-1])[turn.rows], 0)
        free = int(np.count_nonzero(turn.free))
        taken = int(reserved.sum())
        if taken > free:
            reserved = np.minimum(reserved, np.maximum(free - (np.cumsum(reserved) - reserved), 0))
            taken = free
        room = np.maximum(turn.room - reserved, 0)
        return reserved + in_proportion(turn.quotas[turn.rows], room, free - taken, offset / self.rotation_slots)

    def owners(self, memory: Memory, turn: Turn) -> IntArray:
        """Side by side."""
        return _side_by_side(self.counts(memory, turn), turn)

    def learn(self, memory: Memory, rows: IntArray, rate_bps: FloatArray) -> None:
        """Nothing to remember."""


@final
class RoundRobin(Scheduler):
    """One device after the other: as many blocks as it can light up, mostly the whole band; what it cannot use goes to the next in turn.

    Devices that always have something to send are served in slots that differ in number by at most one.
    """

    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray:
        """Shares (n,) in blocks; nobody asks for them."""
        return np.asarray(bandwidth_hz, np.float64) / self.block_hz

    def counts(self, memory: Memory, turn: Turn) -> IntArray:
        """From the cursor on, cyclically; the cursor then stands behind the last one served."""
        able = np.flatnonzero(turn.room > 0)
        turning = int(turn.rows[able].searchsorted(memory.cursor))
        order = np.concatenate([able[turning:], able[:turning]])
        given = in_order(order, turn.room, int(np.count_nonzero(turn.free)))
        served = order[given[order] > 0]
        memory.cursor = int(turn.rows[served[-1]]) + 1 if served.size else memory.cursor
        return given

    def owners(self, memory: Memory, turn: Turn) -> IntArray:
        """Side by side."""
        return _side_by_side(self.counts(memory, turn), turn)

    def learn(self, memory: Memory, rows: IntArray, rate_bps: FloatArray) -> None:
        """The cursor has moved already."""


@final
class ProportionalFair(Scheduler):
    """Blocks go to the largest ratio of the rate per Hz that a device could have now to its average rate T_k.

        T_k <- (1 - 1/t) T_k + (1/t) R_k after each slot, t = ``average_slots``

    Source: Kelly, Maulloo and Tan 1998; Jalali, Padovani and Pankaj 2000. A device that has just begun starts with T_k = its
    rate over the number of senders.
    """

    average_slots: float = quantity(100.0, "", "time constant t of the average rate", gt=1)

    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray:
        """Shares (n,) in blocks; nobody asks for them."""
        return np.asarray(bandwidth_hz, np.float64) / self.block_hz

    def counts(self, memory: Memory, turn: Turn) -> IntArray:
        """By the largest ratio: the whole band, as far as it can be lit up, then the next."""
        return _best_first(turn.efficiency / self._average_bps(memory, turn), turn)

    def owners(self, memory: Memory, turn: Turn) -> IntArray:
        """By the largest ratio; block by block on a selective channel."""
        if turn.efficiency.ndim == 1:
            return _side_by_side(self.counts(memory, turn), turn)
        return by_block(turn.efficiency / self._average_bps(memory, turn)[:, None], turn.room, turn.free)

    def _average_bps(self, memory: Memory, turn: Turn) -> FloatArray:
        """T_k (m,) [bit/s]; those who have just begun get one."""
        average = memory.average_bps[turn.rows]
        if np.count_nonzero(average) < average.size:
            best = turn.efficiency if turn.efficiency.ndim == 1 else turn.efficiency.max(axis=1)
            average = np.where(average > 0, average, best * np.maximum(turn.room, 1) * self.block_hz / turn.rows.size)
            memory.average_bps[turn.rows] = average = np.maximum(average, 1e-9)
        return average

    def learn(self, memory: Memory, rows: IntArray, rate_bps: FloatArray) -> None:
        """The exponential average."""
        average = memory.average_bps[rows]
        memory.average_bps[rows] = average + (rate_bps - average) / self.average_slots


@final
class MaxCI(Scheduler):
    """Blocks go to the strongest signal: the largest sum of rates, and nothing for the weak while anybody stronger sends."""

    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray:
        """Shares (n,) in blocks; nobody asks for them."""
        return np.asarray(bandwidth_hz, np.float64) / self.block_hz

    def counts(self, memory: Memory, turn: Turn) -> IntArray:  # noqa: ARG002
        """By the largest reported SNR."""
        return _best_first(turn.snr_hz, turn)

    def owners(self, memory: Memory, turn: Turn) -> IntArray:
        """By the largest reported SNR; block by block on a selective channel."""
        if turn.snr_hz.ndim == 1:
            return _side_by_side(self.counts(memory, turn), turn)
        return by_block(turn.snr_hz, turn.room, turn.free)

    def learn(self, memory: Memory, rows: IntArray, rate_bps: FloatArray) -> None:
        """Nothing to remember."""


def _best_first(metric: FloatArray, turn: Turn) -> IntArray:
    """Numbers of blocks (m,) by a metric (m,): mostly the first in line can use them all."""
    free, best = int(np.count_nonzero(turn.free)), int(metric.argmax())
    if turn.room[best] == 0:
        best = int(np.where(turn.room > 0, metric, -1.0).argmax())
    if turn.room[best] < free:
        return in_order((-metric).argsort(kind="stable"), turn.room, free)
    given = np.zeros(metric.size, np.int64)
    given[best] = free
    return given


def _side_by_side(given: IntArray, turn: Turn) -> IntArray:
    """Numbers of blocks (m,) laid out over the free blocks, in the order of the devices."""
    owner = np.full(turn.free.size, -1)
    who = np.repeat(np.arange(given.size), given)
    owner[np.flatnonzero(turn.free)[: who.size]] = who
    return owner
