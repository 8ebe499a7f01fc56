"""Recorded mobility: positions from a file, with straight lines between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from cosim.component import Component, ScenarioPath, quantity
from cosim.errors import ScenarioError, counted
from cosim.interfaces import Motion
from cosim.net.traces import Samples, read_trace

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.rng import Streams


@final
class Recorded(Component):
    """Positions recorded elsewhere: a CSV or Parquet file with columns t_s, device, x_m, y_m, or SUMO's FCD output (XML).

    Between two samples a device moves in a straight line at constant speed. It is there from its first sample to its
    last, offline before and after (then its position is the nearest recorded one, at rest). Device k of the
    scenario is the k-th of the file: in the order of their numbers where all ids are whole numbers, else in the
    order in which they appear; devices beyond ``devices.count`` are left out.
    """

    file: ScenarioPath = quantity(..., "", "trace: .csv, .parquet or .xml (FCD), .gz allowed for CSV and XML")
    begin_s: float = quantity(0.0, "s", "time in the file at which the simulation begins")
    origin_x_m: float = quantity(0.0, "m", "x in the file of the area's left edge")
    origin_y_m: float = quantity(0.0, "m", "y in the file of the area's lower edge")

    def start(self, extent_m: tuple[float, float], devices: int, streams: Streams) -> RecordedTrajectories:  # noqa: ARG002 - nothing is drawn
        """Trajectories of devices 0 .. devices-1.

        Raises:
            ScenarioError: the file is malformed (see ``read_trace``), holds too few devices, or a position outside the area.
        """
        samples = read_trace(self.file)
        if len(samples.names) < devices:
            raise ScenarioError(f"{self.file}: holds {counted(len(samples.names), 'device')}, devices.count is {devices}")
        t_s, x_m, y_m = samples.t_s - self.begin_s, samples.x_m - self.origin_x_m, samples.y_m - self.origin_y_m
        kept = samples.device < devices
        _check_area(samples, kept, x_m, y_m, extent_m)
        order = np.flatnonzero(kept)[np.argsort(samples.device[kept], kind="stable")]
        counts = np.bincount(samples.device[order], minlength=devices)
        return RecordedTrajectories(t_s[order], x_m[order], y_m[order], counts)


def _check_area(samples: Samples, kept: np.ndarray, x_m: FloatArray, y_m: FloatArray, extent_m: tuple[float, float]) -> None:
    for name, values, limit in (("x_m", x_m, extent_m[0]), ("y_m", y_m, extent_m[1])):
        outside = np.flatnonzero(kept & ((values < 0.0) | (values > limit)))
        if outside.size:
            i = int(outside[0])
            raise ScenarioError(
                f"{samples.place(i)}: column {name}: {values[i]:g} m is outside the area of {extent_m[0]:g} m x {extent_m[1]:g} m; "
                "see area and mobility.origin_x_m, origin_y_m"
            )


@final
class RecordedTrajectories:
    """Straight lines between samples: ``t_s, x_m, y_m`` (N,) sorted by device, then time; ``counts`` (devices,) >= 1 samples of each."""

    def __init__(self, t_s: FloatArray, x_m: FloatArray, y_m: FloatArray, counts: IntArray) -> None:
        self._t_s, self._x_m, self._y_m = t_s, x_m, y_m
        self._end = np.cumsum(counts)
        self._begin = self._end - counts
        step = np.hypot(np.diff(x_m, append=x_m[-1]), np.diff(y_m, append=y_m[-1]))
        step[self._end - 1] = 0.0
        self._step_m = step
        self._path_m = np.concatenate([[0.0], np.cumsum(step)[:-1]])
        devices = np.arange(counts.size)
        self._before_m = np.zeros(counts.size)
        self._before_m = self.at(np.zeros(1), devices).travelled_m[0]  # a path's length counts from t = 0

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Motion at times (T,) of devices (n,); times >= 0 in any order."""
        row = self._row(times_s[:, None], device_ids)
        following = np.minimum(row + 1, self._end[device_ids] - 1)
        duration = self._t_s[following] - self._t_s[row]
        divisor = np.where(duration > 0.0, duration, 1.0)
        elapsed = times_s[:, None] - self._t_s[row]
        part = np.clip(elapsed / divisor, 0.0, 1.0)
        moving = (elapsed >= 0.0) & (duration > 0.0)
        return Motion(
            x_m=self._x_m[row] + (self._x_m[following] - self._x_m[row]) * part,
            y_m=self._y_m[row] + (self._y_m[following] - self._y_m[row]) * part,
            speed_m_s=np.where(moving, self._step_m[row] / divisor, 0.0),
            travelled_m=self._path_m[row] + self._step_m[row] * part - self._before_m[device_ids],
        )

    def presence_s(self, device_ids: IntArray) -> tuple[FloatArray, FloatArray]:
        """Times of the first and last sample (n,)."""
        return self._t_s[self._begin[device_ids]], self._t_s[self._end[device_ids] - 1]

    def _row(self, time_s: FloatArray, device_ids: IntArray) -> IntArray:
        """Row (T, n) of the last sample at or before ``time_s`` (T, 1), of the first one before that."""
        shape = (len(time_s), device_ids.size)
        low, high = np.broadcast_to(self._begin[device_ids], shape), np.broadcast_to(self._end[device_ids], shape)
        while (high - low > 1).any():
            middle = (low + high) >> 1
            begun = self._t_s[middle] <= time_s
            low, high = np.where(begun, middle, low), np.where(begun, high, middle)
        return low
