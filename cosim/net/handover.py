"""Which site serves a device: the strongest at first, then as the A3 event says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, final

import numpy as np

from cosim.component import Component, quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cosim.interfaces import BoolArray, FloatArray, IntArray

_AHEAD: Final = 64
"""Measurements taken at once."""
TIE_S: Final = 1e-9
"""Moments that are nearer to each other are the same: 30 slots of 0.01 s are 3 measurements of 0.1 s, whatever rounding makes of them."""


@final
class Handover(Component):
    """Event A3 (TS 38.331, 5.5.4.4): a neighbour is better than the serving site by more than offset + hysteresis [dB].

    A device is handed over at the first measurement at which that has held for ``time_to_trigger_s``, at all measurements, of the same
    neighbour; of several to the strongest. It measures mean gains (path loss and shadowing) at multiples of ``measurement_interval_s``.
    A measurement is exact: what layer-3 filtering takes away, small-scale fading, is not in it.
    """

    offset_db: float = quantity(0.0, "dB", "a3-Offset: how much better a neighbour must be", ge=-15, le=15)
    hysteresis_db: float = quantity(3.0, "dB", "hysteresis: and how much more", ge=0, le=15)
    time_to_trigger_s: float = quantity(0.2, "s", "for how long", ge=0, le=10)
    measurement_interval_s: float = quantity(0.1, "s", "time between measurements", gt=0, le=10)
    interruption_s: float = quantity(0.05, "s", "time after a handover in which nothing is sent or received", ge=0, le=10)
    upload: Literal["survives", "restarts"] = quantity("survives", "", "an upload goes on at the new site, or begins anew")


@final
@dataclass(frozen=True, slots=True)
class Handovers:
    """Handovers in the order of (time, device); arrays (h,)."""

    t_s: FloatArray
    device: IntArray
    origin: IntArray
    target: IntArray


@final
class Association:
    """Who is served by which site: a function of (device, t), as gains are; drawn forward and remembered.

    One number per device and measurement is kept, so that every question at any time has one answer.
    """

    def __init__(self, rule: Handover, gain_db: Callable[[FloatArray, IntArray], FloatArray], devices: int) -> None:
        """``gain_db(times (T,), devices (n,))``: mean gains (T, n, sites) [dB]."""
        self._rule, self._gain_db, self._ids = rule, gain_db, np.arange(devices)
        self._wait = int(np.ceil(rule.time_to_trigger_s / rule.measurement_interval_s - 1e-9))
        strongest = gain_db(np.zeros(1), self._ids)[0].argmax(axis=1)
        self._site: NDArray[np.int16] = strongest[None].astype(np.int16)
        self._changed: NDArray[np.int32] = np.full((1, devices), np.iinfo(np.int32).min // 2, np.int32)
        self._held: IntArray = np.zeros((devices, gain_db(np.zeros(1), self._ids[:1]).shape[2]), np.int64)
        self._known = 1

    def serving(self, times_s: FloatArray, device_ids: IntArray) -> IntArray:
        """Serving site (T, n) at times (T,) >= 0."""
        step = self._step(times_s)
        return np.asarray(self._site[step[:, None], device_ids], np.int64)

    def interrupted(self, times_s: FloatArray, device_ids: IntArray) -> BoolArray:
        """Whether devices are being handed over (T, n): at t_h <= t < t_h + interruption, t_h the last handover."""
        step = self._step(times_s)
        since_s = self._changed[step[:, None], device_ids] * self._rule.measurement_interval_s
        return np.asarray(times_s[:, None] + TIE_S < since_s + self._rule.interruption_s)

    def handovers(self, after_s: float, until_s: float) -> Handovers:
        """All handovers at after_s < t <= until_s."""
        interval_s = self._rule.measurement_interval_s
        first, last = (int(self._step(np.array([max(t, 0.0)]))[0]) for t in (after_s, until_s))
        step, device = np.nonzero(self._site[first + 1 : last + 1] != self._site[first:last])
        step = step + first + 1
        origin, target = (self._site[index, device].astype(np.int64) for index in (step - 1, step))
        return Handovers(np.asarray(step * interval_s), device, origin, target)

    def _step(self, times_s: FloatArray) -> IntArray:
        """The last measurement at or before each time, which is made if it was not yet."""
        interval_s = self._rule.measurement_interval_s
        step = np.floor((times_s + TIE_S) / interval_s).astype(np.int64)
        while step.max(initial=0) >= self._known:
            self._measure()
        return step

    def _measure(self) -> None:
        """The next measurements, one after the other: the A3 event depends on who serves, and for how long it has held."""
        steps = np.arange(self._known, self._known + _AHEAD)
        gain_db = self._gain_db(np.asarray(steps * self._rule.measurement_interval_s), self._ids)
        self._make_room(self._known + _AHEAD)
        site, changed = self._site[self._known - 1].astype(np.int64), self._changed[self._known - 1].copy()
        for step, gains in zip(steps.tolist(), gain_db, strict=True):
            needed = gains[self._ids, site] + self._rule.offset_db + self._rule.hysteresis_db
            better = gains > needed[:, None]
            better[self._ids, site] = False  # with a negative offset a site would be better than itself
            self._held = np.where(better, self._held + 1, 0)
            ready = self._held > self._wait
            moving = np.flatnonzero(ready.any(axis=1))
            site[moving] = np.where(ready, gains, -np.inf)[moving].argmax(axis=1)
            self._held[moving], changed[moving] = 0, step
            self._site[step], self._changed[step] = site, changed
        self._known += _AHEAD

    def _make_room(self, steps: int) -> None:
        if steps > len(self._site):
            more = max(steps, 2 * len(self._site)) - len(self._site)
            self._site, self._changed = (np.concatenate([a, np.zeros((more, a.shape[1]), a.dtype)]) for a in (self._site, self._changed))
