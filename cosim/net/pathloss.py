"""Path loss and line-of-sight probability of 3GPP TR 38.901 V17 (tables 7.4.1-1 and 7.4.2-1).

Distances are horizontal (2D) distances between site and device, d = d3D slant (3D) distances, which follow from the heights;
fc is the carrier in GHz. ``loss_db``, ``shadowing_sigma_db`` and ``environment_height_m`` accept arrays that broadcast against
each other: ``distance_2d_m`` [m], ``los`` (whether a link is in line of sight) and ``chance`` (uniform in [0, 1), one number per
link). They raise ValueError where a distance or a height is outside the range of the standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from cosim.component import Component, quantity
from cosim.net.link import broadcast, check, link, slant_m, two_values
from cosim.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cosim.interfaces import BoolArray, FloatArray

_ENVIRONMENT_HEIGHT_M: Final = 1.0
"""h_E of table 7.4.1-1, note 1: the height of what reflects the ground wave; UMi always, UMa mostly."""
_TALL_M: Final = 13.0
"""Devices above this height may see over what surrounds them."""


@final
@dataclass(frozen=True, slots=True)
class _Urban:
    """What UMa and UMi differ in: (A, B, C) with and (D, E, F, G) without line of sight.

        LOS   d2D <= d_BP:  A + B log10 d + 20 log10 fc
              d2D >  d_BP:  A + 40 log10 d + 20 log10 fc - C log10(d_BP^2 + (h_site - h_device)^2)
        NLOS  max(LOS, D + E log10 d + F log10 fc - G (h_device - 1.5))

    with d_BP = 4 (h_site - h_E)(h_device - h_E) carrier / c.
    """

    clear: tuple[float, float, float]
    blocked: tuple[float, float, float, float]

    def loss_db(
        self,
        model: UrbanMacro | UrbanMicro,
        distance_m: FloatArray,
        sight: BoolArray,
        heights_m: tuple[float, float],
        environment_m: ArrayLike,
    ) -> FloatArray:
        """The loss [dB] of links with antennas at ``heights_m`` (site, device), reflected at ``environment_m`` = h_E."""
        (offset, slope, beyond), (far, steep, by_carrier, by_height) = self.clear, self.blocked
        site, device = heights_m
        check(f"{type(model).__name__}: site height", site, 1.001, np.inf)
        check(f"{type(model).__name__}: device height", device, 1.5, 22.5)
        h_e: FloatArray = np.asarray(environment_m, np.float64)
        breakpoint_m = 4.0 * ((site - h_e) * (device - h_e)) * model.carrier_hz / model.speed_of_light_m_s
        log_d, log_f = np.log10(slant_m(distance_m, site, device)), np.log10(model.carrier_hz / 1e9)
        near = offset + slope * log_d + 20.0 * log_f
        after = offset + 40.0 * log_d + 20.0 * log_f - beyond * np.log10(breakpoint_m**2 + (site - device) ** 2)
        clear = np.where(distance_m <= breakpoint_m, near, after)
        blocked = far + steep * log_d + by_carrier * log_f - by_height * (device - 1.5)
        return np.asarray(np.where(sight, clear, np.maximum(clear, blocked)))


_UMA: Final = _Urban((28.0, 22.0, 9.0), (13.54, 39.08, 20.0, 0.6))
_UMI: Final = _Urban((32.4, 21.0, 9.5), (22.4, 35.3, 21.3, 0.3))


@final
class UrbanMacro(Component):
    """UMa: sites above the roofs of a city. 3GPP TR 38.901 V17, tables 7.4.1-1, 7.4.2-1, 7.5-6 and 7.6.3.1-2.

    Valid for 10 m <= d2D <= 5 km, 0.5 GHz <= carrier <= 100 GHz and device heights of 1.5 to 22.5 m; the
    standard's site height is 25 m.
    """

    carrier_hz: float = quantity(3.5e9, "Hz", "carrier frequency", ge=0.5e9, le=100e9)
    speed_of_light_m_s: float = quantity(SPEED_OF_LIGHT_M_S, "m/s", "speed of light in the breakpoint distance", gt=0)
    distance_range_m: ClassVar[tuple[float, float]] = (10.0, 5000.0)
    los_correlation_m: ClassVar[float] = 50.0
    rician_k_db: ClassVar[tuple[float, float] | None] = (9.0, 3.5)

    def loss_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 25.0,
        height_device_m: float = 1.5,
        chance: ArrayLike = 0.0,
    ) -> FloatArray:
        """Path loss [dB]. ``chance`` decides h_E of devices above 13 m (``environment_height_m``).

        With d_BP = 4 (h_site - h_E)(h_device - h_E) carrier / c; h_site > 1 and, for devices above 13 m, above them:

            LOS   d2D <= d_BP:  28 + 22 log10 d + 20 log10 fc
                  d2D >  d_BP:  28 + 40 log10 d + 20 log10 fc - 9 log10(d_BP^2 + (h_site - h_device)^2)
            NLOS  max(LOS, 13.54 + 39.08 log10 d + 20 log10 fc - 0.6 (h_device - 1.5))
        """
        distance, sight = link(self, distance_2d_m, los)
        if height_device_m > _TALL_M:
            check("UrbanMacro: site height with devices above 13 m", height_site_m, height_device_m, np.inf)
        low = height_device_m <= _TALL_M  # for many devices at many times the height would be an array of ones
        environment = _ENVIRONMENT_HEIGHT_M if low else self.environment_height_m(distance, height_device_m, chance)
        return _UMA.loss_db(self, distance, sight, (height_site_m, height_device_m), environment)

    def environment_height_m(self, distance_2d_m: ArrayLike, height_device_m: float = 1.5, chance: ArrayLike = 0.0) -> FloatArray:
        """Height h_E of what reflects the ground wave [m], table 7.4.1-1, note 1, from a uniform ``chance`` in [0, 1).

        1 m with probability 1/(1 + C(d2D, h_device)), otherwise any of 12, 15, ..., h_device - 1.5 with equal probability.
        C = ((h_device - 13)/10)^1.5 g(d2D) from 13 m on and 0 below; g is 0 up to 18 m, beyond it 5/4 (d/100)^3 e^(-d/150). Where
        the list has no 12 (devices below 13.5 m) it is taken to be 12 alone. The same chance gives more 12s and more than
        that where C is greater. Arrays broadcast.
        """
        distance, u = np.broadcast_arrays(np.asarray(distance_2d_m, np.float64), np.asarray(chance, np.float64))
        tall = (max(height_device_m - _TALL_M, 0.0) / 10.0) ** 1.5
        certain = 1.0 / (1.0 + tall * _tall_gain(distance))
        values = max(1.0, np.floor((height_device_m - 1.5 - 12.0) / 3.0 + 1e-9) + 1.0)
        rest = np.divide(u - certain, 1.0 - certain, out=np.zeros(u.shape), where=certain < 1.0)
        drawn = 12.0 + 3.0 * np.clip(np.floor(rest * values), 0.0, values - 1.0)
        return np.where(u < certain, _ENVIRONMENT_HEIGHT_M, drawn)

    def los_probability(self, distance_2d_m: ArrayLike, height_device_m: float = 1.5) -> FloatArray:
        """Probability of line of sight of an outdoor device, table 7.4.2-1.

        1 up to 18 m, beyond it (18/d + e^(-d/63) (1 - 18/d)) (1 + C' 5/4 (d/100)^3 e^(-d/150)), where C' is 0 up
        to a device height of 13 m and ((h_device - 13)/10)^1.5 up to 23 m. The product exceeds 1 a little near some tall devices
        (at 23 m by 2e-3): it is cut there. Raises ValueError above 23 m.
        """
        distance = np.maximum(np.asarray(distance_2d_m, dtype=np.float64), 18.0)
        check("UrbanMacro: device height", height_device_m, 0.0, 23.0)
        likely = 18.0 / distance + np.exp(-distance / 63.0) * (1.0 - 18.0 / distance)
        if height_device_m > _TALL_M:
            likely *= 1.0 + ((height_device_m - _TALL_M) / 10.0) ** 1.5 * _tall_gain(distance)
        return np.where(distance > 18.0, np.minimum(likely, 1.0), 1.0)

    def shadowing_sigma_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 25.0,  # noqa: ARG002 - the same for all heights
        height_device_m: float = 1.5,  # noqa: ARG002
    ) -> FloatArray:
        """Standard deviation of the shadowing [dB], table 7.4.1-1: LOS 4, NLOS 6."""
        return two_values(distance_2d_m, los, 4.0, 6.0)

    def shadowing_correlation_m(self, *, los: bool) -> float:
        """Correlation distance of the shadowing [m], table 7.5-6: LOS 37, NLOS 50."""
        return 37.0 if los else 50.0


@final
class UrbanMicro(Component):
    """UMi street canyon: sites below the roofs of a city. 3GPP TR 38.901 V17, tables 7.4.1-1, 7.4.2-1, 7.5-6 and 7.6.3.1-2.

    Valid for 10 m <= d2D <= 5 km, 0.5 GHz <= carrier <= 100 GHz, device heights of 1.5 to 22.5 m; the
    standard's site height is 10 m.
    """

    carrier_hz: float = quantity(3.5e9, "Hz", "carrier frequency", ge=0.5e9, le=100e9)
    speed_of_light_m_s: float = quantity(SPEED_OF_LIGHT_M_S, "m/s", "speed of light in the breakpoint distance", gt=0)
    distance_range_m: ClassVar[tuple[float, float]] = (10.0, 5000.0)
    los_correlation_m: ClassVar[float] = 50.0
    rician_k_db: ClassVar[tuple[float, float] | None] = (9.0, 5.0)

    def loss_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 10.0,
        height_device_m: float = 1.5,
        chance: ArrayLike = 0.0,  # noqa: ARG002 - nothing is left to chance
    ) -> FloatArray:
        """Path loss [dB].

        With d_BP = 4 (h_site - 1)(h_device - 1) carrier / c and h_site > 1:

            LOS   d2D <= d_BP:  32.4 + 21 log10 d + 20 log10 fc
                  d2D >  d_BP:  32.4 + 40 log10 d + 20 log10 fc - 9.5 log10(d_BP^2 + (h_site - h_device)^2)
            NLOS  max(LOS, 22.4 + 35.3 log10 d + 21.3 log10 fc - 0.3 (h_device - 1.5))
        """
        distance, sight = link(self, distance_2d_m, los)
        return _UMI.loss_db(self, distance, sight, (height_site_m, height_device_m), _ENVIRONMENT_HEIGHT_M)

    def los_probability(self, distance_2d_m: ArrayLike, height_device_m: float = 1.5) -> FloatArray:  # noqa: ARG002 - all heights
        """Probability of line of sight of an outdoor device, table 7.4.2-1: 1 to 18 m, then 18/d + e^(-d/36) (1 - 18/d)."""
        distance = np.maximum(np.asarray(distance_2d_m, dtype=np.float64), 18.0)
        return 18.0 / distance + np.exp(-distance / 36.0) * (1.0 - 18.0 / distance)

    def shadowing_sigma_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 10.0,  # noqa: ARG002 - the same for all heights
        height_device_m: float = 1.5,  # noqa: ARG002
    ) -> FloatArray:
        """Standard deviation of the shadowing [dB], table 7.4.1-1: LOS 4, NLOS 7.82."""
        return two_values(distance_2d_m, los, 4.0, 7.82)

    def shadowing_correlation_m(self, *, los: bool) -> float:
        """Correlation distance of the shadowing [m], table 7.5-6: LOS 10, NLOS 13."""
        return 10.0 if los else 13.0


@final
class RuralMacro(Component):
    """RMa: wide cells in the country. 3GPP TR 38.901 V17, tables 7.4.1-1, 7.4.2-1, 7.5-6 and 7.6.3.1-2.

    Valid for d2D >= 10 m to 10 km (LOS) or 5 km (NLOS), 0.5 GHz <= carrier <= 30 GHz, site heights of 10
    to 150 m (the standard's own: 35 m) and device heights of 1 to 10 m.
    """

    carrier_hz: float = quantity(3.5e9, "Hz", "carrier frequency", ge=0.5e9, le=30e9)
    building_height_m: float = quantity(5.0, "m", "average height of buildings, h", ge=5, le=50)
    street_width_m: float = quantity(20.0, "m", "average width of streets, W", ge=5, le=50)
    speed_of_light_m_s: float = quantity(SPEED_OF_LIGHT_M_S, "m/s", "speed of light in the breakpoint distance", gt=0)
    distance_range_m: ClassVar[tuple[float, float]] = (10.0, 5000.0)  # in both states; LOS alone reaches to 10 km
    los_correlation_m: ClassVar[float] = 60.0
    rician_k_db: ClassVar[tuple[float, float] | None] = (7.0, 4.0)

    def loss_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 35.0,
        height_device_m: float = 1.5,
        chance: ArrayLike = 0.0,  # noqa: ARG002 - nothing is left to chance
    ) -> FloatArray:
        """Path loss [dB].

        With d_BP = 2 pi h_site h_device carrier / c, mean building height h, street width W:

            PL1(d) = 20 log10(40 pi d fc / 3) + min(0.03 h^1.72, 10) log10 d - min(0.044 h^1.72, 14.77) + 0.002 d log10 h
            LOS   d2D <= d_BP:  PL1(d)
                  d2D >  d_BP:  PL1(d_BP) + 40 log10(d / d_BP)
            NLOS  max(LOS, 161.04 - 7.1 log10 W + 7.5 log10 h - (24.37 - 3.7 (h / h_site)^2) log10 h_site
                           + (43.42 - 3.1 log10 h_site)(log10 d - 3) + 20 log10 fc - (3.2 (log10(11.75 h_device))^2 - 4.97))
        """
        distance, sight = broadcast(distance_2d_m, los)
        check("RuralMacro: 2D distance in line of sight", distance[sight], 10.0, 10_000.0)
        check("RuralMacro: 2D distance without line of sight", distance[~sight], 10.0, 5_000.0)
        check("RuralMacro: site height", height_site_m, 10.0, 150.0)
        check("RuralMacro: device height", height_device_m, 1.0, 10.0)
        slant = slant_m(distance, height_site_m, height_device_m)
        breakpoint_m = self._breakpoint_m(height_site_m, height_device_m)
        far = self._near_db(np.float64(breakpoint_m)) + 40.0 * np.log10(slant / breakpoint_m)
        clear = np.where(distance <= breakpoint_m, self._near_db(slant), far)
        return np.where(sight, clear, np.maximum(clear, self._blocked_db(slant, height_site_m, height_device_m)))

    def los_probability(self, distance_2d_m: ArrayLike, height_device_m: float = 1.5) -> FloatArray:  # noqa: ARG002 - all heights
        """Probability of line of sight of an outdoor device, table 7.4.2-1: 1 to 10 m, then e^(-(d - 10)/1000)."""
        return np.exp(-np.maximum(np.asarray(distance_2d_m, dtype=np.float64) - 10.0, 0.0) / 1000.0)

    def shadowing_sigma_db(
        self, distance_2d_m: ArrayLike, los: ArrayLike, height_site_m: float = 35.0, height_device_m: float = 1.5
    ) -> FloatArray:
        """Standard deviation of the shadowing [dB], table 7.4.1-1: LOS 4 up to the breakpoint and 6 beyond, NLOS 8."""
        distance, sight = broadcast(distance_2d_m, los)
        clear = np.where(distance <= self._breakpoint_m(height_site_m, height_device_m), 4.0, 6.0)
        return np.where(sight, clear, 8.0)

    def shadowing_correlation_m(self, *, los: bool) -> float:
        """Correlation distance of the shadowing [m], table 7.5-6: LOS 37, NLOS 120."""
        return 37.0 if los else 120.0

    def _breakpoint_m(self, height_site_m: float, height_device_m: float) -> float:
        return 2.0 * np.pi * height_site_m * height_device_m * self.carrier_hz / self.speed_of_light_m_s

    def _near_db(self, slant_m: FloatArray | np.float64) -> FloatArray:
        height = self.building_height_m
        slope, offset = min(0.03 * height**1.72, 10.0), min(0.044 * height**1.72, 14.77)
        free = 20.0 * np.log10(40.0 * np.pi * slant_m * (self.carrier_hz / 1e9) / 3.0)
        return np.asarray(free + slope * np.log10(slant_m) - offset + 0.002 * np.log10(height) * slant_m)

    def _blocked_db(self, slant_m: FloatArray, height_site_m: float, height_device_m: float) -> FloatArray:
        height, site = self.building_height_m, np.log10(height_site_m)
        surroundings = 161.04 - 7.1 * np.log10(self.street_width_m) + 7.5 * np.log10(height)
        antennas = (24.37 - 3.7 * (height / height_site_m) ** 2) * site + 3.2 * np.log10(11.75 * height_device_m) ** 2 - 4.97
        return np.asarray(
            surroundings - antennas + (43.42 - 3.1 * site) * (np.log10(slant_m) - 3.0) + 20.0 * np.log10(self.carrier_hz / 1e9)
        )


def _tall_gain(distance_2d_m: FloatArray) -> FloatArray:
    """How line of sight grows for tall devices, g(d) of table 7.4.1-1, note 1 (and table 7.4.2-1): 0 up to 18 m."""
    return np.where(distance_2d_m > 18.0, 1.25 * (distance_2d_m / 100.0) ** 3 * np.exp(-distance_2d_m / 150.0), 0.0)
