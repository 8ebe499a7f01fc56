"""The gradient steps of ``trainer.SGD`` in torch: functional, no state shared between threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cosim.learn.layers import Described, Vector, views
from cosim.learn.roles import LocalResult, LocalTask
from cosim.learn.trainer import minibatches

if TYPE_CHECKING:
    from cosim.learn.trainer import SGD

_Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


def descend(settings: SGD, task: LocalTask, rng: np.random.Generator) -> LocalResult:
    """All steps of a round on one device's data: at first those on v alone, or on both parts, then the others."""
    parts, count = task.parts, len(task.samples)
    steps = settings.steps(np.array([count]), personal=bool(parts.personal))
    u = _Part(settings, task, task.shared, parts.shared, pull=settings.proximal, mask=task.mask)
    anchor = task.shared if parts.copy else task.personal
    v = _Part(settings, task, task.personal, parts.personal, pull=settings.personal_proximal, anchor=anchor)
    joined = parts.joined(u.tensors, v.tensors)
    dense = torch.zeros(parts.prunable) if task.dense_gradient else None
    losses: list[Tensor] = []

    plan = _plan(int(steps.joint[0]), int(steps.personal[0]), int(steps.shared[0]))
    for (train_u, train_v), rows in zip(plan, minibatches(count, settings.batch_size, int(steps.total[0]), rng), strict=True):
        u.train(train_u)
        v.train(train_v)  # torch keeps nothing of what lies before the first layer that is trained
        models = [part.tensors for part in (u, v) if part.trained] if parts.copy else [joined]
        own = [_loss(task, tensors, rows) for tensors in models]
        trained = [part for part in (u, v) if part.trained]
        gradients = torch.autograd.grad(own, [leaf for part in trained for leaf in part.tensors])
        for part in trained:
            gradient, gradients = _flat(gradients[: len(part.tensors)]), gradients[len(part.tensors) :]
            if dense is not None and part is u:
                dense.add_(gradient[: len(dense)], alpha=1.0 / int(steps.shared[0] + steps.joint[0]))
            part.step(gradient)
        losses += (loss.detach() for loss in own)

    train_loss = float(torch.stack(losses).mean()) if losses else float("nan")
    finite = u.finite() and v.finite() and not (losses and not np.isfinite(train_loss))
    return LocalResult(u.vector.numpy(), v.vector.numpy(), train_loss, finite, None if dense is None else dense.numpy())


def _plan(joint: int, personal: int, shared: int) -> Iterator[tuple[bool, bool]]:
    """Which of (u, v) each step trains."""
    yield from [(True, True)] * joint + [(False, True)] * personal + [(True, False)] * shared


class _Part:
    """One parameter vector of the device, its tensors as views into it, and gradient steps on it in place."""

    def __init__(
        self,
        settings: SGD,
        task: LocalTask,
        start: Vector,
        layers: Sequence[Described],
        *,
        pull: float,
        anchor: Vector | None = None,
        mask: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None,
    ) -> None:
        """``pull``: mu towards ``anchor``, by default the vector as it starts, pruned by ``mask``."""
        self.vector = torch.from_numpy(start.copy())
        self._mask = None if mask is None or mask.all() else torch.from_numpy(mask)
        if self._mask is not None:
            self.vector[: len(self._mask)].mul_(self._mask)
        self.tensors = [view.detach() for view in views(self.vector, layers)]
        self.trained = False
        self._settings, self._rate, self._pull = settings, settings.rate(task.round), pull
        self._anchor = (self.vector.clone() if anchor is None else torch.from_numpy(anchor)) if pull else None
        self._velocity = torch.zeros_like(self.vector) if settings.momentum else None

    def train(self, trained: bool) -> None:  # noqa: FBT001 - a switch
        """From now on gradients are taken for this part, or not."""
        if trained != self.trained:
            self.trained = trained
            for tensor in self.tensors:
                tensor.requires_grad_(trained)

    def step(self, gradient: Tensor) -> None:
        """One step; ``gradient`` may be overwritten."""
        settings = self._settings
        if settings.weight_decay:
            gradient.add_(self.vector, alpha=settings.weight_decay)
        if self._anchor is not None:
            gradient.add_(self.vector - self._anchor, alpha=self._pull)
        if self._mask is not None:
            gradient[: len(self._mask)].mul_(self._mask)
        if self._velocity is not None:
            gradient = self._velocity.mul_(settings.momentum).add_(gradient)
        self.vector.add_(gradient, alpha=-self._rate)

    def finite(self) -> bool:
        """Whether no parameter is NaN or infinite."""
        return bool(self.vector.isfinite().all())


def _loss(task: LocalTask, tensors: Sequence[Tensor], rows: _Rows) -> Tensor:
    """Mean cross-entropy of a mini-batch: the device's samples at positions ``rows``."""
    chosen = task.samples[rows]
    logits = task.parts.network.forward(tensors, torch.from_numpy(task.images[chosen]))
    return cross_entropy(logits, torch.from_numpy(task.labels[chosen]))


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    """Gradients as one vector in the order of the tensors."""
    return torch.cat([part.reshape(-1) for part in gradients])
