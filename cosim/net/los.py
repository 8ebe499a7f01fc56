"""The line-of-sight state of a link as a function of where the device stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from cosim.net.fields import RandomField, gaussian_field

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray
    from cosim.rng import Streams


@final
@dataclass(frozen=True, slots=True)
class SightField:
    """Which places around a site see it: g(x, y) < F, with F = Phi^-1(P_LOS), Phi the normal distribution function.

    g is a unit normal field with autocorrelation exp(-(d/d_corr)^2), d_corr the distance of 3GPP TR 38.901
    V17 table 7.6.3.1-2. It must be smooth: behind a field with exponential autocorrelation the state would
    change infinitely often in any short walk. This one crosses a level F where P_LOS stays the same
    sqrt(2) e^(-F^2/2) / (pi d_corr) times per metre (Rice 1945).

    ``softness``: 0 for a state that is one or the other; sqrt(lambda / 20 m) for the smooth transition of section
    7.6.3.3, where w goes from 0 to 1 as arctan((F - g) / softness) does.
    """

    field: RandomField
    softness: float = 0.0

    def weight(self, x_m: FloatArray, y_m: FloatArray, probability: FloatArray) -> FloatArray:
        """Weight w of line of sight in [0, 1] where its ``probability`` is P_LOS; arrays of one shape. In sight: w > 1/2."""
        from scipy.special import ndtri

        margin = ndtri(probability) - self.field.at(x_m, y_m)  # +-inf where sight is certain
        if self.softness == 0.0:
            return (margin > 0.0).astype(np.float64)
        return np.asarray(0.5 + np.arctan(margin / self.softness) / np.pi)


def sight_field(correlation_m: float, site: int, streams: Streams, softness: float = 0.0) -> SightField:
    """The field around ``site`` with correlation distance ``correlation_m`` [m]; stream ("los", site)."""
    return SightField(gaussian_field(correlation_m, streams.generator("los", site)), softness)


def soft_transition(wavelength_m: float) -> float:
    """Softness of TR 38.901 V17, section 7.6.3.3: LOS_soft = 1/2 + arctan(sqrt(20 m / lambda) (G + F)) / pi."""
    return float(np.sqrt(wavelength_m / 20.0))
