"""Aggregators: how the server merges the uploads of devices that kept different parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, final

import numpy as np

from cosim.component import Component, quantity
from cosim.errors import ScenarioError
from cosim.interfaces import FloatArray, IntArray
from cosim.learn.layers import Vector
from cosim.learn.roles import Merged, SharedUpdate


@final
class KeptAverage(Component):
    """Each shared parameter is averaged over the devices that kept it; one that nobody kept keeps its old value.

        u_i <- sum_k w_k m_ki u_ki / sum_k w_k m_ki

    Source: the aggregation rule of Zhou et al., "Every Parameter Matters", NeurIPS 2023. Sums are taken in float64, in the order of the
    updates. Parameters that are never pruned count as kept by everyone.
    """

    weighting: Literal["samples", "uniform"] = quantity(
        "samples", "", "w_k: proportional to the device's training samples, or equal for all that have some"
    )

    def weights(self, samples: IntArray) -> FloatArray:
        """w_k (n,), summing to 1; 0 for a device without samples. Raises ScenarioError if no device has any."""
        if not samples.any():
            raise ScenarioError("no device has any training samples: see learning.partition")
        share = samples.astype(np.float64) if self.weighting == "samples" else (samples > 0).astype(np.float64)
        weights: FloatArray = share / share.sum()
        return weights

    def merge(self, shared: Vector, updates: Iterable[SharedUpdate]) -> Merged:
        """The new u; ``updates`` are consumed one at a time, so they need not be in memory together."""
        total, some, keepers = np.zeros(len(shared)), np.zeros(len(shared)), np.zeros(len(shared), np.int64)
        everyone, count = 0.0, 0  # mass and number of updates that keep everything
        for update in updates:  # as they come: one after another, in the order of the devices
            total += update.weight * update.shared
            if update.mask.all():
                everyone, count = everyone + update.weight, count + 1
                continue
            kept = slice(len(update.mask))
            some[kept] += update.weight * update.mask
            keepers[kept] += update.mask
            some[len(update.mask) :] += update.weight
            keepers[len(update.mask) :] += 1
        mass = some + everyone
        keepers += count
        merged = np.divide(total, mass, out=shared.astype(np.float64), where=mass > 0)
        return Merged(merged.astype(np.float32), keepers)
