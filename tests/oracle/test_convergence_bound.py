"""The bound of docs/theory.md on quadratics, where every constant is known: it holds each time, and says something."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.alloc.bound import LocalWork, Smoothness, coverage_weights, round_bound
from cosim.learn.aggregator import KeptAverage
from cosim.learn.roles import SharedUpdate

_SCRIPT = Path(__file__).parents[2] / "scripts" / "bound_slack.py"
_SPEC = importlib.util.spec_from_file_location("bound_slack", _SCRIPT)
assert _SPEC is not None
assert _SPEC.loader is not None
quadratics = sys.modules["bound_slack"] = importlib.util.module_from_spec(_SPEC)  # dataclasses look it up there
_SPEC.loader.exec_module(quadratics)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_bound_holds_in_every_round(seed):
    rng = np.random.default_rng(seed)
    federation, work, ratio = quadratics.instance(rng)
    u, v = rng.normal(size=federation.shared), rng.normal(size=(len(ratio), federation.hessian.shape[1] - federation.shared))
    for _ in range(3):
        outcome = quadratics.play(federation, u, v, ratio, work)
        granted = outcome.decrease + outcome.bound.total
        assert outcome.promised <= granted + 1e-12 * (1 + abs(granted))
        u, v = outcome.after


def test_the_bound_is_not_vacuous():
    """Over 200 instances the right-hand side is a small multiple of the left-hand side (median 2.1 when this was written)."""
    rng = np.random.default_rng(7)
    pairs = np.array([quadratics.slack(rng) for _ in range(200)])
    factor = pairs[:, 1] / pairs[:, 0]
    assert factor.min() >= 1.0
    assert np.median(factor) < 3.0


def test_without_pruning_one_step_loses_nothing():
    """rho = 0 and tau_u = 1 is gradient descent on F: all that is lost is zero, and descent is half the squared gradient at least."""
    rng = np.random.default_rng(3)
    federation = quadratics.Federation.random(rng, 4, 6, 2, 1.0)
    work = LocalWork(global_steps=1, global_rate=1.0 / federation.smoothness.global_u, personal_steps=0, personal_rate=0.0)
    outcome = quadratics.play(federation, rng.normal(size=6), rng.normal(size=(4, 2)), np.zeros(4), work)
    assert outcome.bound.pruning == outcome.bound.drift == outcome.bound.noise == 0.0
    assert outcome.bound.coverage == pytest.approx(0.0, abs=1e-25)
    assert outcome.decrease >= outcome.promised > 0


def test_averaging_over_keepers_can_stall_without_any_pruning_error():
    """F_1 = u^2/2, F_2 = (u - c)^2/2, and device 2 always prunes u = 0: nothing moves, and coverage alone accounts for it."""
    c = 2.0
    federation = quadratics.Federation(np.ones((2, 1, 1)), np.array([[0.0], [c]]), np.full(2, 0.5), shared=1)
    work = LocalWork(global_steps=1, global_rate=1.0, personal_steps=0, personal_rate=0.0)
    gradient = federation.gradient(np.zeros(1), np.zeros((2, 0)))[0]
    masks = np.array([[True], [False]])
    bound = round_bound(
        Smoothness(global_u=1.0, personal_v=0.0, cross=0.0),
        work,
        weight=federation.weight,
        masks=masks,
        pruned_square=np.zeros(2),
        gradients=gradient,
        gradient_bound=0.0,
    )
    stalled = 0.5 * float(federation.weight @ gradient[:, 0]) ** 2  # half the squared gradient of F: promised, yet nothing moves
    assert stalled == pytest.approx(c**2 / 8)
    assert bound.pruning == bound.drift == bound.noise == 0.0
    assert bound.coverage == pytest.approx(c**2 / 4)
    assert stalled <= bound.coverage


@pytest.mark.full
def test_the_bound_holds_in_expectation_with_noise():
    """Mini-batch noise of known variance: the mean over 4,000 rounds keeps the bound, with five standard errors to spare."""
    rng = np.random.default_rng(11)
    federation = quadratics.Federation.random(rng, 3, 5, 2, 1.0)
    smooth, sigma = federation.smoothness, 0.3
    work = LocalWork(
        global_steps=3, global_rate=0.5 / (3 * smooth.global_u), personal_steps=2, personal_rate=0.5 / max(smooth.personal_v, 1e-9)
    )
    u, v = rng.normal(size=5), rng.normal(size=(3, 2))
    masks = rng.random((3, 5)) < 0.7
    masks[0] = True
    shares, _ = coverage_weights(federation.weight, masks)
    sides = []
    largest = 0.0
    played = []
    for _ in range(4000):
        personal, squares = v.copy(), 0.0
        for _ in range(work.personal_steps):
            true = federation.gradient(u, personal)[1]
            squares += 0.5 * work.personal_rate * float(federation.weight @ np.square(true).sum(axis=1))
            noise = rng.normal(size=personal.shape) * sigma / np.sqrt(2)
            personal = personal - work.personal_rate * (federation.gradient(u * masks, personal)[1] + noise)
        exact, local, steps = federation.gradient(u, personal)[0], u * masks, []
        for _ in range(work.global_steps):
            step = (federation.gradient(local, personal)[0] + rng.normal(size=local.shape) * sigma / np.sqrt(5)) * masks
            steps.append(np.square(step).sum(axis=1))
            local = local - work.global_rate * step
        mean = federation.weight @ exact
        squares += 0.5 * work.global_rate * work.global_steps * float(mean @ mean)
        played.append((squares, federation.value(u, v) - federation.value((shares * local).sum(axis=0), personal), exact, np.array(steps)))
    largest = float(np.sqrt(np.mean([steps for *_, steps in played], axis=0).max()))  # root mean square, the largest over steps and devices
    for squares, decrease, exact, _ in played:
        bound = round_bound(
            smooth,
            work,
            weight=federation.weight,
            masks=masks,
            pruned_square=np.square(u * ~masks).sum(axis=1),
            gradients=exact,
            gradient_bound=largest,
            noise_u=sigma**2,
            noise_v=sigma**2,
        )
        sides.append(decrease + bound.total - squares)
    assert np.mean(sides) > 5 * np.std(sides) / np.sqrt(len(sides))


def test_steps_beyond_the_theorem_are_refused():
    work = LocalWork(global_steps=4, global_rate=0.5, personal_steps=1, personal_rate=0.1)
    arrays = {"weight": np.ones(1), "masks": np.ones((1, 1), bool), "pruned_square": np.zeros(1), "gradients": np.zeros((1, 1))}
    with pytest.raises(ValueError, match=r"eta_u tau_u L_u = 2: the bound holds up to 1"):
        round_bound(Smoothness(global_u=1.0, personal_v=1.0, cross=0.0), work, gradient_bound=1.0, **arrays)
    with pytest.raises(ValueError, match=r"up to 0.5"):
        round_bound(Smoothness(global_u=0.4, personal_v=1.0, cross=0.0), work, gradient_bound=1.0, noise_u=1.0, **arrays)


def test_the_server_averages_with_the_weights_of_the_theorem():
    rng = np.random.default_rng(5)
    weight, masks = np.array([0.5, 0.3, 0.2]), rng.random((3, 8)) < 0.5
    masks[:, 0] = False  # nobody keeps this one
    old, sent = rng.normal(size=8).astype(np.float32), rng.normal(size=(3, 8)).astype(np.float32) * masks
    merged = KeptAverage().merge(old, (SharedUpdate(u, mask, float(w)) for u, mask, w in zip(sent, masks, weight, strict=True)))
    shares, mass = coverage_weights(weight, masks)
    assert merged.shared == pytest.approx(np.where(mass > 0, (shares * sent).sum(axis=0), old), rel=1e-6)
    assert merged.keepers.tolist() == masks.sum(axis=0).tolist()
