"""When devices are there: always, or on and off in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.component import Component, quantity
from cosim.net.timeline import Timeline

if TYPE_CHECKING:
    from cosim.interfaces import AvailabilityProcess, BoolArray, FloatArray, IntArray
    from cosim.rng import Streams

_CHANGES: Final = 16
"""Changes drawn at once per device."""


@final
class Always(Component):
    """Devices are always there."""

    def start(self, devices: int, streams: Streams) -> Present:  # noqa: ARG002 - the protocol's arguments
        """The process that never changes."""
        return Present()


@final
class OnOff(Component):
    """Alternating renewal process: exponential times on and off, stationary from t = 0.

    A device is there at any time with probability mean_on / (mean_on + mean_off); exponential times have
    no memory, so the first one is drawn like the others.
    """

    mean_on_s: float = quantity(600.0, "s", "mean time during which a device is there", gt=0)
    mean_off_s: float = quantity(60.0, "s", "mean time during which it is not", gt=0)

    def start(self, devices: int, streams: Streams) -> OnOffProcess:
        """The process of devices 0 .. devices-1; stream ("availability", device)."""
        return OnOffProcess(self, [streams.generator("availability", device) for device in range(devices)])


@final
@dataclass(frozen=True, slots=True)
class Present:
    """The process of ``Always``."""

    def online(self, time_s: float, device_ids: IntArray) -> BoolArray:  # noqa: ARG002
        """True (n,)."""
        return np.ones(device_ids.size, dtype=np.bool_)

    def next_change_s(self, time_s: float, device_ids: IntArray) -> FloatArray:  # noqa: ARG002
        """Infinity (n,)."""
        return np.full(device_ids.size, np.inf)


@final
class OnOffProcess:
    """The process of ``OnOff``; a record of the timeline is a period: begin [s], 1 on or 0 off, end [s]."""

    def __init__(self, model: OnOff, generators: list[np.random.Generator]) -> None:
        self._means_s = np.array([model.mean_off_s, model.mean_on_s])
        self._generators = generators
        draws = np.array([generator.random(2) for generator in generators])  # each device draws from its own stream
        on = draws[:, 0] < model.mean_on_s / (model.mean_on_s + model.mean_off_s)
        first = np.column_stack([np.zeros(len(on)), on, -np.log1p(-draws[:, 1]) * self._means_s[on.astype(np.int64)]])
        self._timeline = Timeline(first, self._extend)

    def online(self, time_s: float, device_ids: IntArray) -> BoolArray:
        """Whether devices (n,) are there at ``time_s``."""
        return np.asarray(self._timeline.at(np.array([time_s]), device_ids)[0, :, 1] > 0.0)

    def at(self, times_s: FloatArray, device_ids: IntArray) -> BoolArray:
        """Whether devices (n,) are there at times (T,); (T, n)."""
        return np.asarray(self._timeline.at(times_s, device_ids)[:, :, 1] > 0.0)

    def next_change_s(self, time_s: float, device_ids: IntArray) -> FloatArray:
        """First time > ``time_s`` at which the state changes (n,)."""
        return self._timeline.following(time_s, device_ids)[:, 0]

    def _extend(self, device_ids: IntArray, last: FloatArray) -> FloatArray:
        """The next periods (m, _CHANGES, 3) after the periods ``last`` (m, 3)."""
        draws = np.stack([self._generators[k].random(_CHANGES) for k in device_ids])  # each from its own stream
        state = (last[:, 1:2].astype(np.int64) + 1 + np.arange(_CHANGES)) % 2
        times = np.add.accumulate(np.column_stack([last[:, 2], -np.log1p(-draws) * self._means_s[state]]), axis=1)
        return np.stack([times[:, :-1], state.astype(np.float64), times[:, 1:]], axis=-1)


@final
@dataclass(frozen=True, slots=True)
class WhilePresent:
    """An availability process of devices that are there only from ``first_s`` to ``last_s`` (devices,)."""

    process: AvailabilityProcess
    first_s: FloatArray
    last_s: FloatArray

    def online(self, time_s: float, device_ids: IntArray) -> BoolArray:
        """Whether devices (n,) are both available and present at ``time_s``."""
        present = (self.first_s[device_ids] <= time_s) & (time_s < self.last_s[device_ids])
        return present & self.process.online(time_s, device_ids)

    def next_change_s(self, time_s: float, device_ids: IntArray) -> FloatArray:
        """When a device (n,) that is online leaves; when it is worth asking again about one that is not; inf once it has vanished.

        That is the next change of availability or presence, whichever is first: a device may come into
        the area while it is switched off.
        """
        first, last = self.first_s[device_ids], self.last_s[device_ids]
        during = np.minimum(self.process.next_change_s(time_s, device_ids), last)
        return np.where(time_s < first, first, np.where(time_s < last, during, np.inf))
