"""What plugins answer, looked at before it is used: a message says who answered, in which round, what, and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.errors import SimulationError
from cosim.policy.state import Decision

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray, IntArray
    from cosim.policy.state import RoundState


def who(round_index: int, role: str, component: object) -> str:
    """``round 3, round.csi MyCSI``."""
    return f"round {round_index}, {role} {type(component).__name__}"


def numbers(asked: str, name: str, found: FloatArray, ids: IntArray) -> FloatArray:
    """Numbers of devices (n,), finite and >= 0. Raises SimulationError where they are not."""
    array = np.asarray(found)
    if array.shape != ids.shape or array.dtype.kind not in "fiu":
        raise SimulationError(f"{asked}: {name} has shape {array.shape} and type {array.dtype}; must be {ids.shape}, numbers")
    wrong = ~(np.isfinite(array) & (array >= 0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise SimulationError(f"{asked}: {name} of device {ids[first]} is {array[first]}; must be finite and >= 0")
    return array


def mask(asked: str, name: str, found: BoolArray, ids: IntArray) -> BoolArray:
    """Which devices (n,). Raises SimulationError for anything but a mask: numbers 0 and 1 would be taken for indices."""
    array = np.asarray(found)
    if array.shape != ids.shape or array.dtype != np.bool_:
        raise SimulationError(f"{asked}: {name} has shape {array.shape} and type {array.dtype}; must be a mask {ids.shape} of type bool")
    return array


def decision(asked: str, found: Decision, state: RoundState, ids: IntArray) -> Decision:
    """What a policy decided about those at work ``ids`` (m,). Raises SimulationError where it makes no sense or ends no round."""
    if not isinstance(found, Decision):
        raise SimulationError(f"{asked}: the answer is {type(found).__name__}; must be cosim.policy.state.Decision")
    if found.aggregate:
        if found.merge is not None:
            mask(asked, "merge", found.merge, ids)
        if found.mixing is not None:
            numbers(asked, "mixing.scale", found.mixing.scale, ids)
    elif not found.wake_at_s > state.now_s:
        raise SimulationError(f"{asked}: wake_at_s is {found.wake_at_s} s at {state.now_s:.6g} s; must be later, or inf for the next event")
    elif found.wake_at_s == np.inf and state.outstanding == 0:
        raise SimulationError(f"{asked}: waits at {state.now_s:.6g} s, though nobody is outstanding; must aggregate, or give a wake_at_s")
    return found
