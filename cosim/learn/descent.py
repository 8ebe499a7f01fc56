"""The gradient steps of ``trainer.SGD`` in torch: functional, no state shared between threads.

Devices that work together have the same network and take the same number of steps with mini-batches of one size; each of their tensors
has the devices as its first axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cosim.learn.chain import Chain
from cosim.learn.dense import Slopes, add_gradients, is_dense
from cosim.learn.layers import Described, Mask, Vector, tensor_shapes
from cosim.learn.placement import Placement, resident
from cosim.learn.roles import LocalResult, LocalTask
from cosim.learn.split import Parts
from cosim.learn.stacked import losses_and_slopes
from cosim.learn.trainer import minibatches

if TYPE_CHECKING:
    from cosim.learn.trainer import SGD


def descend(
    settings: SGD, tasks: Sequence[LocalTask], rngs: Sequence[np.random.Generator], place: Placement
) -> list[LocalResult]:
    """All steps of a round on each device's data: at first those on v alone, or on both parts, then the others."""
    groups: dict[tuple[Parts, tuple[int, ...]], list[int]] = {}
    for i, task in enumerate(tasks):  # devices with the same network, with as many steps, of as many samples, of one round
        count = np.array([len(task.samples)])
        steps = settings.steps(count, personal=bool(task.parts.personal))
        plan = (*(int(n[0]) for n in (steps.joint, steps.personal, steps.shared)), min(len(task.samples), settings.batch_size), task.round)
        groups.setdefault((task.parts, plan), []).append(i)
    results: dict[int, LocalResult] = {}
    for (parts, plan), members in groups.items():
        width = place.together(parts, settings.batch_size)
        for begin in range(0, len(members), width):
            chosen = members[begin : begin + width]
            done = _descend(settings, [tasks[i] for i in chosen], [rngs[i] for i in chosen], plan[:3], place)
            results.update(zip(chosen, done, strict=True))
    return [results[i] for i in range(len(tasks))]


def _descend(
    settings: SGD, tasks: Sequence[LocalTask], rngs: Sequence[np.random.Generator], plan: tuple[int, ...], place: Placement
) -> list[LocalResult]:
    """``plan``: steps on both parts, on v alone, on u alone."""
    parts = tasks[0].parts
    plain = not (settings.momentum or settings.weight_decay or settings.proximal or settings.personal_proximal or tasks[0].dense_gradient)
    folded = plain and is_dense(parts.network)
    u = _Part(settings, tasks, [task.shared for task in tasks], parts.shared, pull=settings.proximal, folded=folded, device=place.device)
    u.prune([task.mask for task in tasks])
    v = _Part(settings, tasks, [task.personal for task in tasks], parts.personal, pull=settings.personal_proximal, folded=folded, device=place.device)
    if parts.copy:
        v.anchor([task.shared for task in tasks])
    dense = torch.zeros(len(tasks), parts.prunable, device=place.device) if tasks[0].dense_gradient else None
    losses: list[Tensor] = []

    batches = [minibatches(len(task.samples), settings.batch_size, sum(plan), rng) for task, rng in zip(tasks, rngs, strict=True)]
    rows = np.stack([task.samples[positions] for task, positions in zip(tasks, batches, strict=True)], axis=1)
    for (train_u, train_v), (images, labels) in zip(_plan(*plan), _batches(tasks[0], rows, place.device), strict=True):
        u.train(train_u)
        v.train(train_v)
        losses += _gradients(u, v, parts, images, labels, stacked=place.stacked)
        if dense is not None and train_u:
            dense.add_(u.gradient[:, : parts.prunable], alpha=1.0 / (plan[0] + plan[2]))
        for part in (u, v):
            part.step()

    train_loss = _mean(losses) if losses else np.full(len(tasks), np.nan)
    finite = (u.finite() & v.finite()).cpu().numpy() & (np.isfinite(train_loss) | (not losses))
    slopes = [None] * len(tasks) if dense is None else list(dense.cpu().numpy())
    found = zip(u.vector.cpu().numpy(), v.vector.cpu().numpy(), train_loss.tolist(), finite.tolist(), slopes, strict=True)
    return [LocalResult(*row) for row in found]


def _mean(losses: list[Tensor]) -> np.ndarray:
    """Over the steps, in their order: a device's mean does not depend on who else is there, as a sum over tensors would."""
    return np.add.reduce(torch.stack(losses).cpu().numpy().astype(np.float64), axis=0) / len(losses)


def _plan(joint: int, personal: int, shared: int) -> Iterator[tuple[bool, bool]]:
    """Which of (u, v) each step trains."""
    yield from [(True, True)] * joint + [(False, True)] * personal + [(True, False)] * shared


class _Part:
    """The parameter vectors (devices, n) of one part, their tensors as views into them, and gradient steps on them in place."""

    def __init__(
        self,
        settings: SGD,
        tasks: Sequence[LocalTask],
        start: Sequence[np.ndarray],
        layers: Sequence[Described],
        *,
        pull: float,
        folded: bool,
        device: torch.device,
    ) -> None:
        """``pull``: mu towards the vectors as they start, unless ``anchor`` says otherwise.

        ``folded``: the products that give the gradient take the step too, so ``slopes`` are the tensors themselves.
        """
        self.vector, self.gradient = _stack(start, device), torch.empty(0)
        self.tensors = _views(self.vector, layers)
        self.slopes: list[Tensor] = []
        self.trained = False
        self.rate = settings.rate(tasks[0].round)
        self._layers, self._settings, self._pull, self.folded = layers, settings, pull, folded
        self._anchor = self.vector.clone() if pull else None
        self._mask: Tensor | None = None
        self._velocity = torch.zeros_like(self.vector) if settings.momentum else None

    def prune(self, masks: Sequence[Mask]) -> None:
        """Masks (N,) of the devices: pruned entries become zero and stay that."""
        if all(mask.all() for mask in _distinct(masks)):
            return
        self._mask = _stack(masks, self.vector.device).to(torch.float32)  # as numbers: many times as fast as truth values
        self.vector[:, : self._mask.shape[1]].mul_(self._mask)
        if self._anchor is not None:
            self._anchor.copy_(self.vector)

    def anchor(self, vectors: Sequence[Vector]) -> None:
        """Towards these (n,) the proximal term draws."""
        if self._anchor is not None:
            self._anchor = _stack(vectors, self.vector.device)

    def train(self, trained: bool) -> None:  # noqa: FBT001 - a switch
        """From now on gradients are taken for this part, or not."""
        if trained and not self.slopes:
            self.gradient = self.vector if self.folded else torch.empty_like(self.vector)
            self.slopes = _views(self.gradient, self._layers)
        self.trained = trained

    def step(self) -> None:
        """One step along ``gradient``, which is overwritten; none unless this part is trained."""
        if not self.trained:
            return
        gradient, settings = self.gradient, self._settings
        if settings.weight_decay:
            gradient.add_(self.vector, alpha=settings.weight_decay)
        if self._anchor is not None:
            gradient.add_(self.vector - self._anchor, alpha=self._pull)
        if self._mask is not None:
            gradient[:, : self._mask.shape[1]].mul_(self._mask)
        if self.folded:
            return
        if self._velocity is not None:
            gradient = self._velocity.mul_(settings.momentum).add_(gradient)
        self.vector.add_(gradient, alpha=-self.rate)

    def finite(self) -> Tensor:
        """Whether no parameter of a device is NaN or infinite (devices,): then neither is their sum."""
        return self.vector.sum(dim=1).isfinite()


def _views(vector: Tensor, layers: Sequence[Described]) -> list[Tensor]:
    """The tensors (devices, ...) as views into vectors (devices, n)."""
    shapes = tensor_shapes(layers)
    parts = torch.split(vector, [int(np.prod(shape)) for shape in shapes], dim=1)
    return [part.view(len(vector), *shape) for part, shape in zip(parts, shapes, strict=True)]


def _distinct(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays without those that are there already."""
    return list({id(array): array for array in arrays}.values())


def _stack(arrays: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """The arrays (n,) as a new tensor (devices, n); what all devices have in common is moved once."""
    if device.type == "cpu" or len(_distinct(arrays)) > 1:
        return torch.from_numpy(np.stack(arrays)).to(device)
    return torch.tensor(arrays[0], device=device).repeat(len(arrays), 1)


def _batches(task: LocalTask, rows: np.ndarray, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """For each step the images (devices, b, ...) and labels (devices, b) at ``rows`` (steps, devices, b)."""
    if device.type == "cpu":
        for chosen in rows:
            yield torch.from_numpy(task.images.take(chosen, axis=0)), torch.from_numpy(task.labels.take(chosen))
        return
    images, labels, steps = resident(task.images, device), resident(task.labels, device), torch.from_numpy(rows).to(device)
    for chosen in steps:
        flat = chosen.flatten()
        yield images.index_select(0, flat).unflatten(0, chosen.shape), labels.index_select(0, flat).view(chosen.shape)


def _gradients(u: _Part, v: _Part, parts: Parts, images: Tensor, labels: Tensor, *, stacked: bool) -> list[Tensor]:
    """Losses (devices,) of each model that is trained; the gradients go to the parts' slopes."""
    if not parts.copy:
        models = [(parts.joined(u.tensors, v.tensors), parts.joined(_wanted(u), _wanted(v)))]
    else:
        models = [(part.tensors, _wanted(part)) for part in (u, v) if part.trained]
    if is_dense(parts.network):
        layers = cast("Chain", parts.network).layers
        how = {"keep": 1.0, "factor": -u.rate} if u.folded else {}
        return [add_gradients(layers, tensors, images, labels, slopes, **how) for tensors, slopes in models]
    if stacked:
        return [losses_and_slopes(parts.network, tensors, images, labels, slopes) for tensors, slopes in models]
    return [_autograd(parts, tensors, images[0], labels[0], slopes) for tensors, slopes in models]


def _wanted(part: _Part) -> Slopes:
    return list(part.slopes) if part.trained else [None] * len(part.tensors)


def _autograd(parts: Parts, tensors: Sequence[Tensor], images: Tensor, labels: Tensor, slopes: Slopes) -> Tensor:
    """Loss (1,) of one device's network of any kind; torch keeps nothing of what lies before the first layer that is trained."""
    own = [tensor[0].detach().requires_grad_(slope is not None) for tensor, slope in zip(tensors, slopes, strict=True)]
    loss = cross_entropy(parts.network.forward(own, images), labels)
    wanted = [(tensor, slope[0]) for tensor, slope in zip(own, slopes, strict=True) if slope is not None]
    torch._foreach_copy_([slope for _, slope in wanted], list(torch.autograd.grad(loss, [tensor for tensor, _ in wanted])))
    return loss.detach().unsqueeze(0)
