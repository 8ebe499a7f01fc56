"""Units: what structured pruning removes as a whole, and how big the network is without them.

A unit is a set of output channels (filters, hidden units) of shared layers that can only go together:

- the channels of one normalisation group: the others are then normalised as before;
- channels that a shortcut adds to each other. The streams of a residual network are one: where a shortcut fills up with zero channels,
  the first channels of the wider stream are those of the narrower one.

With a channel go its weights, its bias, scale and shift, and the weights that read it in the next layer, shared or personal. The
classifier's outputs never go, nor channels of personal layers, nor what is added to one. Without its units the network computes what
the whole network computes with zeros in their place: a channel whose weights and values are 0 is 0 after normalisation and ReLU.

Units with the same number of channels in each layer are *alike*: a layer's hidden units, say. Of each kind one stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self, cast, final

import numpy as np
from numpy.typing import NDArray

from cosim.interfaces import FloatArray, IntArray
from cosim.learn.chain import Chain
from cosim.learn.layers import Layer, Mask
from cosim.learn.split import Parts


@final
@dataclass(frozen=True, eq=False)
class Units:
    """The units of a model's shared part.

    ``of_channel``: for each layer the unit of each of its output channels, -1 where it never goes. ``kind`` (units,): which ones are
    alike. ``channels`` (units, layers): how many channels of each layer a unit has.
    """

    parts: Parts
    of_channel: tuple[IntArray, ...]
    kind: IntArray
    channels: IntArray

    @classmethod
    def of(cls, parts: Parts) -> Self:
        """Find them. Raises ValueError where there are none."""
        if not isinstance(parts.network, Chain):
            raise ValueError(  # noqa: TRY004 - the scenario is wrong, not a type in the code
                "pruner.granularity = structured: only models made of cosim's own layers can lose units; allowed: unstructured"
            )
        layers = parts.network.layers
        label = _together(layers)
        fixed = np.concatenate(
            [np.full(layer.weight_shape[0], own and not parts.copy) for layer, own in zip(layers, parts.is_personal, strict=True)]
        )
        fixed[-layers[-1].weight_shape[0] :] = True
        free = ~np.isin(label, label[fixed])
        unit = np.full(len(label), -1)
        unit[free] = _numbered(label[free])
        ends = np.cumsum([layer.weight_shape[0] for layer in layers])
        of_channel = tuple(np.split(unit, ends[:-1]))
        channels = np.stack([np.bincount(one[one >= 0], minlength=unit.max() + 1) for one in of_channel], axis=1)
        kind = _numbered(np.unique(channels, axis=0, return_inverse=True)[1].ravel())
        units = cls(parts, of_channel, kind, channels)
        if len(kind) == 0 or (units.alike == 1).all():
            raise ValueError(
                "pruner.granularity = structured: the shared layers have no units that could go; outputs of the last layer, of personal"
                " layers and what is added to those (adapters) stay; allowed: unstructured"
            )
        return units

    @property
    def count(self) -> int:
        """Number of units."""
        return len(self.kind)

    @cached_property
    def alike(self) -> IntArray:
        """Number of units of each kind (kinds,)."""
        return np.bincount(self.kind).astype(np.int64)

    @cached_property
    def members(self) -> list[IntArray]:
        """The units of each kind, in the order of their channels."""
        return [np.flatnonzero(self.kind == kind) for kind in range(len(self.alike))]

    @cached_property
    def channels_of_kind(self) -> IntArray:
        """Channels of each layer that a unit of each kind has (kinds, layers)."""
        return self.channels[[members[0] for members in self.members]]

    @cached_property
    def axis(self) -> list[int]:
        """0 or 1 of each kind: no weights lie between two kinds of the same axis."""
        return [int(np.flatnonzero(row)[0]) % 2 for row in self.channels_of_kind]

    @cached_property
    def dense(self) -> Mask:
        """Which kinds (kinds,) are hidden units."""
        first = (self.channels_of_kind > 0).argmax(axis=1)
        return np.array([len(self._layers[i].weight_shape) == 2 for i in first.tolist()])

    def widths(self, multiple: int) -> list[IntArray]:
        """Of each kind, how many units may be there, falling from all to 1.

        All numbers for dense layers. Convolutions have a multiple of ``multiple`` filters, or fewer, a power of two.
        """
        return [self._widths(row, n, multiple) for row, n in zip(self.channels_of_kind, self.alike.tolist(), strict=True)]

    def _widths(self, channels: IntArray, alike: int, multiple: int) -> IntArray:
        first, count = int(np.flatnonzero(channels)[0]), np.arange(alike, 0, -1)
        if len(self._layers[first].weight_shape) == 2:
            return count
        filters = count * channels[first]
        fits = (filters % multiple == 0) | ((filters < multiple) & (filters & (filters - 1) == 0))
        return np.asarray(count[fits | (count == 1) | (count == alike)])

    # --- masks ------------------------------------------------------------------------------------------

    def kept_channels(self, kept: Mask) -> list[Mask]:
        """Of each layer, which channels are there with these units (units,)."""
        known = np.append(kept, True)  # index -1
        return [known[unit] for unit in self.of_channel]

    def mask(self, kept: Mask) -> Mask:
        """Mask (N + M,) of the parameters that are there with these units (units,)."""
        outs = self.kept_channels(kept)
        ins = [None, *outs[:-1]]
        shared = [i for i in self._shared if self._layers[i].weights]
        weights = [weight_mask(self._layers[i], outs[i], ins[i]).ravel() for i in shared]
        return np.concatenate([*weights, *(outs[i] for i in self._shared for _ in self._layers[i].value_shapes)])

    def kept(self, mask: Mask) -> Mask:
        """The units (units,) that are there: the inverse of ``mask``."""
        return np.asarray(mask[self._home])

    @cached_property
    def _home(self) -> IntArray:
        """Of each unit, the place in u of one of its values."""
        unit = np.concatenate([self.of_channel[i] for i in self._shared for _ in self._layers[i].value_shapes])
        _, first = np.unique(unit, return_index=True)
        return self.parts.prunable + first[-self.count :]

    def importance(self, weights: NDArray[np.floating]) -> FloatArray:
        """Mean importance (units,) of the weights into each unit, from that of all weights (N,)."""
        total, start = np.zeros(self.count + 1), 0
        number = np.zeros(self.count + 1)
        for i in self._shared:
            layer, unit = self._layers[i], self.of_channel[i]
            rows = weights[start : start + layer.weights].reshape(layer.weight_shape[0], -1)
            start += layer.weights
            total += np.bincount(unit + 1, rows.sum(axis=1, dtype=np.float64), minlength=len(total))
            number += rows.shape[1] * np.bincount(unit + 1, minlength=len(total))
        mean: FloatArray = total[1:] / number[1:]
        return mean

    # --- sizes ------------------------------------------------------------------------------------------

    def weights(self, gone: IntArray) -> IntArray:
        """Weights (..., layers) that each layer has without ``gone`` (..., layers) of its channels."""
        outs = self._outs - gone
        ins = np.concatenate([np.ones_like(outs[..., :1]), outs[..., :-1]], axis=-1)
        return np.asarray(outs * ins * self._taps)

    def parameters(self, gone: IntArray) -> IntArray:
        """Parameters (...) of the shared part without ``gone`` (..., layers) channels."""
        values = (self._outs - gone) * [len(layer.value_shapes) for layer in self._layers]
        return np.asarray((self.weights(gone) + values)[..., self._shared].sum(axis=-1))

    @property
    def _layers(self) -> tuple[Layer, ...]:
        return cast("Chain", self.parts.network).layers

    @cached_property
    def _shared(self) -> list[int]:
        return [i for i, own in enumerate(self.parts.is_personal) if self.parts.copy or not own]

    @cached_property
    def _outs(self) -> IntArray:
        return np.array([layer.weight_shape[0] for layer in self._layers])

    @cached_property
    def _taps(self) -> IntArray:
        """Weights of each layer for a pair of channels."""
        pairs = self._outs * np.append(1, self._outs[:-1])
        return np.asarray(np.array([layer.weights for layer in self._layers]) // pairs)


def weight_mask(layer: Layer, outs: Mask, ins: Mask | None) -> Mask:
    """Mask of a layer's weights with these output and input channels; None: all inputs."""
    shape = layer.weight_shape
    columns = np.ones(shape[1], np.bool_) if ins is None else np.repeat(ins, shape[1] // len(ins))
    pairs = np.outer(outs, columns).reshape(*shape[:2], *(1 for _ in shape[2:]))
    return np.broadcast_to(pairs, shape)


def _together(layers: tuple[Layer, ...]) -> IntArray:
    """Of each output channel of each layer, one after another, the number of the set that it can only go with."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts = np.cumsum([0, *(layer.weight_shape[0] for layer in layers)])
    one, other = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for i, layer in enumerate(layers):
        channel = np.arange(layer.weight_shape[0])
        if layer.groups:
            size = len(channel) // layer.groups
            one.append(starts[i] + channel)
            other.append(starts[i] + channel // size * size)
        if layer.residual is not None:
            same = channel[: layers[layer.residual].weight_shape[0]]
            one.append(starts[i] + same)
            other.append(starts[layer.residual] + same)
    edges = np.concatenate(one), np.concatenate(other)
    graph = coo_array((np.ones(len(edges[0])), edges), shape=(starts[-1], starts[-1]))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _numbered(label: IntArray) -> IntArray:
    """Labels as 0, 1, 2, ... in the order in which they first appear."""
    _, first, which = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[which]
