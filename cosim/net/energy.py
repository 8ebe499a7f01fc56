"""Energy that devices spend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cosim.interfaces import FloatArray


def compute_energy_j(flops: ArrayLike, frequency_hz: ArrayLike, *, flops_per_cycle: float, capacitance: float) -> FloatArray:
    """Energy of a computation [J]: kappa C f^2 with C = flops / flops_per_cycle cycles.

    kappa: effective switched capacitance [J s^2 / cycle^3], the usual CMOS model (Burd and Brodersen 1996).
    A straggler factor does not enter: it stands for other work on the device, which is not charged here.
    """
    cycles = np.asarray(flops, np.float64) / flops_per_cycle
    return capacitance * cycles * np.asarray(frequency_hz, np.float64) ** 2


def transmit_energy_j(airtime_s: ArrayLike, *, power_w: float, efficiency: float) -> FloatArray:
    """Energy of a transmission [J]: p / efficiency x airtime, airtime being the time in slots with bandwidth."""
    return power_w / efficiency * np.asarray(airtime_s, np.float64)
