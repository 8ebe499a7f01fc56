"""Histories with memory: drawn forward from each device's own stream and remembered, so that a question has one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import FloatArray, IntArray


@final
class Timeline:
    """Per device, records that are in force one after the other; column 0 of a record is when it begins [s].

    ``first``: (devices, C), the records in force at t = 0. ``extend(device_ids (m,), last (m, C)) -> (m, B, C)``
    gives the next B records of these devices. It is always asked for whole blocks, each following
    from the last record alone and from the device's stream, so that neither the order of questions nor
    their horizon nor the other devices move a bit.
    """

    def __init__(self, first: FloatArray, extend: Callable[[IntArray, FloatArray], FloatArray]) -> None:
        self._records = first[:, None, :].copy()
        self._count = np.ones(len(first), dtype=np.int64)
        self._guess = np.zeros(len(first), dtype=np.int64)  # where searches begin: what they find does not depend on it
        self._extend = extend

    def at(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Records (T, n, C) in force at times (T,), any order, of devices (n,). Raises ValueError at times < 0."""
        index = self._index(times_s, device_ids)  # first, since it may draw on
        return np.asarray(self._records[device_ids, index])

    def lasting(self, times_s: FloatArray, device_ids: IntArray) -> tuple[FloatArray, IntArray]:
        """Records (n, C) in force at the first of times (T,), and places (k,) of devices whose record changes before the last one."""
        begin, end = self._ends(times_s, device_ids)
        return np.asarray(self._records[device_ids, begin]), np.flatnonzero(end > begin)

    def following(self, time_s: float, device_ids: IntArray) -> FloatArray:
        """The records (n, C) that come into force next after ``time_s``."""
        index = self._index(np.array([time_s]), device_ids)[0]
        return np.asarray(self._records[device_ids, index + 1])

    def each(self, times_s: FloatArray, device_ids: IntArray) -> tuple[FloatArray, FloatArray]:
        """The records (n, C) in force at times (n,), each device at its own, and those that come next (n, C)."""
        if not device_ids.size:
            return self._records[device_ids, 0], self._records[device_ids, 0]
        self._reach(float(times_s.max()), device_ids)
        whole = np.zeros(device_ids.size, dtype=np.int64), self._count[device_ids] - 1
        index = self._bisect(times_s[None, :], device_ids, *whole)[0]
        return np.asarray(self._records[device_ids, index]), np.asarray(self._records[device_ids, index + 1])

    def _index(self, times_s: FloatArray, device_ids: IntArray) -> IntArray:
        if times_s.size == 0 or device_ids.size == 0:
            return np.zeros((times_s.size, device_ids.size), dtype=np.int64)
        begin, end = self._ends(times_s, device_ids)
        return self._bisect(times_s[:, None], device_ids, begin, end + 1)

    def _ends(self, times_s: FloatArray, device_ids: IntArray) -> IntArray:
        """Indices (2, n) of the records in force at the first and at the last of the times."""
        ends = np.array([times_s.min(), times_s.max()])
        if not (ends[0] >= 0.0 and np.isfinite(ends[1])):
            raise ValueError(f"times must be finite and >= 0 s, got {ends[0]:g} s to {ends[1]:g} s")
        self._reach(float(ends[1]), device_ids)
        found = self._near(ends[:, None], device_ids)
        self._guess[device_ids] = found[1]
        return found

    def _near(self, time_s: FloatArray, device_ids: IntArray) -> IntArray:
        """Index (T, n) of the last record that begins at or before ``time_s`` (T, 1): mostly the one that was found last time."""
        guess, last = self._guess[device_ids], self._count[device_ids] - 1
        late = self._records[device_ids, guess, 0] > time_s
        early = self._records[device_ids, np.minimum(guess + 1, last), 0] <= time_s
        found = np.broadcast_to(guess, late.shape).copy()
        missed = np.flatnonzero((late | early).any(axis=0))
        if missed.size:
            whole = np.zeros(missed.size, dtype=np.int64), last[missed]
            found[:, missed] = self._bisect(time_s, device_ids[missed], *whole)
        return found

    def _bisect(self, time_s: FloatArray, device_ids: IntArray, low: IntArray, high: IntArray) -> IntArray:
        """Index (T, n) of the last record that begins at or before ``time_s`` (T, 1) or (1, n); low in force or before, high after."""
        low, high = (np.broadcast_to(edge, (len(time_s), device_ids.size)) for edge in (low, high))
        while (high - low > 1).any():
            middle = (low + high) >> 1
            begun = self._records[device_ids, middle, 0] <= time_s
            low, high = np.where(begun, middle, low), np.where(begun, high, middle)
        return low

    def _reach(self, time_s: float, device_ids: IntArray) -> None:
        """Draw on until every device has a record that begins after ``time_s``."""
        behind = self._records[device_ids, self._count[device_ids] - 1, 0] <= time_s
        ids = np.unique(device_ids[behind])
        while (ids := ids[self._records[ids, self._count[ids] - 1, 0] <= time_s]).size:
            block = self._extend(ids, self._records[ids, self._count[ids] - 1])
            self._make_room(int(self._count[ids].max()) + block.shape[1])
            self._records[ids[:, None], self._count[ids, None] + np.arange(block.shape[1])] = block
            self._count[ids] += block.shape[1]

    def _make_room(self, length: int) -> None:
        devices, room, columns = self._records.shape
        if length > room:
            records = np.zeros((devices, max(length, 2 * room), columns))
            records[:, :room] = self._records
            self._records = records
