"""How an update enters a model that has moved on since its device began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cosim.learn.layers import Mask, Vector


def mixed(update: Vector, mask: Mask, current: Vector, reference: Vector, scale: float) -> Vector:
    """The update u' = u + scale (u_k - r) where the device kept a parameter, 0 elsewhere; all (N + M,), ``mask`` (N,), see ``Mixing``.

    Written as u_k + (u - r) + (scale - 1)(u_k - r): an update to the newest model with scale 1 stays as it is, bit for bit.
    """
    received, base = update.astype(np.float64), reference.astype(np.float64)
    result = received + (current - base) + (scale - 1.0) * (received - base)
    result[: len(mask)] *= mask
    return result.astype(np.float32)
