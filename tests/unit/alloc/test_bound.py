"""The convergence bound against numbers worked out by hand; tests/oracle/test_convergence_bound.py holds it against descent itself."""

import dataclasses

import numpy as np
import pytest

from cosim.alloc.bound import LocalWork, Smoothness, coverage_weights, round_bound

SMOOTHNESS = Smoothness(global_u=2.0, personal_v=3.0, cross=5.0)
WORK = LocalWork(global_steps=4, global_rate=0.1, personal_steps=3, personal_rate=0.2)
WEIGHT = np.array([0.25, 0.75])
MASKS = np.array([[True, True, False], [True, False, False]])
ROUND = {"weight": WEIGHT, "pruned_square": np.array([1.0, 2.0]), "gradients": np.array([[1.0, 2.0, 9.0], [3.0, -2.0, 9.0]]), "gradient_bound": 10.0}  # fmt: skip


def test_shares_are_those_of_who_kept_a_parameter():
    shares, mass = coverage_weights(WEIGHT, MASKS)
    assert mass.tolist() == [1.0, 0.25, 0.0]
    assert shares.tolist() == [[0.25, 1.0, 0.0], [0.75, 0.0, 0.0]]


def test_parts():
    found = round_bound(SMOOTHNESS, WORK, masks=MASKS, **ROUND)
    # lengths 0.4 and 0.6, least W 1/4, error 1/4 + 3/2
    assert found.pruning == pytest.approx(0.4 * 2**2 / 0.25 * 1.75 + 0.5 * 0.6 * 5**2 * 1.75, rel=1e-14)
    # 0 + 1^2 + 2^2 + 3^2 in the mean of four steps, of 0.1 x 10 each
    assert found.drift == pytest.approx(0.4 * 2**2 / 0.25 * (0 + 1 + 4 + 9) / 4, rel=1e-14)
    # the second parameter: (1 - 1/4) 2 + (0 - 3/4) (-2); the first is whole, and nobody has the third
    assert found.coverage == pytest.approx(0.4 * 3**2, rel=1e-14)
    assert found.noise == 0
    assert found.total == pytest.approx(sum(dataclasses.astuple(found)), rel=1e-15)


def test_noise():
    shorter = dataclasses.replace(WORK, global_rate=0.05)
    found = round_bound(SMOOTHNESS, shorter, masks=MASKS, noise_u=7.0, noise_v=11.0, **ROUND)
    assert found.noise == pytest.approx(2 * 0.2**2 * 7 / (4 * 0.25) + 0.5 * 3 * 0.2 * 0.6 * 11, rel=1e-14)
    with pytest.raises(ValueError, match=r"eta_u tau_u L_u = 0\.8: the bound holds up to 0\.5"):
        round_bound(SMOOTHNESS, WORK, masks=MASKS, noise_u=7.0, **ROUND)


def test_where_nobody_keeps_anything_the_error_stays_as_it_is():
    found = round_bound(SMOOTHNESS, WORK, masks=np.zeros((2, 3), bool), **ROUND)
    assert found.pruning == pytest.approx(0.4 * 2**2 * 1.75 + 0.5 * 0.6 * 5**2 * 1.75, rel=1e-14)
    assert found.coverage == 0
