"""What pydantic found wrong with a document, in one short line for each mistake.

``file:line:column: dotted.path = value: what is wrong; what is allowed; did you mean ...?``
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cosim.catalog import component_class, role_of
from cosim.component import Component
from cosim.document import Place, dotted, shown
from cosim.errors import did_you_mean

MOST_LINES: Final = 5
Where: TypeAlias = Callable[[Place, bool], str]
"""The beginning of a line: from a place, and whether its key is meant (not its value)."""

_TYPES: Final = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "model_type": "must be a map (key: value)",
    "dict_type": "must be a map (key: value)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "missing": "is required",
    "none_required": "must be null",
}
_RANGES: Final = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_SIGNS: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def explain(error: ValidationError, root: type[Component], data: Any, where: Where) -> str:
    """The first mistakes in ``data``, which was read as ``root``: a line each, and how many more there are."""
    found: dict[Place, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        place = _place(detail, data)
        if detail["type"] == "value_error":  # of several fields together: its text says which
            named, rest = named_place(str(detail["ctx"]["error"]), walk(root, place, data)[0])
            place, detail["ctx"] = (*place, *named), {"error": rest}
        found.setdefault(place, []).append(detail)
    deepest = [place for place in found if not any(other[: len(place)] == place and other != place for other in found)]
    lines = []
    for place in deepest[:MOST_LINES]:
        begin = where(place, found[place][0]["type"] == "extra_forbidden")
        lines.append(f"{begin}: {_subject(place, data)}: {_reason(found[place], place, root, data)}")
    more = len(deepest) - len(lines)
    return "\n".join([*lines, *([f"... and {more} more"] if more else [])])


def _place(detail: ErrorDetails, data: Any) -> Place:
    """Where in the document an error is: parts of pydantic's place that name a union's branch drop out."""
    place: list[str | int] = []
    for part in detail["loc"]:
        below = _below(data, part)
        if below is not _NOTHING:
            place.append(part)
            data = below
    if detail["type"] in {"missing", "node_kind"} and place[-1:] != [detail["loc"][-1]]:
        place.append(detail["loc"][-1])
    return tuple(place)


def named_place(text: str, owner: type[Component] | None) -> tuple[Place, str]:
    """The place in ``owner`` that a message begins with, as ``a.b: ...`` or ``a.b = value: ...``, and what follows; else (), and all."""
    found = re.match(r"(\w+(?:\.\w+)*)(?: = [^:]*)?: ", text)
    if found is None or owner is None or (parts := found[1].split("."))[0] not in owner.model_fields:
        return (), text
    return tuple(int(part) if part.isdecimal() else part for part in parts), text[found.end() :]


_NOTHING: Final = object()


def _below(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part, _NOTHING)
    if isinstance(data, Sequence) and not isinstance(data, str) and isinstance(part, int) and part < len(data):
        return data[part]
    return _NOTHING


def _subject(place: Place, data: Any) -> str:
    name = dotted(place) or "scenario"
    for part in place:
        data = _below(data, part)
    if data is _NOTHING or isinstance(data, Mapping | Component):
        return name
    return f"{name} = {shown(data)}"


def _reason(details: list[ErrorDetails], place: Place, root: type[Component], data: Any) -> str:
    """What is wrong at one place, and what is allowed. Several details: none of a union's branches fits."""
    first = details[0]
    if first["type"] == "extra_forbidden":
        owner, field = walk(root, place[:-1], data)
        known = [*(owner.model_fields if owner else ()), *(["kind"] if field and role_of(field) else [])]
        return f"unknown key; allowed: {', '.join(known) or 'none'}{did_you_mean(str(place[-1]), known)}"
    field = walk(root, place, data)[1]
    closest = [detail for detail in details if detail["type"] not in _TYPES] or details
    texts = dict.fromkeys(_text(detail, field) for detail in closest)
    return " or ".join(texts) + (_meaning(field) if first["type"] in {*_TYPES, *_RANGES} else "")


def _text(detail: ErrorDetails, field: FieldInfo | None) -> str:
    kind = detail["type"]
    if kind in _TYPES:
        allowed = limits(field)
        return f"{_TYPES[kind]}, {allowed}" if allowed and "number" in _TYPES[kind] else _TYPES[kind]
    if kind in _RANGES:
        own = " and ".join(f"{_SIGNS[name]} {_number(limit)}" for name, limit in detail["ctx"].items() if name in _SIGNS)
        return f"must be {limits(field) or own}"
    if kind == "literal_error":
        expected = detail["ctx"]["expected"]
        return f"must be {expected}{did_you_mean(str(detail['input']), _quoted(expected))}"
    message = str(detail["ctx"]["error"]) if kind == "value_error" else detail["msg"][:1].lower() + detail["msg"][1:]
    return message.replace("\n", " ")


def _quoted(text: str) -> list[str]:
    return re.findall("'([^']*)'", text)


def limits(field: FieldInfo | None) -> str:
    """``> 0 and <= 1 Hz`` from a field's limits and unit; "" where it has no limits."""
    metadata = field.metadata if field else []
    found = [
        f"{sign} {_number(limit)}" for item in metadata for name, sign in _SIGNS.items() if (limit := getattr(item, name, None)) is not None
    ]
    return f"{' and '.join(found)} {unit_of(field)}".strip() if field and found else ""


def _number(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _meaning(field: FieldInfo | None) -> str:
    """Meaning as ``quantity`` declared it, with the unit where limits do not name it already."""
    if field is None or field.json_schema_extra is None:
        return ""
    unit = "" if limits(field) else unit_of(field)
    return f" ({field.description}{f' [{unit}]' if unit else ''})"


def unit_of(field: FieldInfo) -> str:
    """The unit that ``quantity`` gave the field; "" where it has none."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def walk(root: type[Component], place: Place, data: Any) -> tuple[type[Component] | None, FieldInfo | None]:
    """The component class that the value at a place is read with, and the field that holds it; None where unknown."""
    owner: type[Component] | None = root
    field: FieldInfo | None = None
    for part in place:
        data = _below(data, part)
        if isinstance(part, str):
            field = owner.model_fields.get(part) if owner else None
        owner = component_class(field, data) if field else None
    return owner, field
