"""How far the average of a channel over a time window strays from its mean: what an outage-aware plan must allow for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray

_TAIL: Final = np.pi / 4 + 6 * np.pi
"""From this argument on J0^2 is replaced by its mean 1/(pi x): where the sine in its asymptote integrates to nothing."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_CHUNK: Final = 8192


def clarke_average_variance(window_s: float, doppler_hz: ArrayLike, residual_hz: float) -> FloatArray:
    """Variance (n,) of the mean of |h|^2 over a window, h Rayleigh with the Doppler spectrum of Clarke and Jakes.

        Var = 2 int_0^1 (1 - u) J0(2 pi f W u)^2 J0(2 pi f_r W u)^2 du

    |h|^2 has mean 1, variance 1 and autocovariance |E h h*|^2 = J0(2 pi f tau)^2 J0(2 pi f_r tau)^2 (Clarke 1968; Siegert's
    relation), and the mean of a stationary process has that variance (Papoulis, "Probability, Random Variables, and
    Stochastic Processes", 1991, chapter 11). 1/Var is the number of independent fades that make the same average.

    ``window_s``: W >= 0 [s]; ``doppler_hz`` (n,): f >= 0, speed over wavelength; ``residual_hz``: f_r >= 0. Within 0.1 %,
    1 % where f is near f_r (tested). A sum of M waves has variance 1 - 1/M instead of 1: not allowed for.
    """
    fast = 2.0 * np.pi * window_s * np.atleast_1d(np.asarray(doppler_hz, np.float64))
    slow = np.full_like(fast, 2.0 * np.pi * window_s * residual_hz)
    fast, slow = np.maximum(fast, slow), np.minimum(fast, slow)
    variance = np.empty(fast.shape)
    for begin in range(0, fast.size, _CHUNK):  # bounds the memory
        part = slice(begin, begin + _CHUNK)
        variance[part] = _mean_covariance(fast[part, None], slow[part, None])
    return variance


def block_average_variance(window_s: float, block_s: float) -> float:
    """Variance of the mean of |h|^2 ~ Exp(1) over a window W, independent between blocks of length b, x = W/b.

    The window's place among the blocks is uniform, so the autocovariance is 1 - tau/b up to b, and Var = 1 - x/3 for x <= 1,
    (1 - 1/(3x)) / x above. Both lengths > 0 [s].
    """
    x = window_s / block_s
    return 1.0 - x / 3.0 if x <= 1.0 else (1.0 - 1.0 / (3.0 * x)) / x


def drift_deviation(lag: ArrayLike, window: ArrayLike) -> FloatArray:
    """Standard deviation of the mean of X over [l, l + y], given X(0); X normal with variance 1 and autocorrelation exp(-d).

        Var = 2 (y - 1 + e^-y) / y^2 - (e^-l (1 - e^-y) / y)^2

    The variance of the mean, less what X(0) explains (joint normality). ``lag``, ``window``: ways l, y >= 0 over the
    correlation distance (Gudmundson 1991 for the autocorrelation); arrays broadcast.
    """
    y = np.asarray(window, np.float64)
    tiny = y < 1e-3
    safe = np.where(tiny, 1.0, y)
    own = np.where(tiny, 1.0 - y / 3.0, 2.0 * (safe + np.expm1(-safe)) / safe**2)
    shared = np.where(tiny, 1.0 - y / 2.0, -np.expm1(-safe) / safe) * np.exp(-np.asarray(lag, np.float64))
    return np.asarray(np.sqrt(np.maximum(own - shared**2, 0.0)))


def outage_margin(outage: float, fading_variance: ArrayLike, drift_db: ArrayLike) -> FloatArray:
    """Factor m <= 1 on the mean gain that its average over the window falls short of with probability ``outage``.

        ln m = -sqrt((ln m_f)^2 + (z d ln 10 / 10)^2),   m_f = P^-1(N, eps) / N,   N = 1 / Var

    Fading: the time-average of a Rayleigh power is taken as gamma-distributed with mean 1 and the right variance (P^-1: inverse of
    the regularised incomplete gamma function; exact for N = 1, and the diversity of order N in between; Nakagami 1960). Drift
    of the shadowing: log-normal with deviation d [dB], z = -Phi^-1(eps). The root of the squares joins the two as
    if both were normal in dB: exact where either is absent. ``outage``: eps in (0, 0.5); arrays broadcast.
    """
    from scipy.special import gammaincinv, ndtri  # SciPy takes half a second to load: not before it is needed

    variance = np.asarray(fading_variance, np.float64)
    fades = 1.0 / np.maximum(variance, 1e-9)
    faded = np.where(variance > 1e-9, np.log(np.minimum(gammaincinv(fades, outage) / fades, 1.0)), 0.0)
    drifted = ndtri(outage) * np.asarray(drift_db, np.float64) * np.log(10.0) / 10.0
    return np.asarray(np.exp(-np.hypot(faded, drifted)))


def _mean_covariance(fast: FloatArray, slow: FloatArray) -> FloatArray:
    """The integral above (n,) for arguments (n, 1) at u = 1, ``fast`` >= ``slow``: evenly up to the fast one's tail, then in log u."""
    edge = np.minimum(1.0, _TAIL / np.maximum(fast, 1e-300))
    near = edge * (_NODES + 1.0) / 2.0
    near_sum = np.sum(_power(fast * near) * _power(slow * near) * (1.0 - near) * _WEIGHTS, axis=-1)
    span = -np.log(edge)
    far = edge * np.exp(span * (_NODES + 1.0) / 2.0)
    far_sum = np.sum(_power(fast * far) * _power(slow * far) * (1.0 - far) * far * _WEIGHTS, axis=-1)
    return np.asarray(edge[:, 0] * near_sum + span[:, 0] * far_sum)


def _power(x: FloatArray) -> FloatArray:
    """J0(x)^2, its running mean in the tail."""
    from scipy.special import j0

    return np.where(x < _TAIL, j0(np.minimum(x, _TAIL)) ** 2, 1.0 / (np.pi * np.maximum(x, _TAIL)))
