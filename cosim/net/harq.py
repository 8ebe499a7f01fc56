"""Hybrid ARQ: blocks that failed are sent again, and the receiver adds up what it has got of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from cosim.net.mcs import curves

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray, IntArray
    from cosim.rng import Streams


_SLOTS: Final = 64


@dataclass(frozen=True, slots=True)
class Sent:
    """Transport blocks on the air or waiting to be sent again; arrays (k,).

    ``rows``: of the transfers; ``payload_bits``: of the upload in it; ``size_bits``: of the block; ``blocks``: resource blocks;
    ``sinr``: sum of the effective SINRs of its transmissions, linear; ``attempts``: transmissions so far.
    """

    rows: IntArray
    payload_bits: FloatArray
    size_bits: FloatArray
    blocks: IntArray
    mcs: IntArray
    sinr: FloatArray
    attempts: IntArray

    def some(self, chosen: BoolArray) -> Sent:
        """A part of them, by a mask (k,)."""
        return Sent(*(getattr(self, name)[chosen] for name in self.__slots__))

    def and_also(self, other: Sent) -> Sent:
        """Both together."""
        return Sent(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__slots__))

    def sent_again(self, sinr: FloatArray) -> Sent:
        """One more transmission at an effective SINR (k,), combined as by Chase: equal signals add up, so do their SINRs."""
        return Sent(self.rows, self.payload_bits, self.size_bits, self.blocks, self.mcs, self.sinr + sinr, self.attempts + 1)

    def failed(self, chance: FloatArray) -> BoolArray:
        """Which of them cannot be decoded; ``chance`` (k,) uniform in [0, 1)."""
        sinr_db = 10.0 * np.log10(np.maximum(self.sinr, 1e-30))
        return np.asarray(chance < curves().error(self.mcs, self.size_bits, sinr_db))


class Chances(Protocol):
    """The luck of transmissions."""

    def of(self, slot: int, device_ids: IntArray) -> FloatArray:
        """Uniform numbers in [0, 1) (k,)."""
        ...


@dataclass(slots=True)
class SlotChances:
    """Of stream ("harq", slot // 64), draw 64 k + slot % 64 for device k: a function of seed, slot and device alone."""

    streams: Streams
    _part: int = -1
    _chances: FloatArray = field(default_factory=lambda: np.zeros((0, _SLOTS)))

    def of(self, slot: int, device_ids: IntArray) -> FloatArray:
        """Uniform numbers in [0, 1) (k,)."""
        part, most = slot // _SLOTS, int(device_ids.max(initial=-1)) + 1
        if part != self._part or most > len(self._chances):
            most = max(most, len(self._chances))  # the next questions are about the same devices
            self._part, self._chances = part, self.streams.uniform("harq", most * _SLOTS, part).reshape(most, _SLOTS)
        return np.asarray(self._chances[device_ids, slot % _SLOTS])


@dataclass(slots=True)
class Harq:
    """What is not decoded yet. ``in_flight_bits`` (n,): payload in such blocks; ``due``: slot -> blocks to be sent again in it."""

    in_flight_bits: FloatArray
    due: dict[int, Sent] = field(default_factory=dict)

    def take(self, slot: int, sending: BoolArray) -> Sent | None:
        """The blocks to be sent again in a slot, of those who have not left; None if there are none."""
        found = self.due.pop(slot, None)
        if found is None:
            return None
        found = found.some(sending[found.rows])
        return found if found.rows.size else None

    def forget(self, rows: IntArray) -> None:
        """Rows have left this site: what it has of their undecoded blocks is lost, and their bits are as if they had never been sent."""
        self.in_flight_bits[rows] = 0.0
        self.due = {slot: found for slot, sent in self.due.items() if (found := sent.some(~np.isin(sent.rows, rows))).rows.size}

    def receive(self, sent: Sent, failed: BoolArray, again_in: int, attempts: int) -> tuple[IntArray, FloatArray]:
        """Rows and bits (k,) that arrive: those that did not fail. What failed is due again, at most ``attempts`` times in all.

        After the last one its bits are as if they had never been sent: the upload resumes with them.
        """
        retry = failed & (sent.attempts < attempts)
        if retry.any():
            self.due[again_in] = sent.some(retry)
        gone = ~retry
        self.in_flight_bits[sent.rows[gone]] -= sent.payload_bits[gone]
        return sent.rows[~failed], sent.payload_bits[~failed]
