"""Policies under which a round ends for everybody at once: updates that come later are discarded."""

from __future__ import annotations

from typing import Annotated, final

from pydantic import Field

from cosim.component import Component, quantity
from cosim.policy.state import Decision, RoundState


@final
class WaitAll(Component):
    """Wait for every selected device that can still arrive."""

    def on_event(self, state: RoundState) -> Decision:
        """Aggregate when nobody is outstanding."""
        return Decision(aggregate=state.outstanding == 0)


@final
class RelativeToPlan(Component):
    """A deadline as a multiple of the round's planned latency."""

    relative_to_plan: float = quantity(..., "", "deadline over planned latency of the round", gt=0)


@final
class Deadline(Component):
    """Aggregate at the deadline with whoever has arrived, or earlier when nobody is outstanding.

    An update that comes later is discarded and its device recorded as late; the device's personal part
    goes on. A device still computing at the deadline finishes that work before it begins the next round's.
    """

    after: Annotated[float, Field(gt=0)] | RelativeToPlan = quantity(
        RelativeToPlan(relative_to_plan=1.0), "s", "seconds since the round began, or {relative_to_plan: factor}"
    )

    def on_event(self, state: RoundState) -> Decision:
        """Aggregate when nobody is outstanding or the deadline has come."""
        after_s = self.after.relative_to_plan * state.planned_latency_s if isinstance(self.after, RelativeToPlan) else self.after
        end_s = state.start_s + after_s
        return Decision(aggregate=state.outstanding == 0 or state.now_s >= end_s, wake_at_s=end_s)


@final
class FirstM(Component):
    """Aggregate as soon as the first m updates have arrived, or nobody is outstanding; more devices are asked than are needed.

    Updates that come later are discarded, as under ``deadline``. Sources: backup workers of Chen et al., "Revisiting
    Distributed Synchronous SGD", 2016 (arXiv 1604.00981); over-selection of Bonawitz et al., "Towards Federated Learning at
    Scale", MLSys 2019, section 2.2.
    """

    count: int = quantity(10, "", "m: updates after which the round ends", ge=1)

    def on_event(self, state: RoundState) -> Decision:
        """Aggregate at the m-th arrival, or when nobody is outstanding."""
        return Decision(aggregate=state.arrived >= self.count or state.outstanding == 0)
