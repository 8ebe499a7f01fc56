"""When a round ends, and when a run does: pure functions of what happened so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Protocol, final

import numpy as np
from pydantic import Field

from cosim.component import Component, quantity
from cosim.interfaces import Evaluation


@dataclass(frozen=True, slots=True)
class RoundState:
    """What the server knows of its round. ``gone``: selected devices that will not arrive any more."""

    start_s: float
    now_s: float
    planned_latency_s: float
    selected: int
    arrived: int
    gone: int

    @property
    def outstanding(self) -> int:
        """Selected devices that may still arrive."""
        return self.selected - self.arrived - self.gone


@dataclass(frozen=True, slots=True)
class Decision:
    """Aggregate now, or be asked again at ``wake_at_s`` or at the next event, whichever comes first."""

    aggregate: bool
    wake_at_s: float = math.inf


class Policy(Protocol):
    """Role ``policy``: asked when a round starts, when a device arrives or is gone, and at ``wake_at_s``."""

    def on_event(self, state: RoundState) -> Decision: ...


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
class Stop(Component):
    """What ends a run before its last round: whichever comes first, looked at when a round has ended and was evaluated."""

    accuracy: float | None = quantity(None, "", "mean accuracy over the devices (column accuracy_mean); null: none", gt=0, le=1)
    global_accuracy: float | None = quantity(None, "", "accuracy of the global model (column global_accuracy); null: none", gt=0, le=1)
    time_s: float | None = quantity(None, "s", "simulated time; the round in which it passes is the last one; null: none", gt=0)

    def time_is_up(self, now_s: float) -> bool:
        """Whether the simulated time has been used."""
        return self.time_s is not None and now_s >= self.time_s

    def reached(self, now_s: float, evaluation: Evaluation) -> bool:
        """Whether the run ends now; accuracies that are NaN reach nothing."""
        known = evaluation.accuracy[np.isfinite(evaluation.accuracy)]
        mean = float(known.mean()) if known.size else np.nan
        accurate = self.accuracy is not None and mean >= self.accuracy
        return (
            self.time_is_up(now_s) or accurate or (self.global_accuracy is not None and evaluation.global_accuracy >= self.global_accuracy)
        )
