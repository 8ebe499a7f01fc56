"""The study file: a base scenario, variants of it, and seeds.

A variant is a set of overrides. ``variants`` names some by hand; ``grid`` makes one of every combination of its lists,
``zip`` one of every position in its lists. Where more than one of the three is given, all their combinations are meant.
Every variant is simulated with every seed, and all variants of one seed see the same world.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, final

from pydantic import Field, ValidationError

from cosim import overrides as override
from cosim.component import Component, quantity
from cosim.document import Document, Place, dotted, read, shown
from cosim.errors import ScenarioError
from cosim.messages import explain
from cosim.scenario import Scenario, blame, culprits
from cosim.study.metrics import Metric

MOST_VARIANTS: Final = 10_000
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.,-]{0,99}"
_LEAST: Final = "study is 'scenario: FILE' and 'seeds: [1]'"


@final
class SeedRange(Component):
    """Seeds first, first + 1, ..., first + count - 1."""

    first: int = quantity(1, "", "first seed", ge=0, lt=2**62)
    count: int = quantity(..., "", "number of seeds", ge=1, le=100_000)


@final
class Until(Component):
    """Seeds are added until the 95 % interval of a metric's mean is narrow enough for every variant; at least 10 of them."""

    metric: Metric = quantity("latency_s", "", "which metric's interval is looked at")
    precision: float = quantity(..., "", "half the length of the interval over the mean", gt=0, lt=1)
    most_seeds: int = quantity(200, "", "where to stop in any case", ge=10, le=100_000)


Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seeds = Annotated[tuple[Seed, ...], Field(strict=False, min_length=1)]
Values = Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]


@final
class StudyFile(Component):
    """What a study file may hold."""

    scenario: Annotated[str, Field(min_length=1)] | dict[str, Any] = quantity(
        ..., "", "base scenario: a file, relative to the study's, or a whole scenario in place"
    )
    seeds: Seeds | SeedRange = quantity(..., "", "seeds: a list, or {first, count}")
    overrides: dict[str, Any] = quantity({}, "", "overrides for all variants: path and value")
    variants: dict[str, dict[str, Any]] = quantity({}, "", "variants by name: the overrides of each")
    grid: dict[str, Values] = quantity({}, "", "a variant for each combination: path and its values")
    zip: dict[str, Values] = quantity({}, "", "a variant for each position: path and its values, lists of one length")
    until: Until | None = quantity(None, "", "add seeds until results are precise: {metric, precision, most_seeds}")


@dataclass(frozen=True)
class Added:
    """The seeds of a study to which a rule may have added some, and the rule."""

    seeds: tuple[int, ...]
    until: Until


@dataclass(frozen=True)
class Plan:
    """A checked study: ``base`` with the common overrides, and each variant's overrides and scenario by name.

    ``until``: the rule by which seeds are added to those of the file, None where they are fixed.
    """

    base: Scenario
    overrides: Mapping[str, Mapping[str, Any]]
    variants: Mapping[str, Scenario]
    seeds: tuple[int, ...]
    until: Until | None = None

    def with_seeds(self, count: int) -> Plan:
        """This plan with ``count`` seeds: those that it lacks follow on the largest."""
        return replace(self, seeds=(*self.seeds, *range(max(self.seeds) + 1, max(self.seeds) + 1 + count - len(self.seeds))))

    def joined(self, before: Added | None) -> Plan:
        """This plan with the seeds that a rule had added before, which stay added."""
        if before is None:
            return self
        return replace(self, seeds=tuple(dict.fromkeys((*self.seeds, *before.seeds))), until=self.until or before.until)

    def scenario(self, variant: str, seed: int) -> Scenario:
        """The scenario of one run."""
        return self.variants[variant].model_copy(update={"seed": seed})

    def resolved(self) -> dict[str, Any]:
        """The plan as a study file that needs no other file."""
        plan: dict[str, Any] = {
            "scenario": self.base.resolved(),
            "seeds": list(self.seeds),
            "variants": {name: dict(overrides) for name, overrides in self.overrides.items()},
        }
        return plan if self.until is None else {**plan, "until": self.until.model_dump()}


@dataclass(frozen=True)
class _Choice:
    """Part of a variant: its name ("" if it has none), its overrides, and where each stands in the study file."""

    name: str
    overrides: Mapping[Place, Any]
    origin: Mapping[Place, Place]


def load(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Plan:
    """The plan in a study file. Raises ScenarioError with line and column, for the base scenario too.

    ``overrides``: dotted path and value, for all variants, in place of what the file has for that path; what a variant sets itself wins.
    """
    document = read(path, least=_LEAST)
    folder = Path(path).parent
    try:
        file = StudyFile.model_validate(document.data)
    except ValidationError as error:
        raise ScenarioError(explain(error, StudyFile, document.data, lambda place, key: document.where(place, key=key))) from None
    settings = {**file.overrides, **(overrides or {})}
    common = _choice(document, "", {name: (value, ("overrides", name)) for name, value in settings.items()})
    base = _overridden(_base(file, document, folder), common, document, folder)
    variants: dict[str, Scenario] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for choice in _variants(file, document):
        if choice.name in variants:
            place = next(iter(choice.origin.values()), ())
            raise _refusal(document, place, f"two variants are both named {shown(choice.name)}; give them names under 'variants'")
        scenario = _overridden(base, choice, document, folder)
        variants[choice.name] = scenario
        chosen[choice.name] = {".".join(map(str, at)): _value(scenario.resolved(), at) for at in choice.overrides}
    return Plan(base, chosen, variants, _seeds(file, document), file.until)


def with_until(plan: Plan, **options: Any) -> Plan:
    """The plan with the rule of the command line: ``precision``, ``metric``, ``most_seeds``, None where not given. Raises ScenarioError."""
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return plan
    data = {**({} if plan.until is None else plan.until.model_dump()), **given}
    try:
        return replace(plan, until=Until.model_validate(data))
    except ValidationError as error:
        raise ScenarioError(explain(error, Until, data, lambda *_: "--until-precision")) from None


def _base(file: StudyFile, document: Document, folder: Path) -> Scenario:
    if isinstance(file.scenario, dict):
        return Scenario.checked(file.scenario, folder, lambda place, key: document.where(("scenario", *place), key=key))
    path = folder / file.scenario
    if not path.is_file():
        raise _refusal(document, ("scenario",), f"no such file: {path}")
    return Scenario.load(path)


def _seeds(file: StudyFile, document: Document) -> tuple[int, ...]:
    if isinstance(file.seeds, SeedRange):
        return tuple(range(file.seeds.first, file.seeds.first + file.seeds.count))
    for index, seed in enumerate(file.seeds):
        if seed in file.seeds[:index]:
            raise _refusal(document, ("seeds", index), f"seed {seed} stands there twice")
    return file.seeds


def _variants(file: StudyFile, document: Document) -> list[_Choice]:
    axes = [_named(file, document)] if file.variants else []
    axes += [_axis(document, ("grid",), {path: values}) for path, values in file.grid.items()]
    axes += [_axis(document, ("zip",), file.zip)] if file.zip else []
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MOST_VARIANTS:
        raise _refusal(document, (), f"{count} variants, which is more than {MOST_VARIANTS}")
    return [_joined(document, choices) for choices in itertools.product(*axes)]


def _named(file: StudyFile, document: Document) -> list[_Choice]:
    for name in file.variants:
        if not re.fullmatch(_NAME, name):
            raise _refusal(document, ("variants", name), "a name becomes a folder: letters, digits and _ . , - only, at most 100 of them")
    return [
        _choice(document, name, {path: (value, ("variants", name, path)) for path, value in overrides.items()})
        for name, overrides in file.variants.items()
    ]


def _axis(document: Document, section: Place, lists: Mapping[str, Sequence[Any]]) -> list[_Choice]:
    """A choice for each position in lists of one length, named after its values."""
    length = len(next(iter(lists.values())))
    for path, values in lists.items():
        if len(values) != length:
            raise _refusal(document, (*section, path), f"has {len(values)} values, {shown(next(iter(lists)))} has {length}")
    rows = [{path: (values[index], (*section, path, index)) for path, values in lists.items()} for index in range(length)]
    return [_choice(document, name_of({path: value for path, (value, _) in row.items()}), row) for row in rows]


def name_of(overrides: Mapping[str, Any]) -> str:
    """A short name for overrides: ``kkt,bandwidth_hz-5e+06`` for allocator.kind and uplink.bandwidth_hz."""
    return ",".join(filter(None, (_word(path, value) for path, value in overrides.items()))) or "base"


def _word(path: str, value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else value if isinstance(value, str) else shown(value)
    parts = path.split(".")
    word = text if parts[-1] == "kind" else f"{parts[-1]}-{text}"
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", word.replace("e+0", "e")).strip("-.")


def _choice(document: Document, name: str, overrides: Mapping[str, tuple[Any, Place]]) -> _Choice:
    places: dict[Place, Any] = {}
    origin: dict[Place, Place] = {}
    for path, (value, at) in overrides.items():
        try:
            place = override.place_of(path)
        except ScenarioError as error:
            raise ScenarioError(f"{document.where(at)}: {error}") from None
        if place == ("seed",):
            raise _refusal(document, at, "the seed is no override; a study has 'seeds'")
        places[place], origin[place] = value, at
    return _Choice(name, places, origin)


def _joined(document: Document, choices: Iterable[_Choice]) -> _Choice:
    names, overrides, origin = [], dict[Place, Any](), dict[Place, Place]()
    for choice in choices:
        for place, at in choice.origin.items():
            if place in origin:
                raise _refusal(document, at, f"{dotted(place)} is set in {dotted(origin[place][:1])} too")
        names.append(choice.name)
        overrides |= choice.overrides
        origin |= choice.origin
    return _Choice(",".join(names) or "base", overrides, origin)


def _overridden(scenario: Scenario, choice: _Choice, document: Document, folder: Path) -> Scenario:
    def where(place: Place) -> str:
        return f"{document.where(choice.origin[culprits(place, choice.overrides)[0]])}: {blame(place, choice.overrides)}"

    if not choice.overrides:
        return scenario
    try:
        override.apply(scenario.resolved(), choice.overrides, Scenario)
    except ScenarioError as error:
        raise ScenarioError(f"{document.where(_misplaced(scenario, choice))}: {error}") from None
    return scenario.overridden(choice.overrides, folder, where)


def _misplaced(scenario: Scenario, choice: _Choice) -> Place:
    """Where the first override stands that cannot be put into the scenario after those before it."""
    ordered = sorted(choice.overrides, key=lambda place: (len(place), place[-1] != "kind"))
    starts = [{place: choice.overrides[place] for place in ordered[:count]} for count in range(1, len(ordered) + 1)]
    return choice.origin[next(place for place, start in zip(ordered, starts, strict=True) if not _applies(scenario, start))]


def _applies(scenario: Scenario, overrides: Mapping[Place, Any]) -> bool:
    try:
        override.apply(scenario.resolved(), overrides, Scenario)
    except ScenarioError:
        return False
    return True


def _value(data: Any, place: Place) -> Any:
    for part in place:
        data = data[part]
    return data


def _refusal(document: Document, place: Place, problem: str) -> ScenarioError:
    return ScenarioError(f"{document.where(place)}: {dotted(place) or 'study'}: {problem}")
