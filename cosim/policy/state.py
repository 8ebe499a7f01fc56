"""What a round policy is told, and what it decides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray, IntArray, Mixing


@dataclass(frozen=True, slots=True)
class AtWork:
    """Who takes part: arrays (m,) in ascending order of the devices.

    ``arrived``: the server has the update, and has not merged it yet; ``arrival_s``: since when [s], NaN before. ``gone``: it will not
    arrive any more. ``staleness``: aggregations since the device was given its model, 0 for who began with this round.
    ``speed_rank``: share of all devices whose processors are faster, in [0, 1).
    """

    device_ids: IntArray
    arrived: BoolArray
    arrival_s: FloatArray
    gone: BoolArray
    staleness: IntArray
    speed_rank: FloatArray


@dataclass(frozen=True, slots=True)
class RoundState:
    """What the server knows of its round.

    ``selected``: devices that take part, those of them included who have gone on from earlier rounds; ``arrived`` and ``gone``: how many
    of them have; ``devices``: who they are (policies that only count do without).
    """

    start_s: float
    now_s: float
    planned_latency_s: float
    selected: int
    arrived: int
    gone: int
    devices: AtWork | None = None

    @property
    def outstanding(self) -> int:
        """Devices that may still arrive."""
        return self.selected - self.arrived - self.gone


@dataclass(frozen=True, slots=True)
class Decision:
    """Aggregate now, or be asked again at ``wake_at_s`` or at the next event, whichever comes first.

    What follows counts only when ``aggregate`` is set. ``merge`` (m,): whose updates, of those that have arrived; None: all.
    ``mixing``: how they enter the model, its scale (m,); None: as they are, averaged. ``others_go_on``: who is not
    merged works on or waits for a later aggregation; otherwise its update is discarded.
    """

    aggregate: bool
    wake_at_s: float = math.inf
    merge: BoolArray | None = None
    mixing: Mixing | None = None
    others_go_on: bool = False


class Policy(Protocol):
    """Role ``policy``: asked when a round starts, when a device arrives or is gone, and at ``wake_at_s``."""

    def on_event(self, state: RoundState) -> Decision: ...
