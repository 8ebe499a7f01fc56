"""When a run ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from cosim.component import Component, quantity

if TYPE_CHECKING:
    from cosim.interfaces import Evaluation


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
