"""Overrides: ``a.b.0.c = value`` on a fully resolved document.

Applied from the top of the document downwards, ``kind`` first among siblings, so that the order in which
they are given does not matter. Setting ``x.kind`` to another kind starts that node from the new kind's
defaults; to the same kind, it changes nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from cosim.catalog import resolve, role_of, target
from cosim.component import Component
from cosim.document import Place, dotted, shown
from cosim.errors import ScenarioError, UnknownKindError, did_you_mean
from cosim.messages import walk


def place_of(path: str) -> Place:
    """The place that a dotted path names; parts that are numbers are list indices. Raises ScenarioError."""
    parts = path.split(".") if isinstance(path, str) else [""]
    if not all(parts):
        raise ScenarioError(f"override: {shown(path)} is not a dotted path such as 'uplink.bandwidth_hz'")
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def apply(data: Mapping[str, Any], overrides: Mapping[Place, Any], root: type[Component]) -> dict[str, Any]:
    """A copy of ``data``, a document of ``root``, with the overrides in it. Raises ScenarioError for a path that cannot be."""
    result: dict[str, Any] = copy.deepcopy(dict(data))
    for place in sorted(overrides, key=lambda place: (len(place), place[-1] != "kind")):
        value = overrides[place]
        holder = _holder(result, place, value)
        role = _role(result, place[:-1], root) if place[-1] == "kind" else None
        if role is not None and isinstance(value, str):
            _change_kind(holder, role, value)
        else:
            holder[place[-1]] = copy.deepcopy(value)  # later overrides may go into it
    return result


def _holder(data: Any, place: Place, value: Any) -> Any:
    """The map or list in which the last part of a place stands."""
    for depth, part in enumerate(place):
        problem = _problem(data, part, last=depth == len(place) - 1)
        if problem:
            raise ScenarioError(f"override: {dotted(place)} = {shown(value)}: {dotted(place[:depth]) or 'the scenario'} {problem}")
        if depth < len(place) - 1:
            data = data[part]
    return data


def _problem(data: Any, part: str | int, *, last: bool) -> str:
    """Why ``part`` cannot be found in ``data``; "" if it can. The last part may be new to a map: a validation follows."""
    if isinstance(data, dict):
        return "" if last or part in data else f"has no {shown(part)}; allowed: {', '.join(data)}{did_you_mean(str(part), data)}"
    if isinstance(data, list):
        return "" if isinstance(part, int) and part < len(data) else f"is a list of {len(data)}; its items are addressed as 0, 1, ..."
    return f"is {shown(data)}, not a map"


def _role(data: Any, place: Place, root: type[Component]) -> str | None:
    field = walk(root, place, data)[1]
    return role_of(field) if field else None


def _change_kind(node: dict[str, Any], role: str, kind: str) -> None:
    if target(role, kind) == target(role, str(node.get("kind"))):
        return
    try:
        defaults = resolve(role, kind).model_construct().model_dump(mode="json", warnings=False)
    except UnknownKindError:
        defaults = {}  # the validation that follows says where and what is allowed
    node.clear()
    node.update(kind=kind, **defaults)
