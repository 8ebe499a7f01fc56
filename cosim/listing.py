"""What a scenario may say: its sections, the kinds of every role, and their fields, as rows of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from cosim.catalog import KINDS, kind_of, kinds, resolve, role_of
from cosim.component import Component
from cosim.document import shown
from cosim.errors import ScenarioError, UnknownKindError, did_you_mean
from cosim.messages import limits, unit_of
from cosim.scenario import SCENARIO_VERSION, VERSION_KEY, Scenario

HEADER = ("field", "default", "unit", "allowed", "meaning")


@dataclass(frozen=True)
class Entry:
    """A kind or a section: its name, what it is, and a row for each of its fields in the order of ``HEADER``."""

    name: str
    meaning: str
    rows: list[tuple[str, str, str, str, str]]


def topics() -> list[str]:
    """All that ``entries`` knows: sections with fixed fields first, then roles."""
    return [*_sections(), *(role for role in KINDS if role not in _sections())]


def entries(topic: str) -> list[Entry]:
    """The section's fields, or every kind of the role, plugins included. Raises ScenarioError for an unknown topic."""
    sections = _sections()
    if topic in sections:
        return [_entry(topic, sections[topic])]
    if topic not in KINDS:
        raise ScenarioError(f"no role or section is called {topic!r}; there are: {', '.join(topics())}{did_you_mean(topic, topics())}")
    return [_kind(topic, kind) for kind in kinds(topic)]


def _sections() -> dict[str, type[Component]]:
    found: dict[str, type[Component]] = {"scenario": Scenario}
    for name, field in Scenario.model_fields.items():
        inside = field.get_default(call_default_factory=True)
        first = inside[0] if isinstance(inside, tuple) else inside
        if isinstance(first, Component) and role_of(field) is None:
            found[name] = type(first)
    return found


def _kind(role: str, kind: str) -> Entry:
    try:
        return _entry(f"kind: {kind}", resolve(role, kind))
    except UnknownKindError as error:  # a plugin that cannot be imported must not hide the others
        return Entry(f"kind: {kind}", f"not usable: {error}", [])


def _entry(name: str, component: type[Component]) -> Entry:
    meaning = " ".join((component.__doc__ or "").strip().split("\n\n")[0].split())
    return Entry(name, meaning, [_row(name, field) for name, field in component.model_fields.items()])


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str, str]:
    return (name, _default(field), unit_of(field), _allowed(field), field.description or "")


def _allowed(field: FieldInfo) -> str:
    role = role_of(field)
    words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return f"role {role}" if role else ", ".join(map(str, words)) or limits(field)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    role = role_of(field)
    if isinstance(value, Component) and role:
        return f"kind: {kind_of(role, value)}"
    if isinstance(value, Component):
        return "its own" if type(value) in _sections().values() else shown(value.model_dump())
    return f"a list of {len(value)}" if isinstance(value, tuple) and value and isinstance(value[0], Component) else shown(value)


def schema() -> Mapping[str, Any]:
    """JSON Schema (2020-12) of the whole scenario with all kinds, for editors."""
    found = Scenario.model_json_schema()
    found["properties"] = {VERSION_KEY: {"const": SCENARIO_VERSION}, **found["properties"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
