"""How much an update counts whose model is no longer the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, final

import numpy as np

from cosim.component import Component, quantity

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray


@final
class Polynomial(Component):
    """s(d) = (1 + d)^-a."""

    polynomial: float = quantity(0.5, "", "exponent a of (1 + staleness)^-a", ge=0, le=100)


@final
class Hinge(Component):
    """s(d) = 1 up to b, then 1 / (a (d - b) + 1)."""

    hinge: float = quantity(10.0, "", "slope a beyond the free staleness", ge=0, le=1e6)
    after: int = quantity(4, "", "b: staleness that costs nothing", ge=0)


Staleness: TypeAlias = Literal["constant"] | Polynomial | Hinge


def staleness_weight(function: Staleness, staleness: IntArray) -> FloatArray:
    """Weights s(d) (m,) in (0, 1], s(0) = 1, of updates whose model is d (m,) aggregations old; constant: 1.

    Source: Xie, Koyejo, Gupta, "Asynchronous Federated Optimization", 2019 (arXiv 1903.03934), section 5.2. Their t - tau.
    """
    late = np.asarray(staleness, np.float64)
    if isinstance(function, Polynomial):
        return np.asarray((1.0 + late) ** -function.polynomial)
    if isinstance(function, Hinge):
        return np.asarray(1.0 / (function.hinge * np.maximum(late - function.after, 0.0) + 1.0))
    return np.ones_like(late)
