"""The line-of-sight state of a link as a function of where the device stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from scipy.special import ndtr

from cosim.net.fields import RandomField, gaussian_field

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray
    from cosim.rng import Streams


@final
@dataclass(frozen=True, slots=True)
class SightField:
    """Which places around a site see it: Phi(g(x, y)) < P_LOS, Phi the normal distribution function.

    g is a unit normal field with autocorrelation exp(-(d/d_corr)^2), d_corr the distance of 3GPP TR 38.901
    V17 table 7.6.3.1-2. It must be smooth: behind a field with exponential autocorrelation the state would
    change infinitely often in any short walk.
    """

    field: RandomField

    def visible(self, x_m: FloatArray, y_m: FloatArray, probability: FloatArray) -> BoolArray:
        """Whether points see the site, where ``probability`` is P_LOS there; arrays of one shape."""
        return (ndtr(self.field.at(x_m, y_m)) < probability) | (probability >= 1.0)


def sight_field(correlation_m: float, site: int, streams: Streams) -> SightField:
    """The field around ``site`` with correlation distance ``correlation_m`` [m]; stream ("los", site)."""
    return SightField(gaussian_field(correlation_m, streams.generator("los", site)))
