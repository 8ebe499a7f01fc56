"""The world around several sites: the links of each, and who is served by which."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from cosim.interfaces import Spread
from cosim.net.handover import Association
from cosim.net.subbands import Subbands
from cosim.net.world import LargeScale
from cosim.units import to_db

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cosim.interfaces import BoolArray, FloatArray, IntArray, Motion
    from cosim.net.handover import Handover
    from cosim.net.world import World


@final
class ManySites:
    """Every question about a device's link is about the link to the site that serves it at that time. See ``World``.

    Association follows from mean gains, and these from (seed, device, t) alone, so all of this is world. While a device is being handed
    over its ``gain`` is 0, its ``mean_gain`` is not.
    """

    def __init__(self, sites: list[World], rule: Handover, devices: int) -> None:
        """``sites``: worlds around each site, with the same motion and devices."""
        self._sites, self._any = sites, sites[0]
        self._association = Association(rule, self._measured_db, devices)
        self.subbands = self._subbands()
        self.online, self.next_change_s = self._any.online, self._any.next_change_s
        self.frequency_hz, self.straggler_factor = self._any.frequency_hz, self._any.straggler_factor
        self.serving, self.handovers = self._association.serving, self._association.handovers
        self.interrupted: Callable[[FloatArray, IntArray], BoolArray] = self._association.interrupted

    @property
    def speed_rank(self) -> FloatArray:
        """As of ``World``: devices compute wherever they are."""
        return self._any.speed_rank

    def motion(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Position, speed and path travelled (T, n), exact at times (T,)."""
        return self._any.motion(times_s, device_ids)

    def large_scale(self, times_s: FloatArray, device_ids: IntArray) -> LargeScale:
        """Position, line of sight, path loss and shadowing (T, n), exact at times (T,)."""
        ids = np.asarray(device_ids, np.int64)
        names = LargeScale.__slots__

        def values(site: World, some: IntArray) -> list[FloatArray]:
            found = site.large_scale(times_s, some)
            return [getattr(found, name) for name in names]

        parts = self._followed(values, np.asarray(times_s, np.float64), ids)
        return LargeScale(**{name: part if name != "los" else part > 0 for name, part in zip(names, parts, strict=True)})

    def mean_gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Linear power gain (T, n) without small-scale fading."""
        times, ids = np.asarray(times_s, np.float64), np.asarray(device_ids, np.int64)
        return np.asarray(self._followed(lambda site, some: [site.mean_gain(times, some)], times, ids)[0])

    def gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Linear power gain (T, n) with small-scale fading, averaged over the band; 0 while a device is being handed over."""
        times, ids = np.asarray(times_s, np.float64), np.asarray(device_ids, np.int64)
        found = self._followed(lambda site, some: [site.gain(times, some)], times, ids)[0]
        return np.where(self.interrupted(times, ids), 0.0, found)

    def gains(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """The same to every site, handed over or not: (T, n, sites)."""
        return np.stack([site.gain(times_s, device_ids) for site in self._sites], axis=2)

    def spread(self, time_s: float, lag_s: float, window_s: float, device_ids: IntArray) -> Spread:
        """As of ``World``, of the site that serves at ``time_s``: no handover is foreseen."""

        def values(site: World, some: IntArray) -> list[FloatArray]:
            found = site.spread(time_s, lag_s, window_s, some)
            return [found.fading_variance[None], found.drift_db[None]]

        variance, drift_db = self._followed(values, np.array([time_s]), device_ids)
        return Spread(variance[0], drift_db[0])

    def _measured_db(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """What devices measure of each site (T, n, sites)."""
        return to_db(np.stack([site.mean_gain(times_s, device_ids) for site in self._sites], axis=2))

    def _followed(self, values: Callable[[World, IntArray], list[Any]], times_s: FloatArray, device_ids: IntArray) -> list[Any]:
        """Arrays (T, n, ...) put together from those of each site, asked only about devices (k,) that it serves at one of the times."""
        serving = self.serving(times_s, device_ids)
        made: list[Any] = []
        for index, site in enumerate(self._sites):
            columns = np.flatnonzero((serving == index).any(axis=0))
            if not columns.size and (made or index + 1 < len(self._sites)):
                continue
            parts = values(site, device_ids[columns])
            made = made or [np.zeros((len(times_s), len(device_ids), *part.shape[2:])) for part in parts]
            here = serving[:, columns] == index
            for whole, part in zip(made, parts, strict=True):
                mask = here.reshape(here.shape + (1,) * (part.ndim - 2))
                whole[:, columns] = np.where(mask, part, whole[:, columns])
        return made

    def _subbands(self) -> Subbands | None:
        if self._any.subbands is None:
            return None

        def power(times_s: FloatArray, device_ids: IntArray) -> FloatArray:
            def values(site: World, some: IntArray) -> list[FloatArray]:
                assert site.subbands is not None
                return [site.subbands.gain(times_s, some)]

            found: FloatArray = self._followed(values, times_s, device_ids)[0]
            return found

        return Subbands(self._any.subbands.band, lambda times_s, ids: np.where(self.interrupted(times_s, ids), 0.0, 1.0), power)
