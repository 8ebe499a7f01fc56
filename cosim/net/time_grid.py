"""Functions of time that are evaluated on a grid, remembered there, and interpolated."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import FloatArray, IntArray

_RATE_HZ: Final = 10
"""Grid times per second; at 30 m/s that is one every 3 m."""
_CACHED: Final = 1_048_576
"""Numbers remembered (8 MiB): grid times x (devices + ``_ROW_ITSELF``)."""
_ROW_ITSELF: Final = 32
"""Numbers in whose place the record of one grid time would fit, were it empty."""
_AHEAD: Final = (16, 64)
"""Fewest and most grid times evaluated beyond the last one asked for, where there is room for them."""
_AHEAD_VALUES: Final = 4_096
"""Numbers that are evaluated so, unless that takes fewer or more grid times."""


@final
class TimeGrid:
    """A function of (times (G,), devices (n,)) at multiples of 1/_RATE_HZ, interpolated between them.

    Grid instants are remembered, as many as fit, and evaluated some ahead of the last one asked for: few large questions
    cost much less than many small ones. That changes no value.
    """

    def __init__(self, function: Callable[[FloatArray, IntArray], FloatArray], devices: int) -> None:
        self._function, self._devices = function, devices
        self._room = max(2, _CACHED // (devices + _ROW_ITSELF))
        self._rows: OrderedDict[int, FloatArray] = OrderedDict()

    def at(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Values (T, n). At t = i/10 as the nearest float has it, t * 10 is exactly i: no rounding between the two."""
        position = times_s * _RATE_HZ
        index = np.floor(position).astype(np.int64)
        weight = (position - index)[:, None]
        instants, row = np.unique(np.concatenate([index, index + 1]), return_inverse=True)
        values = self._values(instants, device_ids)
        low, high = values[row[: times_s.size]], values[row[times_s.size :]]
        return np.asarray(low + weight * (high - low))

    def _values(self, instants: IntArray, device_ids: IntArray) -> FloatArray:
        values = self._known(instants, device_ids)
        if np.isnan(values).any():
            fewest, most = _AHEAD
            ahead = min(max(fewest, _AHEAD_VALUES // device_ids.size), most, self._room // 8)
            wanted = np.concatenate([instants, instants[-1] + np.arange(1, ahead + 1)])
            missing = [i for i in wanted.tolist() if np.isnan(self._row(i)[device_ids]).any()]
            found = self._function(np.array(missing) / _RATE_HZ, device_ids)
            for i, row in zip(missing, found, strict=True):
                self._row(i)[device_ids] = row
            values = self._known(instants, device_ids)
        while len(self._rows) > self._room:
            self._rows.popitem(last=False)
        return values

    def _known(self, instants: IntArray, device_ids: IntArray) -> FloatArray:
        return np.array([self._row(i)[device_ids] for i in instants.tolist()])

    def _row(self, instant: int) -> FloatArray:
        """The values remembered at an instant (devices,), NaN where none is; writable."""
        if instant not in self._rows:
            self._rows[instant] = np.full(self._devices, np.nan)
        return self._rows[instant]
