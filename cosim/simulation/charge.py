"""Batteries in a simulation: who has charge enough, how long it lasts, and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.net.energy import compute_energy_j
from cosim.simulation.rows import energies

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray
    from cosim.simulation.parts import Parts
    from cosim.simulation.records import State, Works


def awake(parts: Parts, state: State) -> BoolArray:
    """Which devices have charge enough to begin (devices,)."""
    battery = parts.devices.battery
    return np.ones(parts.devices.count, np.bool_) if battery is None else battery.awake(state.battery_j)


def next_online_s(parts: Parts, state: State) -> float:
    """When it is worth asking again whether anybody is online, if nobody is at ``state.clock_s`` [s]; inf if never."""
    battery, now_s = parts.devices.battery, state.clock_s
    change_s = parts.world.next_change_s(now_s, parts.device_ids)
    if battery is None:
        return float(np.min(change_s))
    charged_s = now_s + battery.time_to_restart_s(state.battery_j)
    there = parts.world.online(now_s, parts.device_ids)
    return float(np.min(np.where(there, charged_s, np.where(np.isfinite(charged_s), change_s, np.inf))))


def drain(parts: Parts, works: Works, charge_j: FloatArray) -> None:
    """How long charges (m,) last: a device whose charge does not last leaves while it computes, or has a limit of airtime."""
    if parts.devices.battery is None:
        return
    compute_j = compute_energy_j(
        works.flops, works.frequency_hz, flops_per_cycle=parts.compute.flops_per_cycle, capacitance=parts.compute.capacitance
    )
    share = np.divide(charge_j, compute_j, out=np.full_like(compute_j, np.inf), where=compute_j > 0)
    empty_s = np.where(share < 1.0, works.compute_start_s + np.minimum(share, 1.0) * works.compute_s, np.inf)
    works.departure_s = np.minimum(works.departure_s, empty_s)
    works.airtime_limit_s = np.maximum(charge_j - compute_j, 0.0) / (works.transmit_power_w / parts.devices.amplifier_efficiency)


def charge(parts: Parts, state: State, elapsed_s: float, ended: Works | None = None) -> None:
    """Batteries after a while in which some works have ended."""
    battery = parts.devices.battery
    if battery is None:
        return
    spent_j = np.zeros(parts.devices.count)
    if ended is not None:
        spent_j[ended.device_ids] = sum(energies(parts, ended).values())
    state.battery_j = battery.after(state.battery_j, spent_j, elapsed_s)
