"""Many cells in a simulation: one uplink process for all of them, and the moments at which devices change theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.net.mcs import TransportBlocks
from cosim.net.transfer import Medium

if TYPE_CHECKING:
    from cosim.net.cell_slots import CellSlots
    from cosim.net.handover import Handovers
    from cosim.simulation.parts import Parts
    from cosim.simulation.records import Works


def air(parts: Parts) -> tuple[CellSlots | None, Medium]:
    """The uplink of all cells; the first is None where there is only one."""
    world = parts.world
    if len(parts.sites) == 1:
        return None, Medium(parts.uplink, world, world.subbands, law=parts.power_law(), streams=parts.streams)
    from cosim.net.cell_slots import CellSlots, in_a_cell
    from cosim.net.harq import SlotChances
    from cosim.net.many_sites import ManySites

    assert isinstance(world, ManySites)
    uplink = in_a_cell(parts.uplink)
    cells = CellSlots(
        uplink,
        world,
        noise_scale=parts.noise_scale,
        interference=parts.cells.interference,
        law=parts.power_law(),
        chances=SlotChances(parts.streams) if isinstance(uplink.rate, TransportBlocks) else None,
    )
    return cells, Medium(uplink, world, cells=cells)


def handovers_in(parts: Parts, after_s: float, until_s: float) -> Handovers | None:
    """All handovers in (after, until]; None where there is nowhere to go."""
    from cosim.net.many_sites import ManySites

    return parts.world.handovers(after_s, until_s) if isinstance(parts.world, ManySites) else None


def moments(parts: Parts, works: Works, after_s: float, until_s: float) -> list[tuple[float, int, bool]]:
    """Moments in (after, until] at which rows are handed over (True), or can send again after that (False): in order of time."""
    interruption_s, found = parts.cells.handover.interruption_s, []
    for begins, lag_s in ((True, 0.0), (False, interruption_s)):
        changes = handovers_in(parts, after_s - lag_s, until_s - lag_s)
        assert changes is not None
        row = np.minimum(works.device_ids.searchsorted(changes.device), len(works.device_ids) - 1)
        ours = works.device_ids[row] == changes.device
        found += [(t_s + lag_s, k, begins) for t_s, k in zip(changes.t_s[ours].tolist(), row[ours].tolist(), strict=True)]
    return sorted(found)
