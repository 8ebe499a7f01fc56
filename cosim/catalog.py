"""Role + kind -> class: what ``kind:`` may say in a scenario, and where it is found.

The table holds names, not classes: listing kinds imports nothing, and a kind's module is imported
when a scenario first uses it. Two ways to plug in a class of your own: write ``kind:
my_package.module:MyClass``, or declare an entry point in group ``cosim.<role>``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Final, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from cosim.component import Component
from cosim.errors import UnknownKindError, did_you_mean

KINDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "mobility": {
            "static": "cosim.net.mobility:Static",
            "random_waypoint": "cosim.net.mobility:RandomWaypoint",
            "gauss_markov": "cosim.net.gauss_markov:GaussMarkov",
            "manhattan": "cosim.net.manhattan:Manhattan",
            "group": "cosim.net.group:Group",
            "recorded": "cosim.net.recorded:Recorded",
            "sumo": "cosim.net.sumo:Sumo",
        },
        "pathloss": {
            "uma": "cosim.net.pathloss:UrbanMacro",
            "umi": "cosim.net.pathloss:UrbanMicro",
            "rma": "cosim.net.pathloss:RuralMacro",
            "free_space": "cosim.net.distance_laws:FreeSpace",
            "log_distance": "cosim.net.distance_laws:LogDistance",
        },
        "shadowing": {
            "none": "cosim.net.shadowing:NoShadowing",
            "correlated": "cosim.net.shadowing:CorrelatedShadowing",
        },
        "fading": {
            "none": "cosim.net.fading:NoFading",
            "block_rayleigh": "cosim.net.fading:BlockRayleigh",
            "jakes": "cosim.net.fading:Jakes",
            "rician": "cosim.net.rician:Rician",
            "tdl": "cosim.net.tdl:TappedDelayLine",
        },
        "rate": {
            "shannon": "cosim.rate.shannon:Shannon",
            "truncated_shannon": "cosim.rate.truncated:TruncatedShannon",
            "nr_mcs": "cosim.net.mcs:TransportBlocks",
        },
        "uplink": {
            "ideal": "cosim.net.uplink:Ideal",
            "allocated": "cosim.net.uplink:Allocated",
            "work_conserving": "cosim.net.uplink_schedulers:WorkConserving",
            "round_robin": "cosim.net.uplink_schedulers:RoundRobin",
            "proportional_fair": "cosim.net.uplink_schedulers:ProportionalFair",
            "max_ci": "cosim.net.uplink_schedulers:MaxCI",
        },
        "compute": {
            "constant": "cosim.net.compute:Constant",
            "shifted_exponential": "cosim.net.compute:ShiftedExponential",
            "pareto": "cosim.net.compute:Pareto",
            "two_state": "cosim.net.paced:TwoState",
            "background_load": "cosim.net.paced:BackgroundLoad",
        },
        "availability": {
            "always": "cosim.net.availability:Always",
            "on_off": "cosim.net.availability:OnOff",
        },
        "policy": {
            "wait_all": "cosim.policy.synchronous:WaitAll",
            "deadline": "cosim.policy.synchronous:Deadline",
            "first_m": "cosim.policy.synchronous:FirstM",
            "tiers": "cosim.policy.asynchronous:Tiers",
            "fed_async": "cosim.policy.asynchronous:FedAsync",
            "fed_buff": "cosim.policy.asynchronous:FedBuff",
        },
        "csi": {
            "ergodic": "cosim.net.csi:Ergodic",
            "snapshot": "cosim.net.csi:Snapshot",
            "stale": "cosim.net.csi:Stale",
            "noisy": "cosim.net.csi:Noisy",
            "outage": "cosim.net.csi:Outage",
        },
        "selection": {
            "all": "cosim.alloc.selection:All",
            "random": "cosim.alloc.selection:Random",
            "best_channel": "cosim.alloc.selection:BestChannel",
            "feasible": "cosim.alloc.selection:Feasible",
            "max_kept_mass": "cosim.alloc.kept_mass:MaxKeptMass",
        },
        "allocator": {
            "kkt": "cosim.alloc.kkt:KKT",
            "kkt_alternating": "cosim.alloc.alternating:KKTAlternating",
            "personalization_only": "cosim.alloc.baselines:PersonalizationOnly",
            "personalization_selected": "cosim.alloc.baselines:PersonalizationSelected",
            "fixed_ratio": "cosim.alloc.baselines:FixedRatio",
            "equal_bandwidth": "cosim.alloc.baselines:EqualBandwidth",
            "channel_proportional": "cosim.alloc.baselines:ChannelProportional",
            "min_latency": "cosim.alloc.min_latency:MinLatency",
            "kkt_energy": "cosim.alloc.kkt_energy:KKTEnergy",
            "pruning_aware": "cosim.alloc.pruning_aware:PruningAware",
        },
        "learning": {
            "none": "cosim.learn.network_only:NetworkOnly",
            "federated": "cosim.learn.federated:Federated",
        },
        "dataset": {
            "fashion_mnist_small": "cosim.learn.data:FashionMNISTSmall",
            "fashion_mnist": "cosim.learn.data:FashionMNIST",
            "mnist": "cosim.learn.data:MNIST",
            "cifar10": "cosim.learn.data_cifar:CIFAR10",
            "digits": "cosim.learn.data:Digits",
            "npz": "cosim.learn.data_npz:NPZ",
            "table": "cosim.learn.data_table:Table",
        },
        "partition": {
            "iid": "cosim.learn.partition:IID",
            "classes_per_device": "cosim.learn.partition:ClassesPerDevice",
            "dirichlet": "cosim.learn.partition:Dirichlet",
            "feature_shift": "cosim.learn.partition_shift:FeatureShift",
            "groups": "cosim.learn.partition_groups:Groups",
        },
        "model": {
            "cnn": "cosim.learn.models:CNN",
            "mlp": "cosim.learn.models:MLP",
            "resnet": "cosim.learn.models:ResNet",
            "cnn1d": "cosim.learn.models:CNN1D",
            "torch_module": "cosim.learn.models:TorchModule",
        },
        "trainer": {
            "sgd": "cosim.learn.trainer:SGD",
            "flower": "cosim.learn.flower:Flower",
        },
        "pruner": {
            "magnitude": "cosim.learn.pruner:Magnitude",
            "taylor": "cosim.learn.pruner:Taylor",
            "random": "cosim.learn.pruner:Random",
            "ordered": "cosim.learn.pruner_order:Ordered",
            "rolling": "cosim.learn.pruner_order:Rolling",
        },
        "codec": {
            "float32": "cosim.learn.values:Float32",
            "float16": "cosim.learn.values:Float16",
            "int8": "cosim.learn.values:Int8",
        },
        "aggregator": {
            "kept_average": "cosim.learn.aggregator:KeptAverage",
        },
        "server_optimizer": {
            "fedavg": "cosim.learn.server_optimizer:FedAvg",
            "fedavgm": "cosim.learn.server_optimizer:FedAvgM",
            "fedadam": "cosim.learn.server_optimizer:FedAdam",
        },
    }
)


def kinds(role: str) -> dict[str, str]:
    """All kinds of a role, plugins' entry points included: kind -> "module:Class". A plugin cannot replace a built-in kind."""
    return {**_plugins(role), **KINDS[role]}


@cache
def _plugins(role: str) -> Mapping[str, str]:
    """Kinds declared by installed packages; looking through them takes long, and they stay the same."""
    return MappingProxyType({point.name: point.value for point in entry_points(group=f"cosim.{role}")})


def target(role: str, kind: str) -> str | None:
    """The "module:Class" behind a kind; None if there is no such kind."""
    return KINDS[role].get(kind) or (kind if ":" in kind else _plugins(role).get(kind))


def resolve(role: str, kind: str) -> type[Component]:
    """The class behind a kind. Raises UnknownKindError with the nearest right name."""
    found = target(role, kind)
    if found is None:
        raise UnknownKindError(f"unknown {role} kind {kind!r}; allowed: {_allowed(role)}{did_you_mean(kind, kinds(role))}")
    return _load(role, found)


def make(role: str, kind: str, **fields: Any) -> Any:
    """A component of a kind, other fields at their defaults."""
    return resolve(role, kind)(**fields)


def kind_of(role: str, component: Component) -> str:
    """The name that a scenario would use for this component's class."""
    found = f"{type(component).__module__}:{type(component).__qualname__}"
    return next((kind for kind, value in KINDS[role].items() if value == found), found)


def _load(role: str, name: str) -> type[Component]:
    module_name, _, class_name = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # a plugin's module may fail in any way at all
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        hint = "; install it, or put its folder on PYTHONPATH" if isinstance(error, ModuleNotFoundError) else ""
        raise UnknownKindError(f"{role} kind {name!r} cannot be imported: {reason}{hint}") from error
    if not (isinstance(found, type) and issubclass(found, Component)):
        raise UnknownKindError(f"{role} kind {name!r} is not a class derived from cosim.component.Component")
    return found


def _allowed(role: str) -> str:
    return f"{', '.join(sorted(kinds(role)))}, or module:Class"


class Node:
    """Annotation of a field that holds a component: ``pathloss: Annotated[PathLoss, Node("pathloss")]``.

    From a mapping with ``kind:`` it makes the component; an instance passes through; dumping gives the
    mapping back. Errors inside the component keep their place in the document.
    """

    def __init__(self, role: str, *, brief: bool = False) -> None:
        """``brief``: the JSON schema names kinds without their fields, so that a kind may hold one of its own role."""
        self.role, self.brief = role, brief

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate, serialization=core_schema.plain_serializer_function_ser_schema(self._dump, info_arg=True)
        )

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        plugin = {
            "title": "module:Class",
            "properties": {"kind": {"type": "string", "pattern": ":"}},
            "required": ["kind"],
            "type": "object",
        }
        if self.brief:
            words = {"anyOf": [{"enum": sorted(kinds(self.role))}, {"type": "string", "pattern": ":"}]}
            return {"type": "object", "properties": {"kind": words}, "required": ["kind"]}
        return {"anyOf": [*(self._kind_schema(kind, handler) for kind in sorted(kinds(self.role))), plugin]}

    def _kind_schema(self, kind: str, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        try:
            found = resolve(self.role, kind)
        except UnknownKindError:  # a plugin that cannot be imported
            return {"title": kind, "properties": {"kind": {"const": kind}}, "required": ["kind"], "type": "object"}
        schema = handler.resolve_ref_schema(handler(found.__pydantic_core_schema__))
        properties = {"kind": {"const": kind}, **schema.get("properties", {})}
        return {**schema, "title": kind, "properties": properties, "required": ["kind", *schema.get("required", [])]}

    def _validate(self, value: Any, info: ValidationInfo) -> Component:
        if isinstance(value, Component):
            return value
        if not isinstance(value, Mapping):
            example = next(iter(kinds(self.role)))
            raise PydanticCustomError("node_type", "{problem}", {"problem": f"must be a map such as {{kind: {example}}}"})
        fields = dict(value)
        kind = fields.pop("kind", None)
        if not isinstance(kind, str):
            problem = f"{'must be a word' if 'kind' in value else 'is missing'}; allowed: {_allowed(self.role)}"
            raise _at_kind(self.role, kind, problem)
        try:
            found = resolve(self.role, kind)
        except UnknownKindError as error:
            raise _at_kind(self.role, kind, str(error)) from error
        return found.model_validate(fields, context=info.context)  # pydantic merges this error's places into the outer one's

    def _dump(self, component: Component, info: SerializationInfo) -> dict[str, Any]:
        return {"kind": kind_of(self.role, component), **component.model_dump(mode=info.mode)}


def _at_kind(role: str, kind: object, problem: str) -> ValidationError:
    custom = PydanticCustomError("node_kind", "{problem}", {"problem": problem})
    return ValidationError.from_exception_data(role, [InitErrorDetails(type=custom, loc=("kind",), input=kind)])


def component_class(field: FieldInfo, value: object) -> type[Component] | None:
    """The component class that a field's value is read with, as far as annotation and ``kind:`` tell; else None."""
    found = next(_holders(field.annotation, field.metadata), None)
    if not isinstance(found, Node):
        return found
    kind = value.get("kind") if isinstance(value, Mapping) else None
    try:
        return resolve(found.role, kind) if isinstance(kind, str) else None
    except UnknownKindError:
        return None


def role_of(field: FieldInfo) -> str | None:
    """The role of a field that holds a pluggable component; None for any other field."""
    return next((found.role for found in _holders(field.annotation, field.metadata) if isinstance(found, Node)), None)


def _holders(annotation: Any, metadata: Iterable[Any] = ()) -> Iterator[Node | type[Component]]:
    """The nodes and component classes inside an annotation such as ``tuple[Site, ...]`` or ``float | Relative``."""
    yield from (item for item in (*metadata, *getattr(annotation, "__metadata__", ())) if isinstance(item, Node))
    if isinstance(annotation, type) and issubclass(annotation, Component):
        yield annotation
    for part in get_args(annotation):
        yield from _holders(part)


def default(role: str, kind: str, **fields: Any) -> Any:
    """Field default: a component of this kind, made when first needed."""
    return Field(default_factory=lambda: make(role, kind, **fields))
