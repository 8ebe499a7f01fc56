"""The base of every pluggable object: frozen parameters plus functions, one class.

A node of the scenario *is* the component: pydantic checks its fields, and its methods do the work.
What a component needs while a simulation runs is a record that goes in and comes out
(``start(...) -> state``, ``step(state, ...) -> state``), never an attribute.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Component(BaseModel):
    """Frozen, strict, closed: unknown keys, wrong types, NaN and infinities are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


def quantity(default: Any, unit: str, meaning: str, **limits: Any) -> Any:
    """A field with a unit: its default, unit ("" where it has none), meaning and limits (gt, ge, lt, le).

    Errors, ``cosim list`` and ``cosim schema`` are made from what stands here. ``...`` as default
    makes the field required.
    """
    return Field(default, description=meaning, json_schema_extra={"unit": unit}, **limits)
