"""Trainers: what a device does between download and upload. The tensor code is in ``descent``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self, final

import numpy as np
from pydantic import Field, model_validator

from cosim.component import Component, quantity
from cosim.interfaces import IntArray
from cosim.learn.roles import LocalResult, LocalTask, Pruner, Steps

if TYPE_CHECKING:
    from cosim.learn.split import Parts


Count = Annotated[int, Field(ge=0, le=1_000_000)]


@final
class Epochs(Component):
    """A number of passes over the device's own samples: ceil(samples / batch_size) steps each."""

    epochs: int = quantity(..., "", "passes over the device's samples", ge=0, le=100_000)


@final
class SGD(Component):
    """Mini-batch SGD: tau_v steps on the personal part v and tau_u steps on the global part u.

        g <- dF/dw + weight_decay w + mu (w - w_0),   b <- momentum b + g,   w <- w - learning_rate b        (b = 0 at first)

    Schedule ``alternating``: first v with u frozen, then u with v frozen. ``simultaneous``: both in the same steps, from one gradient; the
    part with more steps takes its last ones alone. Both are in Pillutla et al., "Federated Learning with Partial Model
    Personalization", ICML 2022 (FedAlt, FedSim). Without a personal part there are global steps only.

    mu is ``proximal`` for u, with w_0 the sub-model as it was received (Li et al., "Federated Optimization in Heterogeneous Networks",
    MLSys 2020); ``personal_proximal`` for v, with w_0 the received global model where v is a whole model (Li et al., "Ditto", ICML 2021),
    else v at the round's start. Masked entries of u stay exactly zero. Loss: mean cross-entropy of the mini-batch. Mini-batches come
    from random permutations of the device's samples, one after another; a device with fewer than ``batch_size`` samples takes all
    of them in every step. ``learning_rate`` is that of round 0; for later ones see ``decay``.
    """

    learning_rate: float = quantity(0.05, "", "step length", gt=0)
    batch_size: int = quantity(32, "", "samples in a mini-batch", ge=1, le=1_000_000)
    schedule: Literal["alternating", "simultaneous"] = quantity("alternating", "", "personal steps before global ones, or both at once")
    personal_steps: Count | Epochs = quantity(5, "", "tau_v: steps on the personal part in each round, or {epochs: n}")
    global_steps: Count | Epochs = quantity(10, "", "tau_u: steps on the global part in each round, or {epochs: n}")
    momentum: float = quantity(0.0, "", "heavy-ball momentum; starts anew in each round", ge=0, lt=1)
    weight_decay: float = quantity(0.0, "", "factor of the L2 penalty's gradient", ge=0)
    proximal: float = quantity(0.0, "", "mu: how strongly u is drawn to what was received", ge=0)
    personal_proximal: float = quantity(0.0, "", "mu of the personal part", ge=0)
    decay: Literal["none", "step", "cosine"] = quantity("none", "", "how the learning rate falls with the round s")
    decay_rounds: int = quantity(100, "", "step: rounds between falls; cosine: round at which it has fallen", ge=1, le=1_000_000)
    decay_factor: float = quantity(0.1, "", "step: factor of each fall; cosine: what is left in the end", ge=0, le=1)
    device: Literal["cpu", "cuda", "auto"] = quantity(
        "cpu", "", "where tensors are; auto: a GPU where there is one, which rounds otherwise"
    )

    @model_validator(mode="after")
    def _trains(self) -> Self:
        if not any(self.steps(np.ones(1, np.int64), personal=True).total):
            raise ValueError("personal_steps and global_steps are both 0: nothing would be trained")
        return self

    def rate(self, round_index: int) -> float:
        """Learning rate of a round s: times f^floor(s / S) (``step``), or f + (1 - f) (1 + cos(pi min(s / S, 1))) / 2 (``cosine``)."""
        if self.decay == "none":
            return self.learning_rate
        if self.decay == "step":
            return self.learning_rate * self.decay_factor ** (round_index // self.decay_rounds)
        done = min(round_index / self.decay_rounds, 1.0)
        return self.learning_rate * (self.decay_factor + (1.0 - self.decay_factor) * (1.0 + math.cos(math.pi * done)) / 2.0)

    def steps(self, samples: IntArray, *, personal: bool) -> Steps:
        """Steps of devices with so many training samples (n,)."""
        own, shared = (step_count(steps, samples, self.batch_size) for steps in (self.personal_steps if personal else 0, self.global_steps))
        joint = np.minimum(own, shared) * (self.schedule == "simultaneous")
        return Steps(own - joint, shared - joint, joint)

    def check(self, parts: Parts, pruner: Pruner) -> None:
        """All parts can be trained, and all gradients be had."""

    def together(self, parts: Parts) -> int:
        """Several devices, where the network is dense, or on a GPU: see ``placement``. Raises ScenarioError where there is none."""
        from cosim.learn.placement import placement

        return placement(self.device).together(parts, self.batch_size)

    def train(self, tasks: Sequence[LocalTask], rngs: Sequence[np.random.Generator]) -> list[LocalResult]:
        """The devices' local work; a pure function of its arguments, on one thread."""
        from cosim.learn.descent import descend
        from cosim.learn.placement import placement

        return descend(self, tasks, rngs, placement(self.device))


def step_count(steps: int | Epochs, samples: IntArray, batch_size: int) -> IntArray:
    """Steps of devices with so many samples (n,); none without samples."""
    batches = -(-samples // batch_size) * steps.epochs if isinstance(steps, Epochs) else np.full_like(samples, steps)
    return np.where(samples > 0, batches, 0)


def minibatches(samples: int, batch_size: int, steps: int, rng: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Positions (steps, min(batch_size, samples)) in a device's data: slices of permutations that follow one another."""
    batch = min(batch_size, samples)
    rounds = -(-steps * batch // samples) if steps else 0
    order = np.concatenate([rng.permutation(samples) for _ in range(rounds)]) if rounds else np.empty(0, np.int64)
    return order[: steps * batch].reshape(steps, batch)
