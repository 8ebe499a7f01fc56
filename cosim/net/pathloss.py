"""Path loss and line-of-sight probability of 3GPP TR 38.901 V17 (tables 7.4.1-1 and 7.4.2-1), and two simpler models.

Distances are horizontal (2D) distances between site and device; slant (3D) distances follow from the
heights. ``loss_db`` and ``shadowing_sigma_db`` accept arrays that broadcast against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self, final

import numpy as np
from pydantic import model_validator

from cosim.component import Component, quantity
from cosim.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cosim.interfaces import BoolArray, FloatArray

_ENVIRONMENT_HEIGHT_M: Final = 1.0
"""h_E of table 7.4.1-1, note 1: the height of what reflects the ground wave; UMi always, UMa up to 13 m."""


@final
class UrbanMacro(Component):
    """UMa: sites above the roofs of a city. 3GPP TR 38.901 V17, tables 7.4.1-1 and 7.4.2-1.

    Valid for 10 m <= d2D <= 5 km, 0.5 GHz <= carrier <= 100 GHz and device heights of 1.5 to 13 m. For
    taller devices (to 22.5 m) the standard draws h_E at random for each link; that is refused here.
    """

    carrier_hz: float = quantity(3.5e9, "Hz", "carrier frequency", ge=0.5e9, le=100e9)
    speed_of_light_m_s: float = quantity(SPEED_OF_LIGHT_M_S, "m/s", "speed of light in the breakpoint distance", gt=0)

    @property
    def distance_range_m(self) -> tuple[float, float]:
        """2D distances for which the loss is defined [m]."""
        return 10.0, 5000.0

    @property
    def los_correlation_m(self) -> float:
        """Correlation distance of the line-of-sight state [m], table 7.6.3.1-2."""
        return 50.0

    def loss_db(self, distance_2d_m: ArrayLike, los: ArrayLike, height_site_m: float = 25.0, height_device_m: float = 1.5) -> FloatArray:
        """Path loss [dB].

        With fc in GHz, d = d3D in m and d_BP = 4 (h_site - 1)(h_device - 1) carrier / c:

            LOS   d2D <= d_BP:  28 + 22 log10 d + 20 log10 fc
                  d2D >  d_BP:  28 + 40 log10 d + 20 log10 fc - 9 log10(d_BP^2 + (h_site - h_device)^2)
            NLOS  max(LOS, 13.54 + 39.08 log10 d + 20 log10 fc - 0.6 (h_device - 1.5))

        Args:
            distance_2d_m: horizontal distance [m].
            los: whether the link is in line of sight; broadcasts against the distance.
            height_site_m: height of the site's antenna [m], > 1.
            height_device_m: height of the device's antenna [m], 1.5 to 13.

        Returns:
            Loss [dB] in the broadcast shape.

        Raises:
            ValueError: a distance or a height is outside the range of the standard.
        """
        distance, sight = _link(self, distance_2d_m, los)
        _check("UrbanMacro: site height", height_site_m, 1.001, np.inf)
        _check("UrbanMacro: device height (above 13 m the standard draws h_E at random, which is not modelled)", height_device_m, 1.5, 13.0)
        slant = _slant_m(distance, height_site_m, height_device_m)
        carrier = 20.0 * np.log10(self.carrier_hz / 1e9)
        breakpoint_m = _breakpoint_m(self.carrier_hz, self.speed_of_light_m_s, height_site_m, height_device_m)
        near = 28.0 + 22.0 * np.log10(slant) + carrier
        far = 28.0 + 40.0 * np.log10(slant) + carrier - 9.0 * np.log10(breakpoint_m**2 + (height_site_m - height_device_m) ** 2)
        clear = np.where(distance <= breakpoint_m, near, far)
        blocked = 13.54 + 39.08 * np.log10(slant) + carrier - 0.6 * (height_device_m - 1.5)
        return np.asarray(np.where(sight, clear, np.maximum(clear, blocked)))

    def los_probability(self, distance_2d_m: ArrayLike, height_device_m: float = 1.5) -> FloatArray:
        """Probability of line of sight of an outdoor device, table 7.4.2-1.

        1 up to 18 m, beyond it (18/d + e^(-d/63) (1 - 18/d)) (1 + C' 5/4 (d/100)^3 e^(-d/150)), where C' is 0 up
        to a device height of 13 m and ((h_device - 13)/10)^1.5 up to 23 m. Raises ValueError above 23 m.
        """
        distance = np.maximum(np.asarray(distance_2d_m, dtype=np.float64), 18.0)
        _check("UrbanMacro: device height", height_device_m, 0.0, 23.0)
        tall = (max(height_device_m - 13.0, 0.0) / 10.0) ** 1.5
        low = 18.0 / distance + np.exp(-distance / 63.0) * (1.0 - 18.0 / distance)
        high = 1.0 + tall * 1.25 * (distance / 100.0) ** 3 * np.exp(-distance / 150.0)
        return np.where(distance > 18.0, low * high, 1.0)

    def shadowing_sigma_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 25.0,  # noqa: ARG002 - the same for all heights
        height_device_m: float = 1.5,  # noqa: ARG002
    ) -> FloatArray:
        """Standard deviation of the shadowing [dB], table 7.4.1-1: LOS 4, NLOS 6."""
        return _two_values(distance_2d_m, los, 4.0, 6.0)

    def shadowing_correlation_m(self, *, los: bool) -> float:
        """Correlation distance of the shadowing [m], table 7.5-6: LOS 37, NLOS 50."""
        return 37.0 if los else 50.0


@final
class UrbanMicro(Component):
    """UMi street canyon: sites below the roofs of a city. 3GPP TR 38.901 V17, tables 7.4.1-1 and 7.4.2-1.

    Valid for 10 m <= d2D <= 5 km, 0.5 GHz <= carrier <= 100 GHz, device heights of 1.5 to 22.5 m; the
    standard's site height is 10 m.
    """

    carrier_hz: float = quantity(3.5e9, "Hz", "carrier frequency", ge=0.5e9, le=100e9)
    speed_of_light_m_s: float = quantity(SPEED_OF_LIGHT_M_S, "m/s", "speed of light in the breakpoint distance", gt=0)

    @property
    def distance_range_m(self) -> tuple[float, float]:
        """2D distances for which the loss is defined [m]."""
        return 10.0, 5000.0

    @property
    def los_correlation_m(self) -> float:
        """Correlation distance of the line-of-sight state [m], table 7.6.3.1-2."""
        return 50.0

    def loss_db(self, distance_2d_m: ArrayLike, los: ArrayLike, height_site_m: float = 10.0, height_device_m: float = 1.5) -> FloatArray:
        """Path loss [dB].

        With fc in GHz, d = d3D in m and d_BP = 4 (h_site - 1)(h_device - 1) carrier / c:

            LOS   d2D <= d_BP:  32.4 + 21 log10 d + 20 log10 fc
                  d2D >  d_BP:  32.4 + 40 log10 d + 20 log10 fc - 9.5 log10(d_BP^2 + (h_site - h_device)^2)
            NLOS  max(LOS, 22.4 + 35.3 log10 d + 21.3 log10 fc - 0.3 (h_device - 1.5))

        Args:
            distance_2d_m: horizontal distance [m].
            los: whether the link is in line of sight; broadcasts against the distance.
            height_site_m: height of the site's antenna [m], > 1.
            height_device_m: height of the device's antenna [m], 1.5 to 22.5.

        Returns:
            Loss [dB] in the broadcast shape.

        Raises:
            ValueError: a distance or a height is outside the range of the standard.
        """
        distance, sight = _link(self, distance_2d_m, los)
        _check("UrbanMicro: site height", height_site_m, 1.001, np.inf)
        _check("UrbanMicro: device height", height_device_m, 1.5, 22.5)
        slant = _slant_m(distance, height_site_m, height_device_m)
        carrier = np.log10(self.carrier_hz / 1e9)
        breakpoint_m = _breakpoint_m(self.carrier_hz, self.speed_of_light_m_s, height_site_m, height_device_m)
        near = 32.4 + 21.0 * np.log10(slant) + 20.0 * carrier
        far = 32.4 + 40.0 * np.log10(slant) + 20.0 * carrier - 9.5 * np.log10(breakpoint_m**2 + (height_site_m - height_device_m) ** 2)
        clear = np.where(distance <= breakpoint_m, near, far)
        blocked = 22.4 + 35.3 * np.log10(slant) + 21.3 * carrier - 0.3 * (height_device_m - 1.5)
        return np.asarray(np.where(sight, clear, np.maximum(clear, blocked)))

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
        return _two_values(distance_2d_m, los, 4.0, 7.82)

    def shadowing_correlation_m(self, *, los: bool) -> float:
        """Correlation distance of the shadowing [m], table 7.5-6: LOS 10, NLOS 13."""
        return 10.0 if los else 13.0


@final
class RuralMacro(Component):
    """RMa: wide cells in the country. 3GPP TR 38.901 V17, tables 7.4.1-1 and 7.4.2-1.

    Valid for d2D >= 10 m to 10 km (LOS) or 5 km (NLOS), 0.5 GHz <= carrier <= 30 GHz, site heights of 10
    to 150 m (the standard's own: 35 m) and device heights of 1 to 10 m.
    """

    carrier_hz: float = quantity(3.5e9, "Hz", "carrier frequency", ge=0.5e9, le=30e9)
    building_height_m: float = quantity(5.0, "m", "average height of buildings, h", ge=5, le=50)
    street_width_m: float = quantity(20.0, "m", "average width of streets, W", ge=5, le=50)
    speed_of_light_m_s: float = quantity(SPEED_OF_LIGHT_M_S, "m/s", "speed of light in the breakpoint distance", gt=0)

    @property
    def distance_range_m(self) -> tuple[float, float]:
        """2D distances for which the loss is defined in both states [m]; LOS alone reaches to 10 km."""
        return 10.0, 5000.0

    @property
    def los_correlation_m(self) -> float:
        """Correlation distance of the line-of-sight state [m], table 7.6.3.1-2."""
        return 60.0

    def loss_db(self, distance_2d_m: ArrayLike, los: ArrayLike, height_site_m: float = 35.0, height_device_m: float = 1.5) -> FloatArray:
        """Path loss [dB].

        With fc in GHz, d = d3D in m, d_BP = 2 pi h_site h_device carrier / c, mean building height h, street width W:

            PL1(d) = 20 log10(40 pi d fc / 3) + min(0.03 h^1.72, 10) log10 d - min(0.044 h^1.72, 14.77) + 0.002 d log10 h
            LOS   d2D <= d_BP:  PL1(d)
                  d2D >  d_BP:  PL1(d_BP) + 40 log10(d / d_BP)
            NLOS  max(LOS, 161.04 - 7.1 log10 W + 7.5 log10 h - (24.37 - 3.7 (h / h_site)^2) log10 h_site
                           + (43.42 - 3.1 log10 h_site)(log10 d - 3) + 20 log10 fc - (3.2 (log10(11.75 h_device))^2 - 4.97))

        Args:
            distance_2d_m: horizontal distance [m].
            los: whether the link is in line of sight; broadcasts against the distance.
            height_site_m: height of the site's antenna [m], 10 to 150.
            height_device_m: height of the device's antenna [m], 1 to 10.

        Returns:
            Loss [dB] in the broadcast shape.

        Raises:
            ValueError: a distance or a height is outside the range of the standard.
        """
        distance, sight = _broadcast(distance_2d_m, los)
        _check("RuralMacro: 2D distance in line of sight", distance[sight], 10.0, 10_000.0)
        _check("RuralMacro: 2D distance without line of sight", distance[~sight], 10.0, 5_000.0)
        _check("RuralMacro: site height", height_site_m, 10.0, 150.0)
        _check("RuralMacro: device height", height_device_m, 1.0, 10.0)
        slant = _slant_m(distance, height_site_m, height_device_m)
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
        distance, sight = _broadcast(distance_2d_m, los)
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


@final
class FreeSpace(Component):
    """Nothing but distance: Friis' law. Always line of sight, no shadowing of its own; valid from 1 m."""

    carrier_hz: float = quantity(3.5e9, "Hz", "carrier frequency", gt=0)
    speed_of_light_m_s: float = quantity(SPEED_OF_LIGHT_M_S, "m/s", "speed of light", gt=0)

    @property
    def distance_range_m(self) -> tuple[float, float]:
        """2D distances for which the loss is defined [m]."""
        return 1.0, np.inf

    @property
    def los_correlation_m(self) -> float:
        """Correlation distance of the line-of-sight state, which never changes [m]."""
        return 50.0

    def loss_db(self, distance_2d_m: ArrayLike, los: ArrayLike, height_site_m: float = 25.0, height_device_m: float = 1.5) -> FloatArray:
        """Path loss 20 log10(4 pi d3D carrier / c) [dB], the same with and without LOS; ValueError below 1 m."""
        distance, _ = _link(self, distance_2d_m, los)
        slant = _slant_m(distance, height_site_m, height_device_m)
        return np.asarray(20.0 * np.log10(4.0 * np.pi * slant * self.carrier_hz / self.speed_of_light_m_s))

    def los_probability(self, distance_2d_m: ArrayLike, height_device_m: float = 1.5) -> FloatArray:  # noqa: ARG002
        """Probability of line of sight: 1."""
        return np.ones_like(np.asarray(distance_2d_m, dtype=np.float64))

    def shadowing_sigma_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 25.0,  # noqa: ARG002
        height_device_m: float = 1.5,  # noqa: ARG002
    ) -> FloatArray:
        """Standard deviation of the shadowing [dB]: 0."""
        return _two_values(distance_2d_m, los, 0.0, 0.0)

    def shadowing_correlation_m(self, *, los: bool) -> float:  # noqa: ARG002
        """Correlation distance [m] of a shadowing whose standard deviation the scenario gives."""
        return 50.0


@final
class LogDistance(Component):
    """Log-distance law PL = PL0 + 10 n log10(d3D / d0), with shadowing of one standard deviation. Valid for d2D >= d0.

    Source: Rappaport, "Wireless Communications", 2nd ed., section 4.9.1.
    """

    carrier_hz: float = quantity(3.5e9, "Hz", "carrier frequency", gt=0)
    exponent: float = quantity(3.0, "", "path loss exponent n", gt=0)
    reference_distance_m: float = quantity(1.0, "m", "reference distance d0", gt=0)
    reference_loss_db: float | None = quantity(None, "dB", "loss PL0 at the reference distance; none: that of free space")
    sigma_db: float = quantity(8.0, "dB", "standard deviation of the shadowing", ge=0)
    correlation_m: float = quantity(50.0, "m", "correlation distance of the shadowing", gt=0)

    @model_validator(mode="after")
    def _reference_is_far_field(self) -> Self:
        wavelength_m = SPEED_OF_LIGHT_M_S / self.carrier_hz
        if self.reference_loss_db is None and self.reference_distance_m < wavelength_m:
            raise ValueError(
                f"reference_distance_m {self.reference_distance_m:g} m is less than the wavelength {wavelength_m:g} m, where the loss of "
                "free space means nothing; give reference_loss_db or a greater distance"
            )
        return self

    @property
    def distance_range_m(self) -> tuple[float, float]:
        """2D distances for which the loss is defined [m]."""
        return self.reference_distance_m, np.inf

    @property
    def los_correlation_m(self) -> float:
        """Correlation distance of the line-of-sight state, which never changes [m]."""
        return 50.0

    def loss_db(self, distance_2d_m: ArrayLike, los: ArrayLike, height_site_m: float = 25.0, height_device_m: float = 1.5) -> FloatArray:
        """Path loss PL0 + 10 n log10(d3D / d0) [dB], the same with and without LOS; ValueError below d0."""
        distance, _ = _link(self, distance_2d_m, los)
        start = self.reference_loss_db
        if start is None:
            start = float(20.0 * np.log10(4.0 * np.pi * self.reference_distance_m * self.carrier_hz / SPEED_OF_LIGHT_M_S))
        slant = _slant_m(distance, height_site_m, height_device_m)
        return np.asarray(start + 10.0 * self.exponent * np.log10(slant / self.reference_distance_m))

    def los_probability(self, distance_2d_m: ArrayLike, height_device_m: float = 1.5) -> FloatArray:  # noqa: ARG002
        """Probability of line of sight: 1 (the law has one state)."""
        return np.ones_like(np.asarray(distance_2d_m, dtype=np.float64))

    def shadowing_sigma_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 25.0,  # noqa: ARG002
        height_device_m: float = 1.5,  # noqa: ARG002
    ) -> FloatArray:
        """Standard deviation of the shadowing [dB]: ``sigma_db``."""
        return _two_values(distance_2d_m, los, self.sigma_db, self.sigma_db)

    def shadowing_correlation_m(self, *, los: bool) -> float:  # noqa: ARG002
        """Correlation distance of the shadowing [m]: ``correlation_m``."""
        return self.correlation_m


def _broadcast(distance_2d_m: ArrayLike, los: ArrayLike) -> tuple[FloatArray, BoolArray]:
    distance, sight = np.broadcast_arrays(np.asarray(distance_2d_m, dtype=np.float64), np.asarray(los, dtype=np.bool_))
    return np.ascontiguousarray(distance).reshape(distance.shape), sight


def _link(
    model: UrbanMacro | UrbanMicro | FreeSpace | LogDistance, distance_2d_m: ArrayLike, los: ArrayLike
) -> tuple[FloatArray, BoolArray]:
    distance, sight = _broadcast(distance_2d_m, los)
    _check(f"{type(model).__name__}: 2D distance", distance, *model.distance_range_m)
    return distance, sight


def _check(what: str, value_m: ArrayLike, least_m: float, greatest_m: float) -> None:
    value = np.asarray(value_m, dtype=np.float64)
    outside = ~((value >= least_m) & (value <= greatest_m))  # this way round, NaN is outside
    if outside.any():
        raise ValueError(f"{what}: {value[outside].flat[0]:g} m is outside {least_m:g} m to {greatest_m:g} m")


def _slant_m(distance_2d_m: FloatArray, height_site_m: float, height_device_m: float) -> FloatArray:
    return np.sqrt(distance_2d_m**2 + (height_site_m - height_device_m) ** 2)


def _breakpoint_m(carrier_hz: float, speed_of_light_m_s: float, height_site_m: float, height_device_m: float) -> float:
    effective = (height_site_m - _ENVIRONMENT_HEIGHT_M) * (height_device_m - _ENVIRONMENT_HEIGHT_M)
    return 4.0 * effective * carrier_hz / speed_of_light_m_s


def _two_values(distance_2d_m: ArrayLike, los: ArrayLike, clear: float, blocked: float) -> FloatArray:
    _, sight = _broadcast(distance_2d_m, los)
    return np.where(sight, clear, blocked)
