from itertools import pairwise

import numpy as np

from cosim.net.los import sight_field
from cosim.rng import Streams


def test_probability_zero_and_one_are_certain_and_more_is_more():
    x, y = np.random.default_rng(0).uniform(0, 5000, (2, 2000))
    field = sight_field(50.0, 0, Streams(1))
    seen = [field.weight(x, y, np.full(2000, p)) for p in (0.0, 0.2, 0.6, 1.0)]
    assert not seen[0].any()
    assert seen[3].all()
    for fewer, more in pairwise(seen):
        assert (fewer <= more).all()  # a place that is seen with a small probability is seen with a greater one


def test_the_state_does_not_flicker():
    # Rice: a smooth unit normal process crosses its median sqrt(-rho''(0))/pi times per metre; for exp(-(d/50)^2)
    # that is sqrt(2)/(50 pi) = 0.0090 per metre. Over 200 walks of 500 m: 900 crossings +- 5 %, walked in steps of 50 cm
    walk = np.arange(0.0, 500.0, 0.5)
    y = np.random.default_rng(1).uniform(0, 1e5, 200)
    field = sight_field(50.0, 0, Streams(2))
    seen = field.weight(np.tile(walk, (200, 1)), np.repeat(y[:, None], walk.size, axis=1), np.full((200, walk.size), 0.5))
    changes = np.count_nonzero(seen[:, 1:] != seen[:, :-1])
    assert 0.75 * 900 < changes < 1.25 * 900
