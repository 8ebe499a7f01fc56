"""Batteries: what a device has left, which its own work uses up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

import numpy as np
from pydantic import model_validator

from cosim.component import Component, quantity

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray
    from cosim.rng import Streams


@final
class Battery(Component):
    """A store of energy that computing and transmitting empty and harvesting fills; a device whose battery is empty goes offline.

        charge(t) = min(capacity, charge(0) + harvest_w t - energy spent), not below 0

    Energy is taken off when a device's work ends, the harvest is added when a round does. A device whose charge does not last is gone at
    the moment at which what it had at its work's beginning is spent, and stays away until it has ``restart_share`` of its
    capacity again. State, not world: it depends on what the run asks of the device.
    """

    capacity_j: float = quantity(40e3, "J", "energy of a full battery", gt=0)
    charge_low: float = quantity(0.2, "", "least charge at t = 0, a share of the capacity; each is uniform in the range", ge=0, le=1)
    charge_high: float = quantity(1.0, "", "greatest charge at t = 0", ge=0, le=1)
    harvest_w: float = quantity(0.0, "W", "power that is harvested all the time", ge=0)
    restart_share: float = quantity(0.01, "", "share of the capacity below which a device does not begin a round's work", gt=0, le=1)

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.charge_low > self.charge_high:
            raise ValueError(f"charge_low {self.charge_low:g} is above charge_high {self.charge_high:g}")
        return self

    def initial_j(self, devices: int, streams: Streams) -> FloatArray:
        """Charge of devices 0 .. devices-1 at t = 0 [J]; stream ("battery",), device k its k-th draw."""
        share = self.charge_low + streams.uniform("battery", devices) * (self.charge_high - self.charge_low)
        return np.asarray(share * self.capacity_j)

    def awake(self, charge_j: FloatArray) -> BoolArray:
        """Which devices (n,) have enough to begin."""
        return charge_j >= self.restart_share * self.capacity_j

    def time_to_restart_s(self, charge_j: FloatArray) -> FloatArray:
        """How long devices (n,) must harvest before they can begin [s]; inf without a harvest."""
        missing_j = np.maximum(self.restart_share * self.capacity_j * (1 + 1e-9) - charge_j, 0.0)
        never = np.where(missing_j > 0, np.inf, 0.0)
        return missing_j / self.harvest_w if self.harvest_w > 0 else never

    def after(self, charge_j: FloatArray, spent_j: FloatArray, elapsed_s: float) -> FloatArray:
        """Charge (n,) when ``elapsed_s`` have passed and ``spent_j`` (n,) have been taken off [J]."""
        return np.clip(charge_j + self.harvest_w * elapsed_s - spent_j, 0.0, self.capacity_j)
