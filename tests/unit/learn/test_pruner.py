import math

import numpy as np
import pytest

from cosim.learn.pruner import Magnitude, Random, Taylor, keep_mask, running_gradient

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.57, 0.999, 1.0])
@pytest.mark.parametrize("groups", [(100,), (7, 90, 3)])
def test_floor_rho_n_entries_of_each_group_are_pruned(ratio, groups):
    mask = keep_mask(RNG.random(100), groups, ratio)
    start = 0
    for size in groups:
        assert np.count_nonzero(~mask[start : start + size]) == math.floor(ratio * size)
        start += size


def test_the_least_important_go():
    importance = RNG.permutation(50).astype(float)
    np.testing.assert_array_equal(keep_mask(importance, (50,), 0.4), importance >= 20)


def test_of_equals_the_first_go():
    mask = keep_mask(np.array([2.0, 1.0, 1.0, 0.0, 1.0, 2.0]), (6,), 0.5)
    np.testing.assert_array_equal(mask, [True, False, False, False, True, True])


@pytest.mark.parametrize("groups", [(1000,), (30, 700, 270)])
@pytest.mark.parametrize("ratio", [0.001, 0.3, 0.7, 0.99])
def test_magnitude_masks_lose_at_most_rho_of_the_squared_norm(groups, ratio):
    weights = RNG.standard_cauchy(1000).astype(np.float32)
    mask = keep_mask(Magnitude().importance(weights, None, RNG), groups, ratio)
    assert np.sum(np.square(weights[~mask], dtype=float)) <= ratio * np.sum(np.square(weights, dtype=float))


def test_taylor_is_the_size_of_weight_times_gradient():
    importance = Taylor().importance(np.float32([1, -2, 3]), np.float32([-4, 0.5, 0]), RNG)
    np.testing.assert_allclose(importance, [4, 1, 0])


def test_taylor_without_gradients_ranks_by_magnitude_and_fills_unknown_ones_with_the_mean():
    weights = np.float32([3, -1, 2])
    unknown = np.full(3, np.nan, np.float32)
    np.testing.assert_allclose(Taylor().importance(weights, unknown, RNG), [3, 1, 2])
    np.testing.assert_allclose(Taylor().importance(weights, np.float32([1, -3, np.nan]), RNG), [3, 3, 4])


def test_running_gradient_starts_with_the_first_value_and_skips_what_is_unknown():
    nan = np.nan
    gradient = running_gradient(np.float32([nan, 4, 4, nan]), np.float32([2, 0, nan, nan]), 0.75)
    np.testing.assert_array_equal(gradient, np.float32([2, 3, 4, nan]))
    assert gradient.dtype == np.float32


def test_random_masks_prune_every_weight_equally_often():
    pruned = sum(~keep_mask(Random().importance(np.zeros(40, np.float32), None, RNG), (40,), 0.25) for _ in range(400))
    # binomial(400, 1/4): standard deviation 8.7; 4.5 of them for the worst of 40
    assert np.abs(pruned - 100).max() < 39
    assert Random().side == "server"
