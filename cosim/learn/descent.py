"""The gradient steps of ``trainer.SGD`` in torch: functional, no state shared between threads.

Devices that work together have the same network and take the same number of steps with mini-batches of one size; each of their tensors
has the devices as its first axis.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cosim.errors import CosimWarning
from cosim.learn.chain import Chain
from cosim.learn.dense import Slopes, add_gradients, is_dense
from cosim.learn.layers import Described, Mask, Vector, tensor_shapes
from cosim.learn.placement import Placement, resident
from cosim.learn.roles import LocalResult, LocalTask
from cosim.learn.split import Parts
from cosim.learn.stacked import losses_and_slopes, obstacle
from cosim.learn.trainer import minibatches

if TYPE_CHECKING:
    from cosim.learn.trainer import SGD


def descend(
    settings: SGD, tasks: Sequence[LocalTask], rngs: Sequence[np.random.Generator], place: Placement
) -> list[LocalResult]:
    """All steps of a round on each device's data: at first those on v alone, or on both parts, then the others."""
    results: dict[int, LocalResult] = {}
    for members, plan in _groups(settings, tasks):
        first = tasks[members[0]]
        here = _checked(place, first) if place.stacked else place
        width = here.together(first.parts, settings.batch_size)
        for begin in range(0, len(members), width):
            chosen = members[begin : begin + width]
            done = _descend(settings, [tasks[i] for i in chosen], [rngs[i] for i in chosen], plan, here)
            results.update(zip(chosen, done, strict=True))
    return [results[i] for i in range(len(tasks))]


def _checked(place: Placement, task: LocalTask) -> Placement:
    """The same place, but one device after another where the network, a user's module, allows nothing else."""
    why = obstacle(task.parts.network, torch.from_numpy(task.images[task.samples[:1]]).to(place.device)) if len(task.samples) else None
    if why is None:
        return place
    warnings.warn(f"devices train one after another, since their networks cannot be mapped: {why}", CosimWarning, stacklevel=2)
    return place._replace(stacked=False)


def _groups(settings: SGD, tasks: Sequence[LocalTask]) -> list[tuple[list[int], _Plan]]:
    """Devices with the same network, with as many steps, of as many samples, of one round; and those steps."""
    samples = np.array([len(task.samples) for task in tasks])
    steps = [settings.steps(samples, personal=personal) for personal in (False, True)]
    plans = [np.stack([s.joint, s.personal, s.shared], axis=1).tolist() for s in steps]
    batch = np.minimum(samples, settings.batch_size).tolist()
    numbers: dict[Parts, int] = {}
    number = {id(task.parts): numbers.setdefault(task.parts, len(numbers)) for task in _one_of_each(tasks)}
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, task in enumerate(tasks):
        key = (number[id(task.parts)], batch[i], task.round, *plans[bool(task.parts.personal)][i])
        groups.setdefault(key, []).append(i)
    return [(members, _Plan(*key[3:])) for key, members in groups.items()]


def _one_of_each(tasks: Sequence[LocalTask]) -> list[LocalTask]:
    """A task for each object that describes a network: to compare those takes longer than to find them."""
    return list({id(task.parts): task for task in tasks}.values())


class _Plan(NamedTuple):
    """How many steps train both parts, v alone, and u alone, in this order."""

    joint: int
    personal: int
    shared: int

    def phases(self) -> list[tuple[bool, bool, int]]:
        """Whether u and v are trained, and for how many steps."""
        return [(True, True, self.joint), (False, True, self.personal), (True, False, self.shared)]


def _descend(
    settings: SGD, tasks: Sequence[LocalTask], rngs: Sequence[np.random.Generator], plan: _Plan, place: Placement
) -> list[LocalResult]:
    """The work of devices of one group, all at once."""
    parts, device = tasks[0].parts, place.device
    plain = not (settings.momentum or settings.weight_decay or settings.proximal or settings.personal_proximal or tasks[0].dense_gradient)
    how = {"folded": plain and is_dense(parts.network), "device": device}
    u = _Part(settings, tasks, [task.shared for task in tasks], parts.shared, pull=settings.proximal, **how)
    u.prune([task.mask for task in tasks])
    v = _Part(settings, tasks, [task.personal for task in tasks], parts.personal, pull=settings.personal_proximal, **how)
    if parts.copy:
        v.anchor([task.shared for task in tasks])
    dense = torch.zeros(len(tasks), parts.prunable, device=device) if tasks[0].dense_gradient else None
    losses: list[Tensor] = []

    batches = [minibatches(len(task.samples), settings.batch_size, sum(plan), rng) for task, rng in zip(tasks, rngs, strict=True)]
    rows = np.stack([task.samples[positions] for task, positions in zip(tasks, batches, strict=True)], axis=1)
    data = _batches(tasks[0], rows, device)
    for train_u, train_v, steps in plan.phases():
        u.train(train_u)
        v.train(train_v)
        models = _models(u, v, parts) if steps else []
        for images, labels in islice(data, steps):
            losses += [_gradients(parts, tensors, images, labels, slopes, u, place) for tensors, slopes in models]
            if dense is not None and train_u:
                dense.add_(u.gradient[:, : parts.prunable], alpha=1.0 / (plan.joint + plan.shared))
            u.step()
            v.step()

    train_loss = _mean(losses) if losses else np.full(len(tasks), np.nan)
    finite = (u.finite() & v.finite()).cpu().numpy() & (np.isfinite(train_loss) | (not losses))
    slopes = [None] * len(tasks) if dense is None else list(dense.cpu().numpy())
    found = zip(u.vector.cpu().numpy(), v.vector.cpu().numpy(), train_loss.tolist(), finite.tolist(), slopes, strict=True)
    return [LocalResult(*row) for row in found]


def _mean(losses: list[Tensor]) -> np.ndarray:
    """Over samples and steps (devices,): summed so that a device's mean does not depend on who else is there."""
    values = torch.stack(losses).cpu().numpy().astype(np.float64)  # (steps, devices, b)
    return np.add.reduce(np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(-1, values.shape[1]), axis=0) / (len(losses) * values.shape[2])


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


def _models(u: _Part, v: _Part, parts: Parts) -> list[tuple[list[Tensor], Slopes]]:
    """Tensors and slopes of each model that is trained."""
    if not parts.copy:
        return [(parts.joined(u.tensors, v.tensors), parts.joined(_wanted(u), _wanted(v)))]
    return [(part.tensors, _wanted(part)) for part in (u, v) if part.trained]


def _gradients(
    parts: Parts, tensors: list[Tensor], images: Tensor, labels: Tensor, slopes: Slopes, u: _Part, place: Placement
) -> Tensor:
    """Losses (devices, b) of a model; the gradients of their means go to the slopes."""
    if is_dense(parts.network):
        step = u.rate if u.folded else None
        return add_gradients(cast("Chain", parts.network).layers, tensors, images, labels, slopes, step=step)
    if place.stacked:
        return losses_and_slopes(parts.network, tensors, images, labels, slopes)
    return _autograd(parts, tensors, images[0], labels[0], slopes)


def _wanted(part: _Part) -> Slopes:
    return list(part.slopes) if part.trained else [None] * len(part.tensors)


def _autograd(parts: Parts, tensors: Sequence[Tensor], images: Tensor, labels: Tensor, slopes: Slopes) -> Tensor:
    """Losses (1, b) of one device's network of any kind; torch keeps nothing of what lies before the first layer that is trained."""
    own = [tensor[0].detach().requires_grad_(slope is not None) for tensor, slope in zip(tensors, slopes, strict=True)]
    losses = cross_entropy(parts.network.forward(own, images), labels, reduction="none")
    wanted = [(tensor, slope[0]) for tensor, slope in zip(own, slopes, strict=True) if slope is not None]
    torch._foreach_copy_([slope for _, slope in wanted], list(torch.autograd.grad(losses.mean(), [tensor for tensor, _ in wanted])))
    return losses.detach().unsqueeze(0)
