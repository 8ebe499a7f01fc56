"""Section ``cells``: what several sites have to do with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pydantic import Field

from cosim.component import Component, quantity
from cosim.net.handover import Handover

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cosim.interfaces import Mobility, Uplink
    from cosim.net.geometry import Area, Site


@final
class Cells(Component):
    """Every site is a cell with the same band. It matters only where there are several."""

    interference: bool = quantity(True, "", "devices of other cells are heard on the blocks that they use")
    handover: Handover = Field(default_factory=Handover, description="which site serves a device, and what a change costs")


def check_uplink(uplink: Uplink, sites: int) -> None:
    """Raises ValueError for an uplink that several cells cannot have."""
    if sites > 1:
        from cosim.net.cell_slots import in_a_cell

        in_a_cell(uplink)


def check_wrap_around(area: Area, sites: Sequence[Site], mobility: Mobility) -> None:
    """Raises ValueError where the plane is to wrap and cannot: sites that are no cluster, or positions on a map."""
    if not area.wrap_around:
        return
    from cosim.net.wrap import Torus

    Torus.of(sites)
    if _on_a_map(mobility):
        raise ValueError("positions of a recorded trace or of SUMO belong to a map, which does not repeat; set area.wrap_around to false")


def _on_a_map(mobility: Mobility) -> bool:
    from cosim.net.group import Group
    from cosim.net.recorded import Recorded
    from cosim.net.sumo import Sumo

    return isinstance(mobility, Recorded | Sumo) or (isinstance(mobility, Group) and _on_a_map(mobility.leader))
