"""Conversions between the linear SI units used inside the code and the decibels of scenarios and reports."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

SPEED_OF_LIGHT_M_S: Final = 299_792_458.0
THERMAL_NOISE_DBM_HZ: Final = -174.0
"""Thermal noise density at 290 K, rounded as in 3GPP documents [dBm/Hz]."""


def from_db(value_db: ArrayLike) -> NDArray[np.float64]:
    """Linear ratio of a level in dB: 10^(x/10)."""
    return np.power(10.0, np.asarray(value_db, dtype=np.float64) / 10.0)


def to_db(ratio: ArrayLike) -> NDArray[np.float64]:
    """Level in dB of a linear ratio >= 0: 10 log10(x); 0 gives -inf."""
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(np.asarray(ratio, dtype=np.float64))


def dbm_to_w(power_dbm: ArrayLike) -> NDArray[np.float64]:
    """Power in W of a level in dBm."""
    return from_db(np.asarray(power_dbm, dtype=np.float64) - 30.0)
