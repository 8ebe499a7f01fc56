"""The parameters of one part of the model on several devices: vectors side by side, gradients, and steps along them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor

from cosim.learn.layers import Described, Mask, Vector, tensor_shapes
from cosim.learn.roles import LocalTask
from cosim.learn.side_by_side import placed, side_by_side

if TYPE_CHECKING:
    from cosim.learn.dense import Slopes
    from cosim.learn.trainer import SGD


@final
class PartVectors:
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
        self.vector, self.gradient = stack(start, device), torch.empty(0)
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
        if all(mask.all() for mask in distinct(masks)):
            return
        self._mask = stack(masks, self.vector.device).to(torch.float32)  # as numbers: many times as fast as truth values
        self.vector[:, : self._mask.shape[1]].mul_(self._mask)
        if self._anchor is not None:
            self._anchor.copy_(self.vector)

    def anchor(self, vectors: Sequence[Vector]) -> None:
        """Towards these (n,) the proximal term draws."""
        if self._anchor is not None:
            self._anchor = stack(vectors, self.vector.device)

    def train(self, trained: bool) -> None:  # noqa: FBT001 - a switch
        """From now on gradients are taken for this part, or not."""
        if trained and not self.slopes:
            self.gradient = self.vector if self.folded else side_by_side(self.vector.shape, self.vector.device)
            self.slopes = _views(self.gradient, self._layers)
        self.trained = trained

    @property
    def wanted(self) -> Slopes:
        """Where the gradient of each tensor goes; None for each unless this part is trained."""
        return list(self.slopes) if self.trained else [None] * len(self.tensors)

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


def distinct(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays without those that are there already."""
    return list({id(array): array for array in arrays}.values())


def stack(arrays: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """The arrays (n,) as a new tensor (devices, n); what all devices have in common is moved once."""
    if device.type == "cpu":
        return placed(torch.from_numpy(np.stack(arrays)))
    if len(distinct(arrays)) > 1:
        return torch.from_numpy(np.stack(arrays)).to(device)
    return torch.tensor(arrays[0], device=device).repeat(len(arrays), 1)
