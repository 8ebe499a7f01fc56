"""Server optimisers: what the server makes of the average of the updates.

All take Delta = average - u as the round's direction. A parameter that nobody kept has no direction: it and what is remembered of it
stay as they are. Computed in float64. Source of the family: Reddi et al., "Adaptive Federated Optimization", ICLR 2021.
"""

from __future__ import annotations

from typing import final

import numpy as np

from cosim.component import Component, quantity
from cosim.interfaces import FloatArray
from cosim.learn.layers import Vector
from cosim.learn.roles import Merged


@final
class FedAvg(Component):
    """u <- average. Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017."""

    def start(self, parameters: int) -> FloatArray:
        """Nothing is remembered: (0, N + M)."""
        return np.zeros((0, parameters))

    def step(self, shared: Vector, merged: Merged, memory: FloatArray) -> tuple[Vector, FloatArray]:  # noqa: ARG002 - role
        """The average itself."""
        return merged.shared, memory


@final
class FedAvgM(Component):
    """b <- momentum b + Delta,  u <- u + learning_rate b: with momentum 0 and learning rate 1 the same as ``fedavg``.

    Source: Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification",
    arXiv 1909.06335.
    """

    learning_rate: float = quantity(1.0, "", "the server's step length", gt=0)
    momentum: float = quantity(0.9, "", "share of the last round's step", ge=0, lt=1)

    def start(self, parameters: int) -> FloatArray:
        """The momentum b: (1, N + M)."""
        return np.zeros((1, parameters))

    def step(self, shared: Vector, merged: Merged, memory: FloatArray) -> tuple[Vector, FloatArray]:
        """The new u, and the new b."""
        covered, old = merged.keepers > 0, shared.astype(np.float64)
        velocity = np.where(covered, self.momentum * memory[0] + (merged.shared - old), memory[0])
        return np.where(covered, old + self.learning_rate * velocity, old).astype(np.float32), velocity[None]


@final
class FedAdam(Component):
    """m <- beta_1 m + (1 - beta_1) Delta,  v <- beta_2 v + (1 - beta_2) Delta^2,  u <- u + learning_rate m / (sqrt(v) + tau).

    m = 0 and v = tau^2 at first; no bias correction. Source: Reddi et al., ICLR 2021, Algorithm 2.
    """

    learning_rate: float = quantity(0.01, "", "the server's step length", gt=0)
    beta_1: float = quantity(0.9, "", "share of the past in the mean of Delta", ge=0, lt=1)
    beta_2: float = quantity(0.99, "", "share of the past in the mean of Delta^2", ge=0, lt=1)
    tau: float = quantity(1e-3, "", "degree of adaptivity: small is more", gt=0)

    def start(self, parameters: int) -> FloatArray:
        """The means m and v: (2, N + M)."""
        return np.stack([np.zeros(parameters), np.full(parameters, self.tau**2)])

    def step(self, shared: Vector, merged: Merged, memory: FloatArray) -> tuple[Vector, FloatArray]:
        """The new u, and the new m and v."""
        covered, old = merged.keepers > 0, shared.astype(np.float64)
        delta = merged.shared - old
        mean = self.beta_1 * memory[0] + (1.0 - self.beta_1) * delta
        square = self.beta_2 * memory[1] + (1.0 - self.beta_2) * np.square(delta)
        new = np.where(covered, old + self.learning_rate * mean / (np.sqrt(square) + self.tau), old)
        return new.astype(np.float32), np.where(covered, np.stack([mean, square]), memory)
