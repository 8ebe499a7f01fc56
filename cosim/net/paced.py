"""Processors whose speed changes in time: work takes as long as it takes to gather its nominal time at the speeds it meets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.component import quantity
from cosim.net.compute import Processor
from cosim.net.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import FloatArray, IntArray
    from cosim.rng import Streams

_PERIODS: Final = 16
"""Periods drawn at once per device."""


@final
class TwoState(Processor):
    """A device is normal or slow, in turn, for exponential times: a Markov process in time, stationary from t = 0.

    In the slow state it computes ``slowdown`` times as slowly. A state outlasts rounds, so a straggler tends to remain one, unlike
    under ``shifted_exponential``. The two-state model of Yang et al., "Timely-Throughput Optimal Coded Computing over Cloud
    Networks", MobiHoc 2019 (there from round to round).
    """

    slowdown: float = quantity(5.0, "", "how many times as long work takes in the slow state", ge=1, le=1e6)
    mean_normal_s: float = quantity(60.0, "s", "mean time in the normal state", gt=0)
    mean_slow_s: float = quantity(10.0, "s", "mean time in the slow state", gt=0)

    @property
    def slow_share(self) -> float:
        """Share of the time in the slow state."""
        return self.mean_slow_s / (self.mean_normal_s + self.mean_slow_s)

    @property
    def mean_factor(self) -> float:
        """Mean straggler factor of work that is short against the states: 1 + share (slowdown - 1); longer work has less."""
        return 1.0 + self.slow_share * (self.slowdown - 1.0)

    def factor(self, round_index: int, devices: int, streams: Streams) -> FloatArray:
        """Straggler factor of vanishingly short work that begins at t = ``round_index`` seconds, devices 0 .. devices-1."""
        return self.start(devices, streams).factor(float(round_index), np.arange(devices))

    def start(self, devices: int, streams: Streams) -> Pace:
        """The speeds of devices 0 .. devices-1; stream ("compute", 0, device)."""
        means_s, speeds = np.array([self.mean_normal_s, self.mean_slow_s]), np.array([1.0, 1.0 / self.slowdown])
        generators = [streams.generator("compute", 0, device) for device in range(devices)]  # each device has its own
        slow = np.array([generator.random() for generator in generators]) < self.slow_share
        first = np.column_stack([np.zeros(devices), speeds[slow.astype(np.int64)]])

        def extend(device_ids: IntArray, last: FloatArray) -> FloatArray:
            draws = np.stack([generators[k].random(_PERIODS) for k in device_ids])  # each from its own stream
            state = ((last[:, 1:2] < 1.0).astype(np.int64) + np.arange(_PERIODS + 1)) % 2
            length_s = -np.log1p(-draws) * means_s[state[:, :-1]]
            begin_s = np.add.accumulate(np.column_stack([last[:, 0], length_s]), axis=1)[:, 1:]
            return np.stack([begin_s, speeds[state[:, 1:]]], axis=-1)

        return Pace(first, extend)


@final
class BackgroundLoad(Processor):
    """Other work on the device takes a share of its processor, drawn anew after exponential times.

    The speed is 1 - L of the nominal one, L uniform in [load_low, load_high]; the shares of one period and the next are
    independent, so correlation falls as exp(-t / mean_period_s).
    """

    load_low: float = quantity(0.0, "", "least share that other work takes", ge=0, lt=1)
    load_high: float = quantity(0.6, "", "greatest share", ge=0, lt=1)
    mean_period_s: float = quantity(30.0, "s", "mean time between changes", gt=0)

    @property
    def mean_factor(self) -> float:
        """Mean straggler factor of work that is short against a period: mean of 1 / (1 - L); longer work has less."""
        width = self.load_high - self.load_low
        return float(np.log((1.0 - self.load_low) / (1.0 - self.load_high)) / width) if width > 0 else 1.0 / (1.0 - self.load_low)

    def factor(self, round_index: int, devices: int, streams: Streams) -> FloatArray:
        """Straggler factor of vanishingly short work that begins at t = ``round_index`` seconds, devices 0 .. devices-1."""
        return self.start(devices, streams).factor(float(round_index), np.arange(devices))

    def start(self, devices: int, streams: Streams) -> Pace:
        """The speeds of devices 0 .. devices-1; stream ("compute", 0, device)."""
        generators = [streams.generator("compute", 0, device) for device in range(devices)]  # each device has its own
        width = self.load_high - self.load_low
        first = np.column_stack(
            [np.zeros(devices), 1.0 - self.load_low - width * np.array([generator.random() for generator in generators])]
        )

        def extend(device_ids: IntArray, last: FloatArray) -> FloatArray:
            draws = np.stack([generators[k].random((2, _PERIODS)) for k in device_ids])  # each from its own stream
            length_s = -np.log1p(-draws[:, 0]) * self.mean_period_s
            begin_s = np.add.accumulate(np.column_stack([last[:, 0], length_s]), axis=1)[:, 1:]
            return np.stack([begin_s, 1.0 - self.load_low - width * draws[:, 1]], axis=-1)

        return Pace(first, extend)


@final
class Pace:
    """Piecewise constant speeds; a record of the timeline: begin [s], speed as a share of the nominal one, > 0."""

    def __init__(self, first: FloatArray, extend: Callable[[IntArray, FloatArray], FloatArray]) -> None:
        self._timeline = Timeline(first, extend)

    def factor(self, time_s: float, device_ids: IntArray) -> FloatArray:
        """1 / speed (n,) at an instant."""
        return np.asarray(1.0 / self._timeline.at(np.array([time_s]), device_ids)[0, :, 1])

    def elapsed_s(self, start_s: FloatArray, nominal_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """The t for which the integral of the speed over [start, start + t] is ``nominal_s`` (n,), which is finite."""
        now_s, left_s = np.array(start_s, np.float64), np.array(nominal_s, np.float64)
        rows = np.flatnonzero(np.isfinite(start_s) & (left_s > 0))
        while rows.size:  # period after period, all devices that are not done
            here, following = self._timeline.each(now_s[rows], device_ids[rows])
            speed, until_s = here[:, 1], following[:, 0]
            gained_s = speed * (until_s - now_s[rows])
            done = gained_s >= left_s[rows]
            now_s[rows] = np.where(done, now_s[rows] + left_s[rows] / speed, until_s)
            left_s[rows] = np.where(done, 0.0, left_s[rows] - gained_s)
            rows = rows[~done]
        return np.where(np.isfinite(start_s), now_s - start_s, nominal_s)
