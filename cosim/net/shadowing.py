"""Shadowing: what buildings and hills add to the path loss, as a random field around each site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from cosim.component import Component, quantity
from cosim.net.fields import RandomField, exponential_field

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray, PathLoss
    from cosim.rng import Streams


@final
class NoShadowing(Component):
    """No shadowing: the path loss is all."""

    def start(self, pathloss: PathLoss, site: int, streams: Streams) -> ClearField:  # noqa: ARG002 - the protocol's arguments
        """The field that is 0 dB everywhere."""
        return ClearField()

    def drift_db(
        self,
        pathloss: PathLoss,  # noqa: ARG002 - the protocol's arguments
        los: BoolArray,  # noqa: ARG002
        sigma_db: FloatArray,  # noqa: ARG002
        lag_m: FloatArray,
        window_m: FloatArray,  # noqa: ARG002
    ) -> FloatArray:
        """0 dB (n,): nothing drifts."""
        return np.zeros_like(lag_m)


@final
class CorrelatedShadowing(Component):
    """Log-normal shadowing, correlated in space: sigma g(x, y) in dB with autocorrelation exp(-d/d_corr).

    Sources: 3GPP TR 38.901 V17 section 7.4.4 and table 7.5-6; Gudmundson 1991. LOS and NLOS have separate
    fields. Two devices at one place see one value, near ones see near values.
    """

    sigma_db: float | None = quantity(None, "dB", "standard deviation; none: that of the path-loss model", ge=0)
    correlation_m: float | None = quantity(None, "m", "correlation distance; none: that of the path-loss model", gt=0)

    def start(self, pathloss: PathLoss, site: int, streams: Streams) -> ShadowField:
        """The fields around ``site``; streams ("shadowing", site, 0 for NLOS and 1 for LOS)."""
        nlos, los = (
            exponential_field(
                self.correlation_m or pathloss.shadowing_correlation_m(los=sight), streams.generator("shadowing", site, sight)
            )
            for sight in (False, True)
        )
        return ShadowField(los=los, nlos=nlos, sigma_db=self.sigma_db)

    def drift_db(self, pathloss: PathLoss, los: BoolArray, sigma_db: FloatArray, lag_m: FloatArray, window_m: FloatArray) -> FloatArray:
        """Sigma [dB] times ``cosim.net.averaging.drift_deviation``, on a straight way in an unchanged state of sight; arrays (n,)."""
        from cosim.net.averaging import drift_deviation

        lengths = [self.correlation_m or pathloss.shadowing_correlation_m(los=sight) for sight in (False, True)]
        correlation_m = np.where(los, lengths[1], lengths[0])
        return (sigma_db if self.sigma_db is None else self.sigma_db) * drift_deviation(lag_m / correlation_m, window_m / correlation_m)


@final
@dataclass(frozen=True, slots=True)
class ClearField:
    """The shadowing field of ``NoShadowing``."""

    def loss_db(self, x_m: FloatArray, y_m: FloatArray, los: BoolArray, sigma_db: FloatArray) -> FloatArray:  # noqa: ARG002
        """Additional loss 0 dB in the shape of ``x_m``."""
        return np.zeros_like(x_m)


@final
@dataclass(frozen=True, slots=True)
class ShadowField:
    """The shadowing fields of ``CorrelatedShadowing``; ``sigma_db`` replaces the path-loss model's unless None."""

    los: RandomField
    nlos: RandomField
    sigma_db: float | None

    def loss_db(self, x_m: FloatArray, y_m: FloatArray, los: BoolArray, sigma_db: FloatArray) -> FloatArray:
        """Additional loss [dB]; arrays of one shape."""
        unit = np.empty(np.shape(x_m))
        for state, field in ((los, self.los), (~los, self.nlos)):
            unit[state] = field.at(x_m[state], y_m[state])
        return unit * (sigma_db if self.sigma_db is None else self.sigma_db)
