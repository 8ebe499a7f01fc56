"""Trainers: what a device does between download and upload. The tensor code is in ``descent``."""

from __future__ import annotations

from typing import final

import numpy as np

from cosim.component import Component, quantity
from cosim.interfaces import IntArray
from cosim.learn.roles import LocalResult, LocalTask, Steps


@final
class SGD(Component):
    """Alternating mini-batch SGD: tau_v steps on the personal part with u frozen, then tau_u steps on u with v frozen.

        g <- dF/dw + weight_decay w,   b <- momentum b + g,   w <- w - learning_rate b        (b = 0 before each phase)

    Masked entries of u stay exactly zero. Schedule: FedAlt of Pillutla et al., "Federated Learning with Partial Model
    Personalization", ICML 2022. Loss: mean cross-entropy of the mini-batch. Mini-batches come
    from random permutations of the device's samples, one after another; a device with fewer than ``batch_size`` samples
    takes all of them in every step. Without a personal part there are global steps only (FedAvg).
    """

    learning_rate: float = quantity(0.05, "", "step length", gt=0)
    batch_size: int = quantity(32, "", "samples in a mini-batch", ge=1, le=1_000_000)
    personal_steps: int = quantity(5, "", "tau_v: steps on the personal part in each round", ge=0, le=1_000_000)
    global_steps: int = quantity(10, "", "tau_u: steps on the global part in each round", ge=1, le=1_000_000)
    momentum: float = quantity(0.0, "", "heavy-ball momentum; starts anew in each round", ge=0, lt=1)
    weight_decay: float = quantity(0.0, "", "factor of the L2 penalty's gradient", ge=0)

    def steps(self, samples: IntArray, *, personal: bool) -> Steps:
        """Steps of devices with so many training samples (n,)."""
        same = np.ones_like(samples)
        return Steps(same * (self.personal_steps if personal else 0), same * self.global_steps, 0 * same)

    def train(self, task: LocalTask, rng: np.random.Generator) -> LocalResult:
        """One device's local work; a pure function of its arguments, on one thread."""
        from cosim.learn.descent import descend

        return descend(self, task, rng)


def minibatches(samples: int, batch_size: int, steps: int, rng: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Positions (steps, min(batch_size, samples)) in a device's data: slices of permutations that follow one another."""
    batch = min(batch_size, samples)
    rounds = -(-steps * batch // samples)
    order = np.concatenate([rng.permutation(samples) for _ in range(rounds)]) if rounds else np.empty(0, np.int64)
    return order[: steps * batch].reshape(steps, batch)
