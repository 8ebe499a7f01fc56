"""Which of the devices that are there take part in a round's problem."""

from __future__ import annotations

from typing import final

import numpy as np

from cosim.alloc.closed_forms import bandwidth_range_hz
from cosim.alloc.kkt import largest_set
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


@final
class BestChannel(Component):
    """The ``count`` devices with the highest planned SNR (of equal ones, the lowest ids); all of them where there are not so many.

    Source: the rule "best channel" of Amiri et al., IEEE TWC 2021 (arXiv 2001.10402). Devices with bad channels never take part.
    """

    count: int = quantity(10, "", "number of devices that take part in a round", ge=1)

    def select(self, problem: AllocationProblem, rng: np.random.Generator) -> BoolArray:  # noqa: ARG002
        """Mask (n,) with min(count, n) True; draws no random numbers."""
        mask = np.zeros(problem.device_ids.shape, np.bool_)
        mask[np.lexsort((problem.device_ids, -problem.snr_hz))[: self.count]] = True
        return mask


@final
class Feasible(Component):
    """As many devices as the band can serve within the threshold, each at its prune_max: in ascending order of B_min, then of id.

    The set that ``kkt`` would serve; but the others are not part of the round's problem, so they count neither in its objective
    nor against its feasibility.
    """

    def select(self, problem: AllocationProblem, rng: np.random.Generator) -> BoolArray:  # noqa: ARG002
        """Mask (n,); draws no random numbers."""
        return largest_set(problem, bandwidth_range_hz(problem)[0])
