"""The channel of each sub-band, where fading differs over the band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.interfaces import Band

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import FloatArray, IntArray, Uplink

_WIDTH_HZ: Final = 180e3
"""Widest sub-band of an uplink without blocks: twelve subcarriers of 15 kHz."""
_CHUNK: Final = 524_288
"""Times x devices x sub-bands evaluated at once (4 MiB): bounds the memory beside the result."""


def band_of(uplink: Uplink) -> Band:
    """The usable band of an uplink: its resource blocks, or else equal sub-bands of at most 180 kHz."""
    bandwidth_hz = uplink.usable_bandwidth_hz
    if np.isfinite(uplink.block_hz):
        return Band(bandwidth_hz, max(1, round(bandwidth_hz / uplink.block_hz)))
    return Band(bandwidth_hz, max(1, int(np.ceil(bandwidth_hz / _WIDTH_HZ))))


@final
@dataclass(frozen=True, slots=True)
class Subbands:
    """Gains per sub-band: the mean gain (T, n) times the fading's power (T, n, F). Satisfies ``interfaces.SubbandGains``."""

    band: Band
    mean_gain: Callable[[FloatArray, IntArray], FloatArray]
    power: Callable[[FloatArray, IntArray], FloatArray]

    def gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Linear power gain (T, n, F) at times (T,) of devices (n,)."""
        times, ids = np.asarray(times_s, dtype=np.float64), np.asarray(device_ids, dtype=np.int64)
        result = np.empty((times.size, ids.size, self.band.subbands))
        rows = max(1, _CHUNK // max(1, ids.size * self.band.subbands))
        for begin in range(0, times.size, rows):
            part = times[begin : begin + rows]
            np.multiply(self.mean_gain(part, ids)[:, :, None], self.power(part, ids), out=result[begin : begin + rows])
        return result
