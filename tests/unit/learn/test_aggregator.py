import numpy as np
import pytest

from cosim.learn.aggregator import KeptAverage
from cosim.learn.roles import SharedUpdate

OLD = np.float32([10, 20, 30, 40])
UPDATES = [
    SharedUpdate(np.float32([1, 0, 0, 4]), np.array([True, False, False]), 0.25),
    SharedUpdate(np.float32([5, 6, 0, 8]), np.array([True, True, False]), 0.75),
]


def test_each_parameter_is_averaged_over_those_that_kept_it():
    merged = KeptAverage().merge(OLD, iter(UPDATES))
    np.testing.assert_allclose(merged.shared, [4, 6, 30, 7])
    np.testing.assert_array_equal(merged.keepers, [2, 1, 0, 2])
    np.testing.assert_array_equal(OLD, [10, 20, 30, 40])


def test_without_updates_nothing_changes():
    merged = KeptAverage().merge(OLD, [])
    np.testing.assert_array_equal(merged.shared, OLD)
    assert (merged.keepers == 0).all()


def test_weights():
    samples = np.array([1, 3])
    np.testing.assert_allclose(KeptAverage().weights(samples), [0.25, 0.75])
    np.testing.assert_allclose(KeptAverage(weighting="uniform").weights(samples), [0.5, 0.5])


def test_weights_matter_only_among_those_that_kept():
    rng = np.random.default_rng(0)
    masks = rng.random((6, 50)) < 0.5
    values, weights = rng.normal(size=(6, 50)).astype(np.float32) * masks, rng.random(6)
    merged = KeptAverage().merge(np.zeros(50, np.float32), [SharedUpdate(v, m, w) for v, m, w in zip(values, masks, weights, strict=True)])
    for i in np.flatnonzero(masks.any(axis=0)):
        kept = masks[:, i]
        assert merged.shared[i] == pytest.approx(np.average(values[kept, i], weights=weights[kept]), rel=1e-5)
