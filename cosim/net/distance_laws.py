"""Path loss as a function of distance alone: free space and the log-distance law."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self, final

import numpy as np
from pydantic import model_validator

from cosim.component import Component, quantity
from cosim.net.link import link, slant_m, two_values
from cosim.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cosim.interfaces import FloatArray


@final
class FreeSpace(Component):
    """Nothing but distance: Friis' law. Always line of sight, no shadowing of its own; valid from 1 m."""

    carrier_hz: float = quantity(3.5e9, "Hz", "carrier frequency", gt=0)
    speed_of_light_m_s: float = quantity(SPEED_OF_LIGHT_M_S, "m/s", "speed of light", gt=0)
    distance_range_m: ClassVar[tuple[float, float]] = (1.0, np.inf)
    los_correlation_m: ClassVar[float] = 50.0  # of a state that never changes
    rician_k_db: ClassVar[tuple[float, float] | None] = None

    def loss_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 25.0,
        height_device_m: float = 1.5,
        chance: ArrayLike = 0.0,  # noqa: ARG002 - nothing is left to chance
    ) -> FloatArray:
        """Path loss 20 log10(4 pi d3D carrier / c) [dB], the same with and without LOS; ValueError below 1 m."""
        distance, _ = link(self, distance_2d_m, los)
        slant = slant_m(distance, height_site_m, height_device_m)
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
        return two_values(distance_2d_m, los, 0.0, 0.0)

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
    los_correlation_m: ClassVar[float] = 50.0  # of a state that never changes
    rician_k_db: ClassVar[tuple[float, float] | None] = None

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

    def loss_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 25.0,
        height_device_m: float = 1.5,
        chance: ArrayLike = 0.0,  # noqa: ARG002 - nothing is left to chance
    ) -> FloatArray:
        """Path loss PL0 + 10 n log10(d3D / d0) [dB], the same with and without LOS; ValueError below d0."""
        distance, _ = link(self, distance_2d_m, los)
        start = self.reference_loss_db
        if start is None:
            start = float(20.0 * np.log10(4.0 * np.pi * self.reference_distance_m * self.carrier_hz / SPEED_OF_LIGHT_M_S))
        slant = slant_m(distance, height_site_m, height_device_m)
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
        return two_values(distance_2d_m, los, self.sigma_db, self.sigma_db)

    def shadowing_correlation_m(self, *, los: bool) -> float:  # noqa: ARG002
        """Correlation distance of the shadowing [m]: ``correlation_m``."""
        return self.correlation_m
