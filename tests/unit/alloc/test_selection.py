"""Selection rules."""

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.alloc.selection import All, Random
from cosim.rng import Streams


def test_all_takes_everyone(problem):
    assert All().select(problem(4), np.random.default_rng(0)).tolist() == [True] * 4


def test_random_takes_as_many_as_it_says(problem):
    rng = np.random.default_rng(0)
    assert Random(count=3).select(problem(8), rng).sum() == 3
    assert Random(count=3).select(problem(2), rng).all()
    assert Random(count=3).select(problem(0), rng).shape == (0,)


def test_random_takes_everyone_equally_often(problem):
    """2000 rounds of 3 in 8: a device's count is binomial with mean 750 and standard deviation 21.7; 5 of them: p < 1e-5 in all."""
    streams, some = Streams(1), problem(8)
    counts = sum(Random(count=3).select(some, streams.generator("selection", k)).astype(int) for k in range(2000))
    assert np.all(np.abs(counts - 750) < 5 * 21.7)


def test_random_depends_on_its_stream_alone(problem):
    first, again = (Random(count=3).select(problem(8), Streams(5).generator("selection", 2)) for _ in range(2))
    assert np.array_equal(first, again)


def test_random_needs_at_least_one():
    with pytest.raises(ValidationError):
        Random(count=0)
