"""A sub-model as a network of its own: the tensors without the channels that were removed, trained, and put back in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, cast, final

import numpy as np

from cosim.learn.chain import Chain
from cosim.learn.layers import Layer, Mask, Vector, views
from cosim.learn.roles import LocalResult, LocalTask
from cosim.learn.split import Parts
from cosim.learn.units import weight_mask


@final
@dataclass(frozen=True, slots=True, eq=False)
class Submodel:
    """``parts``: the smaller network. ``personal`` (P,): which entries of v are its v, in their order; of u those that the mask keeps.

    The personal layers keep all channels but lose the weights that read removed ones.
    """

    parts: Parts
    personal: Mask

    @classmethod
    def of(cls, parts: Parts, mask: Mask) -> Self:
        """The sub-model of a mask from ``units.Units``; ``parts`` are a chain's, without a whole personal model."""
        layers = cast("Chain", parts.network).layers
        outs = list(_kept_channels(parts, layers, mask))
        ins = [None, *outs[:-1]]
        narrow = tuple(_narrow(*which) for which in zip(layers, outs, ins, strict=True))
        own = [i for i, personal in enumerate(parts.is_personal) if personal]
        weights = [weight_mask(layers[i], outs[i], ins[i]).ravel() for i in own]
        values = [np.ones(layers[i].values, np.bool_) for i in own]
        return cls(Parts(Chain(narrow), parts.is_personal), np.concatenate([np.empty(0, np.bool_), *weights, *values]))


def _kept_channels(parts: Parts, layers: tuple[Layer, ...], mask: Mask) -> Iterator[Mask]:
    """Of each layer, the output channels that are there: those whose bias or scale is."""
    values = iter(views(mask, parts.shared)[len(parts.shared) :])
    for layer, own in zip(layers, parts.is_personal, strict=True):
        if own:
            yield np.ones(layer.weight_shape[0], np.bool_)
        else:
            first, *_ = [next(values) for _ in layer.value_shapes]
            yield first


def _narrow(layer: Layer, outs: Mask, ins: Mask | None) -> Layer:
    """The layer with these output and input channels; None: all inputs."""
    shape, kept = layer.weight_shape, int(outs.sum())
    read = 1 if ins is None else int(ins.sum()) / len(ins)
    return replace(
        layer,
        weight_shape=(kept, round(shape[1] * read), *shape[2:]),
        input_shape=layer.input_shape if ins is None else (int(ins.sum()), *layer.input_shape[1:]),
        groups=layer.groups * kept // len(outs),
    )


def submodel(mask: Mask, parts: Parts) -> Submodel | None:
    """The smaller network that a device with this mask trains, where it removes whole units.

    A device with a whole model of its own trains that beside the whole u with zeros, which gives the same.
    """
    return None if len(mask) == parts.prunable or parts.copy or mask.all() else Submodel.of(parts, mask)


def narrowed(task: LocalTask, small: Submodel | None) -> LocalTask:
    """The same task for the smaller network, where there is one."""
    if small is None:
        return task
    return replace(
        task,
        parts=small.parts,
        shared=task.shared[task.mask],
        mask=np.ones(small.parts.prunable, np.bool_),
        personal=task.personal[small.personal],
    )


def widened(task: LocalTask, small: Submodel | None, result: LocalResult) -> LocalResult:
    """The result of a narrowed ``task`` in the whole network's vectors.

    Removed entries of u are 0, their gradients NaN; entries of v that were not there are as they were.
    """
    prunable = task.parts.prunable
    if len(task.mask) == prunable or task.mask.all():
        return result
    weights, gradient = task.mask[:prunable], result.gradient
    if small is None:
        return result if gradient is None else replace(result, gradient=np.where(weights, gradient, np.float32(np.nan)))
    personal = task.personal.copy()
    personal[small.personal] = result.personal
    return replace(
        result,
        shared=_scattered(task.mask, result.shared, 0.0),
        personal=personal,
        gradient=None if gradient is None else _scattered(weights, gradient, np.nan),
    )


def _scattered(mask: Mask, values: Vector, rest: float) -> Vector:
    vector = np.full(len(mask), rest, np.float32)
    vector[mask] = values
    return vector
