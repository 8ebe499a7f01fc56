"""Which of the devices that are there take part in a round's problem."""

from __future__ import annotations

from typing import final

import numpy as np

from cosim.component import Component, quantity
from cosim.interfaces import AllocationProblem, BoolArray


@final
class All(Component):
    """Every device takes part."""

    def select(self, problem: AllocationProblem, rng: np.random.Generator) -> BoolArray:  # noqa: ARG002
        """Mask (n,), all True."""
        return np.ones(problem.device_ids.shape, np.bool_)


@final
class Random(Component):
    """``count`` devices drawn without replacement, each set equally likely; all of them where there are not so many."""

    count: int = quantity(10, "", "number of devices that take part in a round", ge=1)

    def select(self, problem: AllocationProblem, rng: np.random.Generator) -> BoolArray:
        """Mask (n,) with min(count, n) True."""
        devices = problem.device_ids.size
        mask = np.zeros(devices, np.bool_)
        mask[rng.choice(devices, size=min(self.count, devices), replace=False)] = True
        return mask
