"""Devices inside buildings: outdoor-to-indoor penetration loss of 3GPP TR 38.901 V17, section 7.4.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from cosim.component import Component, quantity
from cosim.units import from_db, to_db

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray
    from cosim.rng import Streams


@final
class Buildings(Component):
    """Some devices are indoors, for good: PL = PL_b + PL_tw + PL_in + N(0, sigma_P^2), table 7.4.3-2.

    PL_b: the outdoor path loss over the whole distance, its line of sight that of the wall (d2D - d_in). With f in GHz:

        low  loss  PL_tw = 5 - 10 log10(0.3 10^(-L_glass/10) + 0.7 10^(-L_concrete/10)),      sigma_P = 4.4 dB
        high loss  PL_tw = 5 - 10 log10(0.7 10^(-L_coated/10) + 0.3 10^(-L_concrete/10)),     sigma_P = 6.5 dB
        L_glass = 2 + 0.2 f,  L_coated = 23 + 0.3 f,  L_concrete = 5 + 4 f,  PL_in = 0.5 d_in        (table 7.4.3-1)

    d_in: the lesser of two distances uniform up to ``depth_max_m``, one per device. The standard has low loss alone for RMa.
    Shadowing of indoor links has ``sigma_db`` (table 7.5-6) and, unlike the standard, which has 7 m in UMa and UMi, the
    correlation distance of the outdoor state.
    """

    indoor_probability: float = quantity(0.0, "", "probability that a device is indoors", ge=0, le=1)
    loss: Literal["low", "high"] = quantity("low", "", "low: plain glass; high: coated glass")
    depth_max_m: float = quantity(25.0, "m", "greatest distance from a device to the wall; 25 in UMa and UMi, 10 in RMa", ge=0)
    sigma_db: float = quantity(7.0, "dB", "standard deviation of the shadowing of indoor links; 7 in UMa and UMi, 8 in RMa", ge=0)

    def wall_loss_db(self, carrier_hz: float) -> float:
        """PL_tw of the wall [dB]."""
        carrier = carrier_hz / 1e9
        glass, share = (2.0 + 0.2 * carrier, 0.3) if self.loss == "low" else (23.0 + 0.3 * carrier, 0.7)
        concrete = 5.0 + 4.0 * carrier
        return 5.0 - float(to_db(share * from_db(-glass) + (1.0 - share) * from_db(-concrete)))

    def start(self, carrier_hz: float, devices: int, streams: Streams) -> Indoors:
        """Who is inside, how deep, and at what loss; stream ("indoor",), device k its k-th row of four draws."""
        from scipy.special import ndtri

        where, first, second, spread = streams.uniform("indoor", 4 * devices).reshape(devices, 4).T
        inside = where < self.indoor_probability
        depth = np.minimum(first, second) * self.depth_max_m * inside
        deviation = 4.4 if self.loss == "low" else 6.5
        loss = self.wall_loss_db(carrier_hz) + 0.5 * depth + deviation * ndtri(np.maximum(spread, 1e-300))
        return Indoors(inside, depth, np.where(inside, loss, 0.0))


@final
@dataclass(frozen=True, slots=True)
class Indoors:
    """Which devices are indoors, how far from the wall [m], and what that adds to their loss [dB]; arrays (devices,)."""

    inside: BoolArray
    depth_m: FloatArray
    loss_db: FloatArray
