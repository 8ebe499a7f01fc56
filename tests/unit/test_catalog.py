"""Kinds: found by name, by module and by entry point; nodes of a document."""

from importlib.metadata import EntryPoint
from typing import Annotated, Any, final

import pytest
from pydantic import ValidationError

from cosim import catalog
from cosim.catalog import KINDS, Node, component_class, default, kind_of, kinds, make, resolve, role_of
from cosim.component import Component, quantity
from cosim.errors import UnknownKindError, did_you_mean
from cosim.net.fading import Jakes
from cosim.net.pathloss import UrbanMacro, UrbanMicro


@final
class Radio(Component):
    """Holds nodes in the ways a component may."""

    fading: Annotated[Any, Node("fading")] = default("fading", "jakes", sinusoids=24)
    second: Annotated[Any, Node("pathloss")] | None = None
    plain: float = quantity(1.0, "m", "no node")


EVERY_KIND = [(role, kind) for role, found in KINDS.items() for kind in found]


@pytest.mark.parametrize(("role", "kind"), EVERY_KIND)
def test_every_kind_exists_says_what_it_is_and_is_final(role, kind):
    found = resolve(role, kind)
    assert issubclass(found, Component)
    assert (found.__doc__ or "").strip()
    assert getattr(found, "__final__", False), "components are abstract or final"
    assert kind_of(role, found.model_construct()) == kind


@pytest.mark.parametrize(("role", "kind"), EVERY_KIND)
def test_every_field_of_every_kind_says_what_it_is(role, kind):
    for name, field in resolve(role, kind).model_fields.items():
        assert role_of(field) or field.description, f"{role}.{kind}.{name}"
        assert component_class(field, {}) or role_of(field) or isinstance(field.json_schema_extra, dict), (
            f"{role}.{kind}.{name} has no unit"
        )


def test_a_module_and_class_is_a_kind():
    assert resolve("fading", "cosim.net.fading:Jakes") is Jakes


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("jake", r"unknown fading kind 'jake'; allowed: .*, or module:Class; did you mean 'jakes'\?"),
        ("no_such_module:X", "No module named 'no_such_module'; install it, or put its folder on PYTHONPATH"),
        ("cosim.net.fading:Nothing", "cannot be imported: AttributeError"),
        ("os:getcwd", "is not a class derived from"),
        ("pathlib:Path", "is not a class derived from"),
        (":Jakes", "cannot be imported: ValueError"),
        ("..fading:Jakes", "cannot be imported: TypeError"),
    ],
)
def test_unknown_kinds(kind, message):
    with pytest.raises(UnknownKindError, match=message):
        resolve("fading", kind)


def test_a_module_that_exits_is_an_error_like_any_other(tmp_path, monkeypatch):
    (tmp_path / "exiting_plugin.py").write_text("raise SystemExit('bye')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownKindError, match="cannot be imported: SystemExit: bye"):
        resolve("fading", "exiting_plugin:X")


@pytest.fixture
def install(monkeypatch):
    def install(points):
        monkeypatch.setattr(catalog, "entry_points", lambda group: points if group == "cosim.fading" else [])
        catalog._plugins.cache_clear()

    yield install
    catalog._plugins.cache_clear()


def test_an_entry_point_adds_a_kind_but_replaces_none(install):
    points = [EntryPoint("slow", "cosim.net.fading:Jakes", "cosim.fading"), EntryPoint("none", "cosim.net.fading:Jakes", "cosim.fading")]
    install(points)
    assert resolve("fading", "slow") is Jakes
    assert kinds("fading")["none"] == KINDS["fading"]["none"]


def test_a_node_makes_its_component_and_dumps_it_again():
    radio = Radio.model_validate({"fading": {"kind": "jakes", "sinusoids": 8}, "second": {"kind": "umi"}})
    assert radio.fading == Jakes(sinusoids=8)
    assert isinstance(radio.second, UrbanMicro)
    dumped = radio.model_dump()
    assert dumped["fading"]["kind"] == "jakes"
    assert Radio.model_validate(dumped) == radio


def test_a_node_takes_an_instance_and_has_a_default():
    assert Radio(second=UrbanMacro()).second == UrbanMacro()
    assert Radio().fading == make("fading", "jakes", sinusoids=24)
    assert Radio().second is None


@pytest.mark.parametrize(
    ("node", "place", "message"),
    [
        ({"kind": "jakes", "sinusoids": 1}, ("fading", "sinusoids"), "greater than or equal to 8"),
        ({"kind": "jakes", "sinusoid": 16}, ("fading", "sinusoid"), "Extra inputs"),
        ({"kind": "jake"}, ("fading", "kind"), "did you mean 'jakes'"),
        ({"kind": 3}, ("fading", "kind"), "must be a word"),
        ({}, ("fading", "kind"), "is missing; allowed: block_rayleigh, jakes, none, rician, tdl, or module:Class"),
        ("jakes", ("fading",), "must be a map such as {kind: none}"),
    ],
)
def test_errors_in_a_node_keep_their_place(node, place, message):
    with pytest.raises(ValidationError) as caught:
        Radio.model_validate({"fading": node})
    (error,) = caught.value.errors()
    assert error["loc"] == place
    assert message in error["msg"]


def test_the_class_behind_a_field():
    fields = Radio.model_fields
    assert component_class(fields["fading"], {"kind": "jakes"}) is Jakes
    assert component_class(fields["second"], {"kind": "uma"}) is UrbanMacro
    assert component_class(fields["second"], {"kind": "?"}) is None
    assert component_class(fields["plain"], 1.0) is None
    assert [role_of(field) for field in fields.values()] == ["fading", "pathloss", None]


def test_the_schema_lists_all_kinds_and_leaves_room_for_plugins():
    options = Radio.model_json_schema()["properties"]["fading"]["anyOf"]
    assert [option["title"] for option in options] == ["block_rayleigh", "jakes", "none", "rician", "tdl", "module:Class"]
    jakes = options[1]
    assert jakes["properties"]["kind"] == {"const": "jakes"}
    assert jakes["properties"]["sinusoids"]["unit"] == ""
    assert jakes["required"] == ["kind"]
    assert jakes["additionalProperties"] is False


def test_a_plugin_that_cannot_be_imported_does_not_spoil_the_schema(install):
    points = [EntryPoint("broken", "no_such_module:X", "cosim.fading")]
    install(points)
    titles = [option["title"] for option in Radio.model_json_schema()["properties"]["fading"]["anyOf"]]
    assert "broken" in titles


def test_suggestions():
    assert did_you_mean("pathlos", ["pathloss", "fading"]) == "; did you mean 'pathloss'?"
    assert did_you_mean("xyz", ["pathloss", "fading"]) == ""
