# noqa: INP001 - a script, not a package
"""How tight the convergence bound of docs/theory.md is: partial pruning and personalization on random quadratics.

    python scripts/bound_slack.py [--instances 500]

Each instance is a federation of quadratics F_k(u, v_k) = 1/2 (z - c_k)' H_k (z - c_k) with z = (u, v_k), whose constants
are known exactly. Per instance: the descent that the theorem promises, the descent that happens, and their ratio.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.alloc.bound import LocalWork, RoundBound, Smoothness, coverage_weights, round_bound
from cosim.learn.pruner import keep_mask

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Federation:
    """K quadratics over u (d,) and v_k (p,): Hessians (K, d+p, d+p), optima (K, d+p), weights (K,)."""

    hessian: Array
    optimum: Array
    weight: Array
    shared: int

    @staticmethod
    def random(rng: np.random.Generator, devices: int, shared: int, personal: int, spread: float) -> Federation:
        """Positive definite Hessians with eigenvalues in (0, 1], optima ``spread`` apart."""
        size = shared + personal
        factor = rng.normal(size=(devices, size, size))
        hessian = factor @ factor.transpose(0, 2, 1)
        hessian /= np.linalg.eigvalsh(hessian)[:, -1, None, None]
        optimum = rng.normal(size=size) + spread * rng.normal(size=(devices, size))
        weight = rng.uniform(0.2, 1.0, devices)
        return Federation(hessian, optimum, weight / weight.sum(), shared)

    @property
    def smoothness(self) -> Smoothness:
        """The exact Lipschitz constants."""
        d = self.shared
        largest = lambda block: float(np.linalg.norm(block, ord=2, axis=(1, 2)).max())  # noqa: E731
        return Smoothness(
            global_u=largest(self.hessian[:, :d, :d]), personal_v=largest(self.hessian[:, d:, d:]), cross=largest(self.hessian[:, d:, :d])
        )

    def gradient(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Gradients in u (K, d) and in v (K, p) at u (d,) or (K, d) and v (K, p)."""
        z = np.concatenate([np.broadcast_to(u, (len(v), self.shared)), v], axis=1)
        both = np.einsum("kij,kj->ki", self.hessian, z - self.optimum)
        return both[:, : self.shared], both[:, self.shared :]

    def value(self, u: Array, v: Array) -> float:
        """F(u, V) = sum_k w_k F_k(u, v_k); its infimum over all u and V is at least 0."""
        z = np.concatenate([np.broadcast_to(u, (len(v), self.shared)), v], axis=1) - self.optimum
        return float(self.weight @ np.einsum("ki,kij,kj->k", z, self.hessian, z)) / 2.0


@dataclass(frozen=True)
class Outcome:
    """One round: ``promised`` <= F before - F after + ``bound.total``; ``after``: (u, V)."""

    promised: float
    decrease: float
    bound: RoundBound
    after: tuple[Array, Array]


def play(federation: Federation, u: Array, v: Array, ratio: Array, work: LocalWork) -> Outcome:
    """One round of the method with magnitude masks at pruning ratios (K,), exact gradients."""
    masks = np.array([keep_mask(np.abs(u), (len(u),), rho) for rho in ratio])
    before, squares, start = federation.value(u, v), 0.0, u * masks
    for _ in range(work.personal_steps):
        squares += 0.5 * work.personal_rate * float(federation.weight @ np.square(federation.gradient(u, v)[1]).sum(axis=1))
        v = v - work.personal_rate * federation.gradient(start, v)[1]
    exact, local, most = federation.gradient(u, v)[0], start.copy(), 0.0
    for _ in range(work.global_steps):
        step = federation.gradient(local, v)[0] * masks
        most = max(most, float(np.linalg.norm(step, axis=1).max()))
        local = local - work.global_rate * step
    shares, mass = coverage_weights(federation.weight, masks)
    merged = np.where(mass > 0, (shares * local).sum(axis=0), u)
    mean = (federation.weight @ exact)[mass > 0]
    squares += 0.5 * work.global_rate * work.global_steps * float(mean @ mean)
    bound = round_bound(
        federation.smoothness,
        work,
        weight=federation.weight,
        masks=masks,
        pruned_square=np.square(u * ~masks).sum(axis=1),
        gradients=exact,
        gradient_bound=most,
    )
    return Outcome(squares, before - federation.value(merged, v), bound, (merged, v))


def instance(rng: np.random.Generator) -> tuple[Federation, LocalWork, Array]:
    """A random federation, its local work within the theorem's step lengths, and pruning ratios (K,)."""
    devices, shared, personal = int(rng.integers(2, 9)), int(rng.integers(2, 13)), int(rng.integers(1, 5))
    federation = Federation.random(rng, devices, shared, personal, spread=float(rng.choice([0.0, 0.3, 1.0])))
    smooth, steps = federation.smoothness, int(rng.integers(1, 6))
    work = LocalWork(
        global_steps=steps,
        global_rate=float(rng.uniform(0.1, 1.0)) / (steps * smooth.global_u),
        personal_steps=int(rng.integers(0, 4)),
        personal_rate=float(rng.uniform(0.1, 1.0)) / smooth.personal_v,
    )
    return federation, work, rng.uniform(0.0, float(rng.choice([0.0, 0.3, 0.9])), devices)


def slack(rng: np.random.Generator, rounds: int = 5) -> tuple[float, float]:
    """(sum of promises, sum of decreases and bounds) over some rounds from a random start."""
    federation, work, ratio = instance(rng)
    u, v = rng.normal(size=federation.shared), rng.normal(size=(len(ratio), federation.hessian.shape[1] - federation.shared))
    promised = granted = 0.0
    for _ in range(rounds):
        outcome = play(federation, u, v, ratio, work)
        promised, granted = promised + outcome.promised, granted + outcome.decrease + outcome.bound.total
        u, v = outcome.after
    return promised, granted


def main() -> None:
    """Print the quantiles of (right-hand side / left-hand side)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--instances", type=int, default=500)
    rng = np.random.default_rng(2024)
    pairs = np.array([slack(rng) for _ in range(parser.parse_args().instances)])
    factor = pairs[:, 1] / pairs[:, 0]
    sys.stdout.write(f"{len(factor)} instances of 5 rounds: bound / left-hand side\n")
    for name, value in zip(("least", "5 %", "median", "95 %", "greatest"), np.quantile(factor, [0, 0.05, 0.5, 0.95, 1]), strict=True):
        sys.stdout.write(f"  {name:9s}{value:8.2f}\n")


if __name__ == "__main__":
    main()
