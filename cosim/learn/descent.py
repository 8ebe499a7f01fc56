"""The alternating gradient steps of ``trainer.SGD`` in torch: functional, no state shared between threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cosim.learn.layers import Described, views
from cosim.learn.roles import LocalResult, LocalTask
from cosim.learn.trainer import minibatches

if TYPE_CHECKING:
    from cosim.learn.trainer import SGD


def descend(settings: SGD, task: LocalTask, rng: np.random.Generator) -> LocalResult:
    """Personal steps, then global steps, on one device's data."""
    parts = task.parts
    shared, personal = torch.from_numpy(task.shared.copy()), torch.from_numpy(task.personal.copy())
    mask = None if task.mask.all() else torch.from_numpy(task.mask)
    if mask is not None:
        shared[: len(mask)].mul_(mask)
    personal_steps = settings.personal_steps if parts.personal else 0
    order = minibatches(len(task.samples), settings.batch_size, personal_steps + settings.global_steps, rng)
    losses: list[Tensor] = []

    u, v = views(shared, parts.shared), _leaves(personal, parts.personal)
    tensors, descent = parts.joined(u, v), _Descent(settings, personal)
    for rows in order[:personal_steps]:  # torch keeps nothing of what lies before the first personal layer
        losses.append(loss := _loss(task, tensors, rows))
        descent.step(_gradient(loss, v))

    u, v = _leaves(shared, parts.shared), views(personal, parts.personal)
    tensors, descent = (u if parts.copy else parts.joined(u, v)), _Descent(settings, shared, mask)
    dense = torch.zeros(parts.prunable) if task.dense_gradient else None
    for rows in order[personal_steps:]:
        losses.append(loss := _loss(task, tensors, rows))
        gradient = _gradient(loss, u)
        if dense is not None:
            dense.add_(gradient[: len(dense)], alpha=1.0 / settings.global_steps)
        descent.step(gradient)

    train_loss = float(torch.stack([loss.detach() for loss in losses]).mean())
    finite = bool(np.isfinite(train_loss) and shared.isfinite().all() and personal.isfinite().all())
    return LocalResult(shared.numpy(), personal.numpy(), train_loss, finite, None if dense is None else dense.numpy())


class _Descent:
    """Gradient steps on one parameter vector, in place, so that the views into it follow."""

    def __init__(self, settings: SGD, vector: Tensor, mask: Tensor | None = None) -> None:
        self._settings, self._vector, self._mask = settings, vector, mask
        self._velocity = torch.zeros_like(vector) if settings.momentum else None

    def step(self, gradient: Tensor) -> None:
        """One step; ``gradient`` may be overwritten."""
        settings = self._settings
        if settings.weight_decay:
            gradient.add_(self._vector, alpha=settings.weight_decay)
        if self._mask is not None:
            gradient[: len(self._mask)].mul_(self._mask)
        if self._velocity is not None:
            gradient = self._velocity.mul_(settings.momentum).add_(gradient)
        self._vector.add_(gradient, alpha=-settings.learning_rate)


def _loss(task: LocalTask, tensors: Sequence[Tensor], rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
    """Mean cross-entropy of a mini-batch: the device's samples at positions ``rows``."""
    chosen = task.samples[rows]
    logits = task.parts.network.forward(tensors, torch.from_numpy(task.images[chosen]))
    return cross_entropy(logits, torch.from_numpy(task.labels[chosen]))


def _leaves(vector: Tensor, layers: Sequence[Described]) -> list[Tensor]:
    """Views that gradients can be taken for; they share the vector's memory."""
    return [view.detach().requires_grad_() for view in views(vector, layers)]


def _gradient(loss: Tensor, leaves: Sequence[Tensor]) -> Tensor:
    """Gradient of the loss as one vector in the order of the leaves."""
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, leaves)])
