"""Components: frozen, strict, closed; and paths that a scenario names."""

from typing import final

import pytest
from pydantic import ValidationError

from cosim.component import Component, ScenarioPath, quantity


@final
class Antenna(Component):
    """A thing with a limit, and a file."""

    height_m: float = quantity(25.0, "m", "height above ground", gt=0)
    pattern: ScenarioPath | None = quantity(None, "", "file with the pattern")


def test_fields_carry_unit_and_meaning():
    field = Antenna.model_fields["height_m"]
    assert field.description == "height above ground"
    assert field.json_schema_extra == {"unit": "m"}


@pytest.mark.parametrize("height", ["25", None, True, float("nan"), float("inf"), 0, -1])
def test_wrong_values_are_errors(height):
    with pytest.raises(ValidationError):
        Antenna(height_m=height)


def test_an_integer_is_a_number():
    assert Antenna(height_m=3).height_m == 3.0


def test_unknown_keys_are_errors():
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Antenna(hight_m=3.0)


def test_components_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Antenna().height_m = 3.0


def test_a_path_is_relative_to_the_folder_of_the_context(tmp_path):
    (tmp_path / "pattern.csv").touch()
    antenna = Antenna.model_validate({"pattern": "pattern.csv"}, context={"folder": tmp_path})
    assert antenna.pattern == tmp_path / "pattern.csv"
    assert antenna.model_dump()["pattern"] == str(tmp_path / "pattern.csv")
    assert Antenna.model_validate(antenna.model_dump()) == antenna


def test_a_path_without_context_is_relative_to_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert Antenna(pattern="folder").pattern == tmp_path / "folder"


@pytest.mark.parametrize("path", ["missing.csv", "", 3, "a\0b", "x" * 5000])
def test_a_path_must_exist(path, tmp_path):
    with pytest.raises(ValidationError, match=r"no such file or folder|must be a path"):
        Antenna.model_validate({"pattern": path}, context={"folder": tmp_path})


def test_the_schema_of_a_path_is_text():
    assert Antenna.model_json_schema()["properties"]["pattern"]["anyOf"][0] == {"type": "string", "format": "path"}
