"""What a simulation is made of: the components of a scenario, joined by ``cosim.build``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cosim.units import THERMAL_NOISE_DBM_HZ, dbm_to_w, from_db

if TYPE_CHECKING:
    from cosim.interfaces import CSI, Allocator, Compute, Fading, FloatArray, IntArray, Learner, Selection, Uplink
    from cosim.net.backhaul import Backhaul
    from cosim.net.cells import Cells
    from cosim.net.downlink import Downlink
    from cosim.net.energy import EnergyBudget
    from cosim.net.geometry import Devices, Site
    from cosim.net.many_sites import ManySites
    from cosim.net.power import PowerLaw
    from cosim.net.world import World
    from cosim.policy.state import Policy
    from cosim.policy.stop import Stop
    from cosim.rng import Streams


@dataclass(frozen=True, slots=True)
class Threshold:
    """Latency threshold T of a round: ``seconds``, or ``relative_to_unpruned`` times what an unpruned round needs."""

    seconds: float | None = None
    relative_to_unpruned: float | None = None


def uplink_snr_per_gain_hz(devices: Devices, site: Site, uplink: Uplink) -> float:
    """SNR in 1 Hz per unit of power gain: p / (N0 F Gamma) [Hz]."""
    noise_w_hz = dbm_to_w(THERMAL_NOISE_DBM_HZ + site.noise_figure_db)
    return float(dbm_to_w(devices.transmit_power_dbm) / noise_w_hz / uplink.gap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that a simulation asks while it runs. Parameters are frozen; ``learner`` holds the models.

    ``world``: around one site, or many; ``edge_rounds``: rounds after which the models of several servers are joined.
    """

    rounds: int
    streams: Streams
    devices: Devices
    sites: tuple[Site, ...]
    cells: Cells
    world: World | ManySites
    fading: Fading
    compute: Compute
    uplink: Uplink
    downlink: Downlink
    backhaul: Backhaul
    edge_rounds: int
    policy: Policy
    stop: Stop
    csi: CSI
    selection: Selection
    allocator: Allocator
    threshold: Threshold
    prune_max: float
    energy: EnergyBudget
    learner: Learner
    record_events: bool
    radio_interval_s: float | None

    @property
    def device_ids(self) -> IntArray:
        """All devices (n,)."""
        return np.arange(self.devices.count)

    @property
    def transmit_power_w(self) -> float:
        """Largest transmit power of a device [W]."""
        return float(dbm_to_w(self.devices.transmit_power_dbm))

    @property
    def uplink_snr_per_gain_hz(self) -> float:
        """SNR in 1 Hz per unit of power gain at site 0: p / (N0 F Gamma) [Hz]."""
        return uplink_snr_per_gain_hz(self.devices, self.sites[0], self.uplink)

    @property
    def noise_scale(self) -> FloatArray:
        """Noise of site 0 over that of each site (sites,)."""
        return np.array([from_db(self.sites[0].noise_figure_db - site.noise_figure_db) for site in self.sites], np.float64)

    def power_law(self, site: int = 0, over_noise: float = 0.0) -> PowerLaw | None:
        """Power control of the uplink to a site that hears so much interference over noise; None where everybody sends at full power."""
        control = self.devices.power_control
        snr_per_gain_hz = uplink_snr_per_gain_hz(self.devices, self.sites[site], self.uplink) / (1.0 + over_noise)
        return None if control is None else control.start(self.devices.transmit_power_dbm, snr_per_gain_hz)

    def downlink_snr_per_gain_hz(self, site: int) -> float:
        """The same for the downlink: site's power, device's noise figure."""
        noise_w_hz = dbm_to_w(THERMAL_NOISE_DBM_HZ + self.devices.noise_figure_db)
        return float(dbm_to_w(self.sites[site].transmit_power_dbm) / noise_w_hz / from_db(self.downlink.gap_db))

    def flops_per_s(self, frequency_hz: FloatArray) -> FloatArray:
        """Nominal speed of devices with these clocks [FLOP/s]."""
        return frequency_hz * self.compute.flops_per_cycle
