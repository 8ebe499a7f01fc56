"""The convergence bound that makes sum_k w_k rho_k the objective: statement and proof are in docs/theory.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothness:
    """Lipschitz constants of the gradients, the same for all devices.

    ``global_u``: of grad_u F_k in u; ``personal_v``: of grad_v F_k in v; ``cross``: of grad_v F_k in u.
    """

    global_u: float
    personal_v: float
    cross: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWork:
    """tau_u steps of length eta_u on u, and before them tau_v of eta_v on v."""

    global_steps: int
    global_rate: float
    personal_steps: int
    personal_rate: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RoundBound:
    """By how much a round may fall short of the descent that exact gradients of the whole model would give.

    ``pruning``: because devices work with u m_k; ``drift``: because they take several steps alone; ``coverage``: because a
    parameter is averaged over those who kept it; ``noise``: because gradients are those of mini-batches (in expectation).
    """

    pruning: float
    drift: float
    coverage: float
    noise: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.pruning + self.drift + self.coverage + self.noise


def coverage_weights(weight: FloatArray, masks: BoolArray) -> tuple[FloatArray, FloatArray]:
    """a_ki = w_k m_ki / W_i (K, d) with W_i = sum_k w_k m_ki (d,): the share of device k in the average of parameter i.

    ``weight`` (K,) > 0, summing to 1; ``masks`` (K, d). Where nobody kept a parameter (W_i = 0) its shares are 0.
    """
    kept = np.where(masks, weight[:, None], 0.0)
    mass = kept.sum(axis=0)
    return np.divide(kept, mass, out=np.zeros_like(kept), where=mass > 0), mass


def round_bound(
    smoothness: Smoothness,
    work: LocalWork,
    *,
    weight: FloatArray,
    masks: BoolArray,
    pruned_square: FloatArray,
    gradients: FloatArray,
    gradient_bound: float,
    noise_u: float = 0.0,
    noise_v: float = 0.0,
) -> RoundBound:
    """Right-hand side of theorem 1 of docs/theory.md for one round.

    Args:
        smoothness: L_u, L_v, L_vu.
        work: steps and their lengths; eta_v L_v <= 1 and eta_u tau_u L_u <= 1 (with noise: <= 1/2).
        weight: w_k (K,), summing to 1.
        masks: m_k (K, d), True where kept (parameters that are never pruned: True).
        pruned_square: e_k^2 = ||u - u m_k||^2 (K,).
        gradients: grad_u F_k(u, v_k) of the unpruned model after the personal steps (K, d).
        gradient_bound: G; the mean square of a local step's gradient (of its mini-batch) on kept parameters is at most G^2.
        noise_u: sigma_u^2, variance of a mini-batch's gradient of u.
        noise_v: sigma_v^2, the same for v.

    Raises:
        ValueError: the steps are too long for the theorem.
    """
    _check_steps(smoothness, work, noisy=noise_u > 0 or noise_v > 0)
    shares, mass = coverage_weights(weight, masks)
    covered = mass > 0
    least_mass = float(mass[covered].min()) if covered.any() else 1.0
    error = float(weight @ pruned_square)
    length_u, length_v = work.global_rate * work.global_steps, work.personal_rate * work.personal_steps
    steps, square = work.global_steps, smoothness.global_u**2 / least_mass
    wandering = (work.global_rate * gradient_bound) ** 2 * (steps - 1) * (2 * steps - 1) / 6
    gap = ((shares - weight[:, None]) * gradients).sum(axis=0)[covered]
    return RoundBound(
        pruning=length_u * square * error + 0.5 * length_v * smoothness.cross**2 * error,
        drift=length_u * square * wandering,
        coverage=length_u * float(gap @ gap),
        noise=smoothness.global_u * length_u**2 * noise_u / (steps * least_mass)
        + 0.5 * smoothness.personal_v * work.personal_rate * length_v * noise_v,
    )


def _check_steps(smoothness: Smoothness, work: LocalWork, *, noisy: bool) -> None:
    limit = 0.5 if noisy else 1.0
    for name, length, most in (
        ("eta_u tau_u L_u", work.global_rate * work.global_steps * smoothness.global_u, limit),
        ("eta_v L_v", work.personal_rate * smoothness.personal_v, 1.0),
    ):
        if length > most * (1 + 1e-12):
            raise ValueError(f"{name} = {length:.6g}: the bound holds up to {most:g}")
