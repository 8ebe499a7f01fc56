"""The scenario: one document that describes a whole simulation.

A nearly empty file is a complete scenario: every field has a default. What a file or an override gets
wrong is told with its place, what is allowed, and the nearest right name.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self, final

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML

from cosim import overrides as override
from cosim.catalog import Node, default
from cosim.component import Component, quantity
from cosim.document import Document, Place, dotted, parse, read, shown
from cosim.errors import ScenarioError
from cosim.interfaces import CSI, Allocator, Availability, Compute, Learning, Mobility, Selection, Uplink
from cosim.messages import Where, explain, named_place
from cosim.net.backhaul import Network
from cosim.net.cells import Cells, check_uplink, check_wrap_around
from cosim.net.channel import Channel
from cosim.net.downlink import Downlink
from cosim.net.energy import EnergyBudget
from cosim.net.geometry import Area, Devices, Site
from cosim.policy.state import Policy
from cosim.policy.stop import Stop
from cosim.trace.invariants import Audit
from cosim.trace.settings import TraceSettings

VERSION_KEY: Final = "schema_version"
"""A key that any scenario may have beside its sections."""
SCENARIO_VERSION: Final = 1
"""Goes up when an old document would be misread; new fields alone do not count. 1 is the first."""


@final
class RelativeThreshold(Component):
    """A latency threshold that follows the round: a share of what unpruned training would need in it."""

    relative_to_unpruned: float = quantity(
        ..., "", "share of the least latency that all devices of the round could meet without pruning", gt=0, le=1000
    )


@final
class Round(Component):
    """How a round goes: when it ends, what the planner aims at, what it knows, and who takes part."""

    policy: Annotated[Policy, Node("policy")] = default("policy", "wait_all")
    latency_threshold: Annotated[float, Field(gt=0)] | RelativeThreshold = quantity(
        RelativeThreshold(relative_to_unpruned=0.5), "s", "planned latency of a round: seconds, or {relative_to_unpruned: share}"
    )
    prune_max: float = quantity(0.9, "", "largest pruning ratio that an allocator may choose", ge=0, lt=1)
    energy: EnergyBudget = Field(default_factory=EnergyBudget, description="what a device may spend on a round")
    csi: Annotated[CSI, Node("csi")] = default("csi", "ergodic")
    selection: Annotated[Selection, Node("selection")] = default("selection", "all")


def _section(component: type[Component]) -> Any:
    return Field(default_factory=component, description=(component.__doc__ or "").strip().splitlines()[0])


@final
class Scenario(Component):
    """A whole simulation: world, radio, devices, learning and the way rounds go."""

    seed: int = quantity(0, "", "seed of all random streams", ge=0, lt=2**63)
    rounds: int = quantity(10, "", "number of rounds", ge=1, lt=2**31)
    stop: Stop = _section(Stop)
    area: Area = _section(Area)
    sites: Annotated[tuple[Site, ...], Field(strict=False)] = Field(
        (Site(),), description="the base stations, each a cell", json_schema_extra={"minItems": 1}
    )
    devices: Devices = _section(Devices)
    compute: Annotated[Compute, Node("compute")] = default("compute", "constant")
    availability: Annotated[Availability, Node("availability")] = default("availability", "always")
    mobility: Annotated[Mobility, Node("mobility")] = default("mobility", "static")
    channel: Channel = _section(Channel)
    uplink: Annotated[Uplink, Node("uplink")] = default("uplink", "ideal")
    downlink: Downlink = _section(Downlink)
    network: Network = _section(Network)
    cells: Cells = _section(Cells)
    allocator: Annotated[Allocator, Node("allocator")] = default("allocator", "kkt")
    learning: Annotated[Learning, Node("learning")] = default("learning", "federated")
    round: Round = _section(Round)
    trace: TraceSettings = _section(TraceSettings)

    @field_validator("sites")
    @classmethod
    def _some_site(cls, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        if not sites:
            raise PydanticCustomError("sites", "must be a list of at least one site")
        return sites

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        """What one section says must fit what the others do."""
        checks: dict[str, Callable[[], None]] = {
            "network": lambda: self.network.check(len(self.sites)),
            "uplink.kind": lambda: check_uplink(self.uplink, len(self.sites)),
            "area.wrap_around": lambda: check_wrap_around(self.area, self.sites, self.mobility),
            "devices.power_control.alpha": self._check_powers,
            "stop.accuracy": lambda: self._check_measured(self.stop.accuracy),
            "stop.global_accuracy": lambda: self._check_measured(self.stop.global_accuracy),
        }
        for where, check in checks.items():
            try:
                check()
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
        return self

    def _check_powers(self) -> None:
        control, budget_j = self.devices.power_control, self.round.energy.budget_j
        if control is None or control.alpha == 1 or budget_j is None:
            return
        from cosim.alloc.kkt_energy import KKTEnergy

        if isinstance(self.allocator, KKTEnergy):
            # pydantic turns a ValueError into a message
            raise ValueError("must be 1 where allocator kkt_energy chooses powers within round.energy.budget_j")  # noqa: TRY004

    def _check_measured(self, target: float | None) -> None:
        from cosim.learn.network_only import NetworkOnly

        if target is not None and isinstance(self.learning, NetworkOnly):
            raise ValueError("must be null where learning.kind is none, which measures no accuracy; stop.time_s ends such a run")

    @classmethod
    def load(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Scenario:
        """The scenario in a YAML file, with overrides such as ``{"uplink.bandwidth_hz": 5e6, "sites.0.x_m": 10}``.

        The file is checked as it is written; then the overrides are put into the fully resolved document, which
        is checked again. Setting ``x.kind`` to another kind starts that node from the new kind's defaults.
        Paths, in overrides too, are relative to the file's folder. Raises ScenarioError, a line for each mistake.
        """
        document = read(path)
        folder = Path(path).parent
        scenario = cls.checked(document.data, folder, lambda place, key: document.where(place, key=key))
        if not overrides:
            return scenario
        chosen = {override.place_of(name): value.item() if isinstance(value, np.generic) else value for name, value in overrides.items()}
        return scenario.overridden(chosen, folder, lambda place: f"{document.name}: {blame(place, chosen)}")

    def overridden(self, overrides: Mapping[Place, Any], folder: Path, where: Callable[[Place], str]) -> Scenario:
        """This scenario with overrides; an error's line begins with ``where(its place)``. Raises ScenarioError."""
        data = override.apply(self.resolved(), overrides, type(self))
        return self.checked(data, folder, lambda place, _: where(place))

    @classmethod
    def checked(cls, data: Any, folder: Path, where: Where) -> Scenario:
        """The scenario that plain data describes; paths are relative to ``folder``. Raises ScenarioError."""
        data = _of_this_version(data, where)
        try:
            return cls.model_validate(data, context={"folder": folder})
        except ValidationError as error:
            raise ScenarioError(explain(error, cls, data, where)) from None

    def resolved(self) -> dict[str, Any]:
        """The whole document, defaults included, as plain maps, lists, numbers and text; paths are absolute."""
        return self.model_dump(mode="json")

    def audit(self) -> Audit:
        """What looks at the tables of a run of this scenario, row by row."""
        return Audit(devices=self.devices.count, bandwidth_hz=self.uplink.usable_bandwidth_hz, sites=len(self.sites))

    def text(self) -> str:
        """The resolved document as YAML; loading it gives an equal scenario."""
        yaml = YAML(pure=True)
        yaml.default_flow_style = False
        text = io.StringIO()
        yaml.dump({VERSION_KEY: SCENARIO_VERSION, **self.resolved()}, text)
        return text.getvalue()

    def dump(self, path: str | Path) -> None:
        """Write the resolved document as YAML."""
        Path(path).write_text(self.text(), encoding="utf-8")


def _of_this_version(data: Any, where: Where) -> Any:
    """The document without its version. Raises ScenarioError when it is not this cosim's: then nothing else is worth saying."""
    if not isinstance(data, Mapping) or VERSION_KEY not in data:
        return data
    version = data[VERSION_KEY]
    if version is not True and version == SCENARIO_VERSION:
        return {name: value for name, value in data.items() if name != VERSION_KEY}
    newer = isinstance(version, int) and version > SCENARIO_VERSION
    reads = "is newer than what this cosim reads; use the cosim that wrote it, or a newer one" if newer else "no cosim wrote that"
    raise ScenarioError(f"{where((VERSION_KEY,), False)}: {VERSION_KEY} = {shown(version)}: must be {SCENARIO_VERSION}: {reads}")


def parse_override(text: str) -> tuple[str, Any]:
    """``a.b=value`` -> ("a.b", value), the value read as YAML. Raises ScenarioError."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ScenarioError(f"--set {shown(text)}: must be written path=value, such as uplink.bandwidth_hz=5e6")
    document: Document = parse(value, f"--set {name.strip()}")
    return name.strip(), document.data


def located(text: str, path: str | Path, overrides: Mapping[str, Any]) -> str:
    """A message that begins with a place in the scenario, led by where that stands in the file, or by the overrides of it."""
    place, _ = named_place(text, Scenario)
    if not place:
        return text
    chosen = {override.place_of(name): value for name, value in overrides.items()}
    document = read(path)
    return f"{document.name}: {blame(place, chosen)}: {text}" if _related(place, chosen) else f"{document.where(place)}: {text}"


def blame(place: Place, overrides: Mapping[Place, Any]) -> str:
    """In words, the overrides that an error at ``place`` comes from."""
    found = culprits(place, overrides)
    return "override" if found == [place] else "after override " + ", ".join(f"{dotted(path)}={shown(overrides[path])}" for path in found)


def culprits(place: Place, overrides: Mapping[Place, Any]) -> list[Place]:
    """The overrides that an error at ``place`` may come from: the nearest around it and those inside it, else all of them."""
    return _related(place, overrides) or list(overrides)


def _related(place: Place, overrides: Mapping[Place, Any]) -> list[Place]:
    scopes = {path: path[:-1] if path[-1] == "kind" else path for path in overrides}  # a new kind brings a whole new node
    around = [path for path, scope in scopes.items() if place[: len(scope)] == scope]
    inside = [path for path in overrides if path not in around and path[: len(place)] == place]
    return [*([max(around, key=lambda path: len(scopes[path]))] if around else []), *inside]
