"""What a scenario's mobility reads from files, looked at before anything is simulated."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cosim.rng import Streams

if TYPE_CHECKING:
    from cosim.interfaces import Mobility


def check_traces(mobility: Mobility, extent_m: tuple[float, float], devices: int) -> None:
    """Read the trace that a mobility, or the leader of a group, is made of; ScenarioError as from ``Recorded.start``."""
    if not sys.modules.keys() & {"cosim.net.group", "cosim.net.recorded"}:
        return  # a scenario that names one of these kinds has loaded it
    from cosim.net.group import Group
    from cosim.net.recorded import Recorded

    if isinstance(mobility, Group):
        check_traces(mobility.leader, extent_m, mobility.groups)
    elif isinstance(mobility, Recorded):
        mobility.start(extent_m, devices, Streams(0))  # draws nothing
