"""Energy that devices spend, and what a round may cost them."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from cosim.component import Component, quantity
from cosim.interfaces import EnergyLimit
from cosim.units import dbm_to_w

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cosim.interfaces import FloatArray


@final
class EnergyBudget(Component):
    """What each device may spend on one round, computing and transmitting, and how far it can turn down power and clock for that.

    Only an allocator that chooses powers and clocks (``kkt_energy``) keeps the budget; with every other one the devices run at full
    power and clock, and the trace shows by how much they miss it. Largest are ``devices.transmit_power_dbm`` and each device's own clock.
    """

    budget_j: float | None = quantity(None, "J", "energy that a device may plan to spend on a round; null: any", gt=0)
    transmit_power_min_dbm: float = quantity(-40.0, "dBm", "least transmit power (TS 38.101-1, 6.3.1), or the largest if that is less")
    frequency_min_share: float = quantity(0.1, "", "least clock frequency, as a share of the device's own", gt=0, le=1)

    def limit(
        self,
        fixed_compute_s: FloatArray,
        frequency_hz: FloatArray,
        *,
        power_w: float,
        efficiency: float,
        capacitance: float,
        uplink_share: float = 1.0,
    ) -> EnergyLimit | None:
        """The limits of devices (n,) for an allocation problem; None without a budget.

        ``capacitance``: effective one over the mean straggler factor, so that capacitance x f^3 is energy per planned second.
        """
        if self.budget_j is None:
            return None
        same = np.ones_like(frequency_hz)
        return EnergyLimit(
            budget_j=self.budget_j * same,
            fixed_compute_s=fixed_compute_s,
            compute_power_w=capacitance * frequency_hz**3,
            frequency_hz=frequency_hz,
            frequency_min_hz=self.frequency_min_share * frequency_hz,
            power_w=power_w * same,
            power_min_w=min(power_w, float(dbm_to_w(self.transmit_power_min_dbm))) * same,
            efficiency=efficiency,
            uplink_share=uplink_share,
        )


def compute_energy_j(flops: ArrayLike, frequency_hz: ArrayLike, *, flops_per_cycle: float, capacitance: float) -> FloatArray:
    """Energy of a computation [J]: kappa C f^2 with C = flops / flops_per_cycle cycles.

    kappa: effective switched capacitance [J s^2 / cycle^3], the usual CMOS model (Burd and Brodersen 1996).
    A straggler factor does not enter: it stands for other work on the device, which is not charged here.
    """
    cycles = np.asarray(flops, np.float64) / flops_per_cycle
    return capacitance * cycles * np.asarray(frequency_hz, np.float64) ** 2


def transmit_energy_j(airtime_s: ArrayLike, *, power_w: ArrayLike, efficiency: float) -> FloatArray:
    """Energy of a transmission [J]: p / efficiency x airtime, airtime being the time in slots with bandwidth."""
    return np.asarray(power_w, np.float64) / efficiency * np.asarray(airtime_s, np.float64)
