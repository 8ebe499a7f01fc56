"""The gradient steps of ``trainer.SGD`` in torch: functional, no state shared between threads.

Devices that work together have the same network and take the same number of steps with mini-batches of one size; each of their tensors
has the devices as its first axis.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cosim.errors import CosimWarning
from cosim.learn.chain import Chain
from cosim.learn.dense import Slopes, add_gradients, is_dense
from cosim.learn.part_vectors import PartVectors
from cosim.learn.placement import Placement, resident
from cosim.learn.roles import LocalResult, LocalTask
from cosim.learn.side_by_side import side_by_side
from cosim.learn.split import Parts
from cosim.learn.stacked import losses_and_slopes, obstacle
from cosim.learn.trainer import minibatches

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray
    from cosim.learn.chain import Network
    from cosim.learn.trainer import SGD

Gradients: TypeAlias = Callable[[list[Tensor], Tensor, Tensor, Slopes], Tensor]
"""A function of tensors, images, labels and slopes."""


def descend(settings: SGD, tasks: Sequence[LocalTask], rngs: Sequence[np.random.Generator], place: Placement) -> list[LocalResult]:
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
    folded = plain and is_dense(parts.network)
    u = PartVectors(settings, tasks, [task.shared for task in tasks], parts.shared, pull=settings.proximal, folded=folded, device=device)
    u.prune([task.mask for task in tasks])
    v = PartVectors(
        settings, tasks, [task.personal for task in tasks], parts.personal, pull=settings.personal_proximal, folded=folded, device=device
    )
    if parts.copy:
        v.anchor([task.shared for task in tasks])
    dense = torch.zeros(len(tasks), parts.prunable, device=device) if tasks[0].dense_gradient else None
    losses: list[Tensor] = []

    batches = [minibatches(len(task.samples), settings.batch_size, sum(plan), rng) for task, rng in zip(tasks, rngs, strict=True)]
    rows = np.stack([task.samples[positions] for task, positions in zip(tasks, batches, strict=True)], axis=1)
    data = _batches(tasks[0], rows, device)
    gradients = _gradients(parts, u.rate if folded else None, place)
    for train_u, train_v, steps in plan.phases():
        u.train(train_u)
        v.train(train_v)
        models = _models(u, v, parts) if steps else []
        for images, labels in islice(data, steps):
            losses += [gradients(tensors, images, labels, slopes) for tensors, slopes in models]
            if dense is not None and train_u:
                dense.add_(u.gradient[:, : parts.prunable], alpha=1.0 / (plan.joint + plan.shared))
            u.step()
            v.step()

    train_loss = _mean(losses) if losses else np.full(len(tasks), np.nan)
    finite = (u.finite() & v.finite()).cpu().numpy() & (np.isfinite(train_loss) | (not losses))
    slopes = [None] * len(tasks) if dense is None else list(dense.cpu().numpy())
    found = zip(u.vector.cpu().numpy(), v.vector.cpu().numpy(), train_loss.tolist(), finite.tolist(), slopes, strict=True)
    return [LocalResult(*row) for row in found]


def _mean(losses: list[Tensor]) -> FloatArray:
    """Over samples and steps (devices,), the steps summed exactly: it does not depend on who else is there."""
    means = torch.stack(losses).cpu().numpy().mean(axis=2, dtype=np.float64)  # (steps, devices)
    return np.array([math.fsum(column) / len(losses) for column in means.T.tolist()])


def _batches(task: LocalTask, rows: np.ndarray, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """For each step the images (devices, b, ...) and labels (devices, b) at ``rows`` (steps, devices, b)."""
    if device.type == "cpu":
        for chosen in rows:
            images = side_by_side((*chosen.shape, *task.images.shape[1:]), device)
            task.images.take(chosen, axis=0, out=images.numpy(), mode="clip")  # into its place, not by way of a copy
            yield images, torch.from_numpy(task.labels.take(chosen))
        return
    images, labels, steps = resident(task.images, device), resident(task.labels, device), torch.from_numpy(rows).to(device)
    for chosen in steps:
        flat = chosen.flatten()
        yield images.index_select(0, flat).view(*chosen.shape, *images.shape[1:]), labels.index_select(0, flat).view(chosen.shape)


def _models(u: PartVectors, v: PartVectors, parts: Parts) -> list[tuple[list[Tensor], Slopes]]:
    """Tensors and slopes of each model that is trained."""
    if not parts.copy:
        return [(parts.joined(u.tensors, v.tensors), parts.joined(u.wanted, v.wanted))]
    return [(part.tensors, part.wanted) for part in (u, v) if part.trained]


def _gradients(parts: Parts, step: float | None, place: Placement) -> Gradients:
    """What finds losses (devices, b), or their means (devices, 1), and the gradients of the means; ``step``: see ``dense``."""
    if is_dense(parts.network):
        return partial(add_gradients, cast("Chain", parts.network).layers, step=step)
    return partial(losses_and_slopes, parts.network) if place.stacked else partial(_autograd, parts.network)


def _autograd(network: Network, tensors: Sequence[Tensor], images: Tensor, labels: Tensor, slopes: Slopes) -> Tensor:
    """Mean loss (1, 1) of one device's network of any kind; torch keeps nothing of what lies before the first layer that is trained."""
    own = [tensor[0].detach().requires_grad_(slope is not None) for tensor, slope in zip(tensors, slopes, strict=True)]
    loss = cross_entropy(network.forward(own, images[0]), labels[0])
    wanted = [(tensor, slope[0]) for tensor, slope in zip(own, slopes, strict=True) if slope is not None]
    torch._foreach_copy_([slope for _, slope in wanted], list(torch.autograd.grad(loss, [tensor for tensor, _ in wanted])))
    return loss.detach().view(1, 1)
