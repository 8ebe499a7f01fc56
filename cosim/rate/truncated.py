"""Shannon's bound attenuated, capped and cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import ArrayLike
from pydantic import model_validator

from cosim.component import Component, quantity
from cosim.rate.base import LN2, FloatArray, Rate, Side, Triple, arrays
from cosim.rate.shannon import Shannon

_SHANNON: Final = Shannon()


@final
class TruncatedShannon(Component):
    """Attenuated and truncated Shannon bound (3GPP TR 36.942, annex A.1): B min(c, alpha log2(1 + s/B)).

    The source says that nothing arrives below a least SNR, at more than B_cut = s / snr_min. A jump to zero is neither concave
    nor what a sender would do who can leave spectrum idle: here bandwidth beyond B_cut brings nothing more, R(B) = R(B_cut).
    The defaults are the source's example for the uplink (for the downlink: 0.6, -10 dB, 4.4 bit/s/Hz). Kinks at B_cap, where the
    cap c begins to bind, and at B_cut; R is straight up to B_cap.
    """

    attenuation: float = quantity(0.4, "", "factor alpha of the Shannon bound: implementation losses", gt=0, le=1)
    snr_min_db: float = quantity(-10.0, "dB", "least usable SNR")
    efficiency_max_bps_hz: float = quantity(2.0, "bit/s/Hz", "cap c of the spectral efficiency", gt=0)

    @model_validator(mode="after")
    def _cap_above_least(self) -> TruncatedShannon:
        if self.snr_cap <= self.snr_min:
            raise ValueError(
                f"efficiency_max_bps_hz {self.efficiency_max_bps_hz:g} bit/s/Hz is reached at an SNR of "
                f"{10 * np.log10(self.snr_cap):.4g} dB, which must be above snr_min_db {self.snr_min_db:g} dB"
            )
        return self

    @property
    def snr_min(self) -> float:
        """Least usable SNR, linear."""
        return float(10.0 ** (self.snr_min_db / 10.0))

    @property
    def snr_cap(self) -> float:
        """SNR at which the cap is reached: 2^(c / alpha) - 1."""
        return float(np.expm1(self.efficiency_max_bps_hz / self.attenuation * LN2))

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        b, s = arrays(bandwidth_hz, snr_hz)
        used = np.minimum(b, s / self.snr_min)
        return np.minimum(self.efficiency_max_bps_hz * used, self.attenuation * _SHANNON.value(used, s))

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        b, s = arrays(bandwidth_hz, snr_hz)
        cap, cut = s / self.snr_cap, s / self.snr_min
        straight = (b < cap) if side == "right" else (b <= cap)
        idle = (b >= cut) if side == "right" else (b > cut)
        curved = self.attenuation * _SHANNON.derivative(np.maximum(b, cap), s)
        return np.where(straight, self.efficiency_max_bps_hz, np.where(idle, 0.0, curved))

    def sides(self, bandwidth_hz: FloatArray, snr_hz: FloatArray, hair: float) -> Triple:
        """R(B), left and right derivative; a share within ``hair`` (relative) of a kink is at the kink. 0 < B < inf."""
        cap, cut = snr_hz / self.snr_cap, snr_hz / self.snr_min
        curve, slope, _ = _SHANNON.expansion(np.minimum(np.maximum(bandwidth_hz, cap), cut), snr_hz)
        value = np.minimum(self.efficiency_max_bps_hz * bandwidth_hz, self.attenuation * curve)
        slope, less, more = self.attenuation * slope, bandwidth_hz * (1.0 - hair), bandwidth_hz * (1.0 + hair)
        left = np.where(less <= cap, self.efficiency_max_bps_hz, np.where(less <= cut, slope, 0.0))
        return value, left, np.where(more < cap, self.efficiency_max_bps_hz, np.where(more < cut, slope, 0.0))

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        r, s = arrays(rate_bps, snr_hz)
        cut = s / self.snr_min
        curved = np.minimum(_SHANNON.inverse(r / self.attenuation, s), cut)
        bandwidth = np.where(r <= self.value(s / self.snr_cap, s), r / self.efficiency_max_bps_hz, curved)
        return np.where(r > self.supremum(s), np.inf, bandwidth)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return self.value(np.inf, snr_hz)

    def curved(self) -> Scaled:
        """The smooth rate of which this one takes the chord over [0, B_cap]: alpha times Shannon's."""
        return Scaled(_SHANNON, self.attenuation)

    def piece(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Ends [Hz] of the straight piece that holds B; both are B where R is curved."""
        b, s = arrays(bandwidth_hz, snr_hz)
        cap = s / self.snr_cap
        return np.where(b < cap, 0.0, b), np.where(b < cap, cap, b)


@final
@dataclass(frozen=True)
class Scaled:
    """A rate times a constant factor > 0."""

    rate: Rate
    factor: float

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return self.factor * self.rate.value(bandwidth_hz, snr_hz)

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        return self.factor * self.rate.derivative(bandwidth_hz, snr_hz, side=side)

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return self.rate.inverse(np.asarray(rate_bps, np.float64) / self.factor, snr_hz)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return self.factor * self.rate.supremum(snr_hz)
