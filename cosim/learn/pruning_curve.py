"""How the pruning error grows with the ratio, measured on the model's own weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosim.interfaces import PruningCost
from cosim.learn.layers import Vector

KNOTS = 33


def pruning_curve(weights: Vector, importance: NDArray[np.floating], groups: Sequence[int]) -> PruningCost | None:
    """phi(rho) = ||u - u m(rho)||^2 / ||u||^2 at ``KNOTS`` evenly spaced ratios, for masks that prune by ``importance``; None where u = 0.

    ``weights`` u and ``importance`` (N,): of groups of n consecutive entries, each pruned by itself (``pruner.keep_mask``). One sort, O(N
    log N). In between, the error of a fraction of an entry counts by that fraction, which is above that of floor(rho n) entries. By
    magnitude the squares are summed in ascending order, so phi is convex. By another importance it need not be: then the greatest
    convex curve below it is returned, which understates the error.
    """
    squares, total, start = np.square(weights, dtype=np.float64), np.zeros(KNOTS), 0
    ratio = np.linspace(0.0, 1.0, KNOTS)
    for size in groups:  # a handful of layers
        part = slice(start, start + size)
        summed = np.concatenate([[0.0], np.cumsum(squares[part][np.argsort(importance[part], kind="stable")])])
        total += np.interp(ratio * size, np.arange(size + 1), summed)
        start += size
    return curve_of_losses(total, float(total[-1]))


def curve_of_losses(losses: NDArray[np.float64], whole: float) -> PruningCost | None:
    """The curve from squared norms lost (``KNOTS``,) at evenly spaced ratios and that of the ``whole`` u; None unless that is > 0."""
    if not (np.isfinite(whole) and whole > 0):
        return None
    ratio = np.linspace(0.0, 1.0, KNOTS)
    return PruningCost(ratio, _convex_below(ratio, losses / whole))


def _convex_below(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The greatest convex function below the points (m,), at the same x: the lower hull by Andrew's monotone chain."""
    hull: list[int] = []
    for new in range(len(x)):  # 33 points
        while len(hull) > 1 and (y[hull[-1]] - y[hull[-2]]) * (x[new] - x[hull[-2]]) >= (y[new] - y[hull[-2]]) * (
            x[hull[-1]] - x[hull[-2]]
        ):
            hull.pop()
        hull.append(new)
    return np.asarray(np.interp(x, x[hull], y[hull]))
