"""The curve phi against masks that are really made."""

import numpy as np
import pytest

from cosim.learn.pruner import Magnitude, Random, Taylor, keep_mask
from cosim.learn.pruning_curve import KNOTS, pruning_curve


def weights(count=3000):
    return np.random.default_rng(1).standard_t(3, count).astype(np.float32)


@pytest.mark.parametrize("groups", [(3000,), (10, 990, 2000)])
def test_masks_by_magnitude_cost_what_the_curve_says(groups):
    u = weights()
    curve = pruning_curve(u, np.abs(u), groups)
    squares = u.astype(np.float64) ** 2
    for ratio, cost in zip(curve.ratio, curve.cost, strict=True):
        lost = squares[~keep_mask(np.abs(u), groups, ratio)].sum() / squares.sum()
        assert lost <= cost + 1e-12
        # less than one entry a group is counted in part
        assert cost - lost <= sum(squares.max() for _ in groups) / squares.sum()
    assert curve.cost[0] == 0
    assert curve.cost[-1] == pytest.approx(1.0, abs=1e-12)
    assert len(curve.ratio) == KNOTS
    assert (curve.cost <= curve.ratio + 1e-12).all()


def test_another_importance_gives_the_convex_curve_below():
    u = weights()
    importance = -np.abs(u)  # the largest go first: concave, so all that is convex below it is the straight line
    assert pruning_curve(u, importance, (3000,)).cost == pytest.approx(np.linspace(0, 1, KNOTS), abs=1e-12)
    some = np.random.default_rng(2).random(3000)
    curve, squares = pruning_curve(u, some, (3000,)), u.astype(np.float64) ** 2
    lost = [squares[~keep_mask(some, (3000,), ratio)].sum() / squares.sum() for ratio in curve.ratio]
    assert (curve.cost <= np.array(lost) + squares.max() / squares.sum()).all()
    assert np.abs(curve.cost - curve.ratio).max() < 0.1


def test_no_weights_no_curve():
    assert pruning_curve(np.zeros(5, np.float32), np.zeros(5), (5,)) is None


@pytest.mark.parametrize("pruner", [Magnitude(), Magnitude(scope="global"), Taylor(), Taylor(side="server"), Random()], ids=repr)
def test_a_learner_knows_its_curve(play, pruner):
    learner = play.learner(pruner=pruner)
    first = learner.pruning_cost()
    submodels, *_ = play.round(learner, 0, ratio=0.5)
    total = submodels.pruning_bound / 0.5
    if isinstance(pruner, Magnitude):
        assert submodels.pruning_error / total == pytest.approx(first.value(0.5), abs=0.02)
    second = learner.pruning_cost()
    assert second == learner.pruning_cost()  # asking changes nothing
    assert second != first
    assert (second.cost[1:] > 0).all()
