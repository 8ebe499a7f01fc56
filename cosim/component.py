"""The base of every pluggable object: frozen parameters plus functions, one class.

A node of the scenario *is* the component: pydantic checks its fields, and its methods do the work.
What a component needs while a simulation runs is a record that goes in and comes out
(``start(...) -> state``, ``step(state, ...) -> state``), never an attribute.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError


class Component(BaseModel):
    """Frozen, strict, closed: unknown keys, wrong types, NaN and infinities are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


def quantity(default: Any, unit: str, meaning: str, **limits: Any) -> Any:
    """A field with a unit: its default, unit ("" where it has none), meaning and limits (gt, ge, lt, le).

    Errors, ``cosim list`` and ``cosim schema`` are made from what stands here. ``...`` as default
    makes the field required.
    """
    return Field(default, description=meaning, json_schema_extra={"unit": unit}, **limits)


def _existing_path(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise PydanticCustomError("path_type", "must be a path (text)")
    folder = (info.context or {}).get("folder", ".")
    path = Path(os.path.abspath(Path(folder) / Path(value).expanduser()))  # noqa: PTH100 - resolve() would follow links
    try:
        exists = path.exists()
    except (OSError, ValueError):  # a name too long, or with a NUL in it
        exists = False
    if not exists:
        raise PydanticCustomError("path_missing", "no such file or folder: {path}", {"path": str(path)})
    return path


ScenarioPath: TypeAlias = Annotated[
    Path,
    PlainValidator(_existing_path),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "format": "path"}),
]
"""Type of a field that names a file or folder: relative to the scenario's file, absolute once read; it must exist.

The folder comes from pydantic's validation context (``context={"folder": ...}``); without one, paths are
relative to the current directory.
"""
