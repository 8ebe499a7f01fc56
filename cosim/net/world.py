"""The world around one serving site: motion, gains, straggler factors, availability as functions of (seed, device, t)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast, final

import numpy as np

from cosim.errors import CosimWarning, ScenarioError
from cosim.interfaces import Band, Spread, TimedCompute, Visits
from cosim.net.availability import WhilePresent
from cosim.net.los import sight_field, soft_transition
from cosim.net.subbands import Subbands
from cosim.net.time_grid import TimeGrid
from cosim.net.waves import pieces
from cosim.units import SPEED_OF_LIGHT_M_S, from_db, to_db

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import (
        Availability,
        BoolArray,
        Compute,
        Fading,
        FloatArray,
        IntArray,
        Mobility,
        Motion,
        SelectiveProcess,
        Trajectories,
    )
    from cosim.net.channel import Channel
    from cosim.net.geometry import Area, Devices, Site
    from cosim.net.wrap import Torus
    from cosim.rng import Streams

_CHUNK: Final = 65_536
"""Times x devices evaluated at once: bounds the memory."""
_CHUNK_TIMES: Final = 8
"""Fewest times of a chunk, where so many are asked for: what a device's trip is, for one, is looked up once for all of them."""


@final
@dataclass(frozen=True, slots=True)
class LargeScale:
    """Where devices are and what path loss and shadowing make of it; arrays (T, n).

    ``distance_m``: horizontal (2D) distance to the site. ``gain_db``: antennas - path loss - shadowing. The loss of a
    wall around the device belongs to the path loss. ``sight``: weight of line of sight in [0, 1]; ``los``: more than half.
    """

    x_m: FloatArray
    y_m: FloatArray
    speed_m_s: FloatArray
    distance_m: FloatArray
    los: BoolArray
    sight: FloatArray
    pathloss_db: FloatArray
    shadowing_db: FloatArray
    gain_db: FloatArray


@final
class World:
    """What would be the same had nobody trained or sent. Asking changes nothing; order does not matter.

    Times are >= 0 in seconds, ``device_ids`` integers in 0 .. devices.count-1; both in any order and with any
    repetition. What a device's value is does not depend on the number of devices or on who else is asked
    for, bit for bit. Satisfies ``cosim.interfaces.GainSource``.
    """

    def __init__(
        self,
        *,
        streams: Streams,
        area: Area,
        site: Site,
        devices: Devices,
        mobility: Mobility,
        channel: Channel,
        compute: Compute,
        availability: Availability,
        band: Band = Band(1.0, 1),  # noqa: B008 - frozen
        site_index: int = 0,
        motion: Trajectories | None = None,
        torus: Torus | None = None,
    ) -> None:
        """Join the parts; ``band``: over which a selective fading differs; ``site_index`` names the site's random fields.

        ``motion``: that of the devices, where it has been started already; ``torus``: on which they are, if the plane wraps.

        Raises:
            ScenarioError: the antenna heights are outside the path-loss model's range.
        """
        self._streams, self._site, self._devices, self._compute = streams, site, devices, compute
        self._pathloss, self._channel = channel.pathloss, channel
        self._least_m, self._greatest_m = channel.pathloss.distance_range_m
        self._check_heights()
        self._motion = motion or mobility.start((area.width_m, area.height_m), devices.count, streams)
        self._torus, self._place_m = torus, np.array([site.x_m, site.y_m])
        self._wavelength_m = SPEED_OF_LIGHT_M_S / channel.pathloss.carrier_hz
        softness = soft_transition(self._wavelength_m) if channel.los_transition == "smooth" else 0.0
        self._sight = sight_field(channel.pathloss.los_correlation_m, site_index, streams, softness)
        self._chance = streams.uniform("environment", devices.count, site_index)
        self._buildings = channel.buildings
        self._indoors = channel.buildings.start(channel.pathloss.carrier_hz, devices.count, streams)
        self._shadowing = channel.shadowing.start(channel.pathloss, site_index, streams)
        self._fading = channel.fading.start(channel.pathloss, band, site_index, devices.count, streams)
        self._follows_sight = channel.fading.follows_sight
        self._outage = None if channel.outage is None else channel.outage.start(devices.count, site_index, streams)
        self._availability = availability.start(devices.count, streams)
        if isinstance(self._motion, Visits):  # who is not in the area is offline
            self._availability = WhilePresent(self._availability, *self._motion.presence_s(np.arange(devices.count)))
        self._frequency_hz = compute.frequency_hz(devices.count, streams)
        self._pace = compute.start(devices.count, streams) if isinstance(compute, TimedCompute) else None
        self._grid = TimeGrid(lambda times_s, ids: self.large_scale(times_s, ids).gain_db, devices.count)
        self._sight_grid = TimeGrid(lambda times_s, ids: self.large_scale(times_s, ids).sight, devices.count)
        self.subbands = self._subbands(channel.fading, band)
        self._warned: set[str] = set()

    def motion(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Position, speed and path travelled (T, n), exact at times (T,)."""
        return self._motion.at(np.asarray(times_s, dtype=np.float64), np.asarray(device_ids, dtype=np.int64))

    def large_scale(self, times_s: FloatArray, device_ids: IntArray) -> LargeScale:
        """Position, line of sight, path loss and shadowing (T, n), exact at times (T,).

        Devices nearer than the path-loss model reaches, or farther, get the loss at its limit; the first of
        either raises a CosimWarning.
        """
        motion = self.motion(times_s, device_ids)
        x_m, y_m = (motion.x_m, motion.y_m) if self._torus is None else self._torus.seen(motion.x_m, motion.y_m, self._place_m)
        distance = np.hypot(x_m - self._site.x_m, y_m - self._site.y_m)
        outside = np.maximum(distance - self._indoors.depth_m[device_ids], 0.0)
        sight = self._sight.weight(x_m, y_m, self._pathloss.los_probability(outside, self._devices.height_m))
        los = sight > 0.5
        within = self._clamp(distance)
        loss_db, shadowing_db = self._losses((x_m, y_m), within, los, device_ids)
        mixed = (sight > 0.0) & (sight < 1.0)
        if mixed.any():
            loss_db, shadowing_db = self._mix(sight, los, (loss_db, shadowing_db), self._losses((x_m, y_m), within, ~los, device_ids))
        loss_db = loss_db + self._indoors.loss_db[device_ids]
        gain_db = self._site.antenna_gain_dbi + self._devices.antenna_gain_dbi - loss_db - shadowing_db
        return LargeScale(motion.x_m, motion.y_m, motion.speed_m_s, distance, los, sight, loss_db, shadowing_db, gain_db)

    def mean_gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Linear power gain (T, n) without small-scale fading, antenna gains included.

        ``large_scale`` at multiples of 0.1 s, between them interpolated linearly in dB.
        """
        return self._in_chunks(self._mean_gain, times_s, device_ids)

    def gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Linear power gain (T, n) with small-scale fading, averaged over the band: mean_gain x |h|^2."""
        return self._in_chunks(self._gain, times_s, device_ids)

    def spread(self, time_s: float, lag_s: float, window_s: float, device_ids: IntArray) -> Spread:
        """How far the gain's average over [t + lag, t + lag + window] strays from the mean gain at t; arrays (n,).

        As if a device went straight on at its speed at t, in the same state of sight. What path loss changes on the way is left out.
        """
        here = self.large_scale(np.array([time_s]), device_ids)
        speed, los = here.speed_m_s[0], here.los[0]
        sigma_db = self._sigma_db(self._clamp(here.distance_m), here.los, device_ids)[0]
        drift_db = self._channel.shadowing.drift_db(self._pathloss, los, sigma_db, speed * lag_s, speed * window_s)
        return Spread(self._channel.fading.average_variance(window_s, speed / self._wavelength_m), drift_db)

    def straggler_factor(self, round_index: int, device_ids: IntArray, start_s: FloatArray, nominal_s: FloatArray) -> FloatArray:
        """Straggler factor (n,) of devices in a round: compute time = nominal time x factor.

        ``start_s``, ``nominal_s`` (n,): when the work begins and how long it would nominally take [s]; only kinds whose speed
        changes in time ask for them.
        """
        if self._pace is None:
            return self._compute.factor(round_index, self._devices.count, self._streams)[device_ids]
        elapsed_s = self._pace.elapsed_s(start_s, nominal_s, device_ids)
        return np.divide(elapsed_s, nominal_s, out=np.ones_like(elapsed_s), where=nominal_s > 0)

    @property
    def speed_rank(self) -> FloatArray:
        """Share of all devices whose processors are faster (devices,), in [0, 1); of equal ones the lower counts as faster."""
        rank = np.empty(self._devices.count)
        rank[np.argsort(-self._frequency_hz, kind="stable")] = np.arange(self._devices.count) / self._devices.count
        return rank

    def frequency_hz(self, device_ids: IntArray) -> FloatArray:
        """Clock frequency (n,) [Hz]."""
        return self._frequency_hz[device_ids]

    def online(self, time_s: float, device_ids: IntArray) -> BoolArray:
        """Whether devices (n,) are there at ``time_s``: available and, if they come and go, in the area."""
        return self._availability.online(time_s, device_ids)

    def next_change_s(self, time_s: float, device_ids: IntArray) -> FloatArray:
        """First time (n,) > ``time_s`` at which a device comes or goes; inf if never."""
        return self._availability.next_change_s(time_s, device_ids)

    def serving(self, times_s: FloatArray, device_ids: IntArray) -> IntArray:
        """Serving site (T, n): there is only this one, 0."""
        return np.zeros((len(times_s), len(device_ids)), np.int64)

    def _mean_gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        return from_db(self._grid.at(times_s, device_ids))

    def _gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        sight = self._sight_grid.at(times_s, device_ids) if self._follows_sight else None
        power = self._fading.power(times_s, self._travelled(times_s, device_ids), device_ids, sight)
        return self._open_gain(times_s, device_ids) * power

    def _open_gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """The mean gain, 0 while a link is dead."""
        gain = self._mean_gain(times_s, device_ids)
        return gain if self._outage is None else gain * self._outage.at(times_s, device_ids)

    def _losses(
        self, places_m: tuple[FloatArray, FloatArray], distance_m: FloatArray, los: BoolArray, device_ids: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Path loss and shadowing [dB] in a state of sight; arrays (T, n). ``places_m``: x and y as the site sees them."""
        heights = self._site.height_m, self._devices.height_m
        loss_db = self._pathloss.loss_db(distance_m, los, *heights, np.broadcast_to(self._chance[device_ids], distance_m.shape))
        return loss_db, self._shadowing.loss_db(*places_m, los, self._sigma_db(distance_m, los, device_ids))

    def _sigma_db(self, distance_m: FloatArray, los: BoolArray, device_ids: IntArray) -> FloatArray:
        """Standard deviation of the shadowing [dB]; arrays (T, n)."""
        sigma_db = self._pathloss.shadowing_sigma_db(distance_m, los, self._site.height_m, self._devices.height_m)
        return np.where(self._indoors.inside[device_ids], self._buildings.sigma_db, sigma_db)

    @staticmethod
    def _mix(
        sight: FloatArray, los: BoolArray, nearer: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        """Path loss and shadowing [dB] of w^2 g_LOS + (1 - w^2) g_NLOS, from those of the nearer state and of the other one."""
        share = np.where(los, sight**2, 1.0 - sight**2)
        loss_db = -to_db(share * from_db(-nearer[0]) + (1.0 - share) * from_db(-other[0]))
        both_db = -to_db(share * from_db(-nearer[0] - nearer[1]) + (1.0 - share) * from_db(-other[0] - other[1]))
        return loss_db, both_db - loss_db

    def _subbands(self, fading: Fading, band: Band) -> Subbands | None:
        """The channel per sub-band; None where all frequencies fade alike."""
        if not fading.selective:
            return None
        process = cast("SelectiveProcess", self._fading)
        return Subbands(band, self._open_gain, lambda times_s, ids: process.subband_power(times_s, self._travelled(times_s, ids), ids))

    def _travelled(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        return self._motion.at(times_s, device_ids).travelled_m

    def _in_chunks(self, function: Callable[[FloatArray, IntArray], FloatArray], times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        times, ids = np.asarray(times_s, dtype=np.float64), np.asarray(device_ids, dtype=np.int64)
        result = np.empty((times.size, ids.size))
        wide = max(1, min(ids.size, _CHUNK // _CHUNK_TIMES))
        for columns in pieces(ids.size, wide):
            for rows in pieces(times.size, _CHUNK // wide):
                result[rows, columns] = function(times[rows], ids[columns])
        return result

    def _clamp(self, distance_m: FloatArray) -> FloatArray:
        for limit_m, beyond, word in (
            (self._least_m, distance_m < self._least_m, "nearer"),
            (self._greatest_m, distance_m > self._greatest_m, "farther"),
        ):
            if word not in self._warned and beyond.any():
                self._warned.add(word)
                example = distance_m[beyond].flat[0]
                warnings.warn(
                    f"a device is {example:.3g} m from the site, {word} than the {limit_m:g} m that {type(self._pathloss).__name__} "
                    "is made for: its path loss is that at the limit",
                    CosimWarning,
                    stacklevel=2,
                )
        return np.clip(distance_m, self._least_m, self._greatest_m)

    def _check_heights(self) -> None:
        try:
            self._pathloss.loss_db(self._least_m, los=False, height_site_m=self._site.height_m, height_device_m=self._devices.height_m)
        except ValueError as error:
            raise ScenarioError(f"channel.pathloss: does not fit the antenna heights: {error}") from error
