"""Power control of the uplink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.component import Component, quantity
from cosim.rate import Rate, Side
from cosim.units import dbm_to_w

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cosim.interfaces import FloatArray

_BLOCK_HZ: Final = 180e3


@final
class OpenLoop(Component):
    """Open-loop power control of the PUSCH: P = min(P_max, P_0 + 10 lg(2^mu M) + alpha PL) [dBm] for M resource blocks.

    Source: TS 38.213, 7.1.1, without closed loop and MCS-dependent parts. 2^mu M = b / 180 kHz, b: the bandwidth held. PL is the loss
    between the antennas' feeds, path loss and shadowing less antenna gains, as a device measures it: without small-scale fading.
    """

    p0_dbm: float = quantity(-80.0, "dBm", "received power per 180 kHz to aim at (P_0), at full compensation")
    alpha: float = quantity(1.0, "", "how much of the path loss is compensated", ge=0, le=1)

    def start(self, max_power_dbm: float, snr_per_gain_hz: float) -> PowerLaw:
        """The law for devices of this greatest power, with which a gain of 1 gives ``snr_per_gain_hz`` in 1 Hz."""
        aim = float(dbm_to_w(self.p0_dbm) / dbm_to_w(max_power_dbm)) / _BLOCK_HZ
        return PowerLaw(aim * snr_per_gain_hz, self.alpha, snr_per_gain_hz)


@final
@dataclass(frozen=True, slots=True)
class PowerLaw:
    """Open-loop power control in terms of SNR. A device with mean gain g and bandwidth b uses

        s_used / g = min(s_max, aim b g^-alpha),   s_max: SNR in 1 Hz per gain at its greatest power.

    ``aim`` [1]: SNR per gain and Hz at alpha = 0; ``snr_per_gain_hz``: s_max of the devices.
    """

    aim: float
    alpha: float
    snr_per_gain_hz: float

    def per_hz(self, mean_gain: FloatArray) -> FloatArray:
        """Share of the greatest power per Hz held: aim g^-alpha / s_max."""
        return np.asarray(self.aim / self.snr_per_gain_hz * mean_gain**-self.alpha)

    def planning_rate(self, rate: Rate) -> Rate:
        """A rate at greatest power turned into the one under control."""
        return Controlled(rate, self)


@final
@dataclass(frozen=True, slots=True)
class Controlled:
    """R(B, min(s, c B)): a rate whose sender aims at an SNR c until its power is all used, B* = s / c. s: at the greatest power.

    c = aim g^(1 - alpha), g = s / s_max. Straight up to B*, with slope R(1, c) because R(t B, t s) = t R(B, s); then the rate itself:
    increasing and concave.
    """

    rate: Rate
    law: PowerLaw

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s, c = self._arrays(bandwidth_hz, snr_hz)
        return self.rate.value(b, np.minimum(s, np.where(np.isfinite(b), c * b, np.inf)))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        b, s, c = self._arrays(bandwidth_hz, snr_hz)
        straight = (c * b < s) if side == "right" else (c * b <= s)
        return np.where(straight & (s > 0), self.rate.value(1.0, c), self.rate.derivative(b, s, side=side))

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        r, s, c = self._arrays(rate_bps, snr_hz)
        slope = self.rate.value(1.0, c)
        straight = np.divide(r, slope, out=np.full(r.shape, np.inf), where=slope > 0)
        curved = self.rate.inverse(r, s)
        return np.where(r <= 0, 0.0, np.where(c * straight <= s, straight, curved))

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return self.rate.supremum(snr_hz)

    def _arrays(self, first: ArrayLike, snr_hz: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        b, s = np.broadcast_arrays(np.asarray(first, np.float64), np.asarray(snr_hz, np.float64))
        return b, s, self.law.aim * (s / self.law.snr_per_gain_hz) ** (1.0 - self.law.alpha)
