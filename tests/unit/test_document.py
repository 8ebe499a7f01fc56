"""YAML with positions, and what is refused."""

import pytest

from cosim.document import LARGEST_BYTES, dotted, parse, read, shown
from cosim.errors import ScenarioError


def test_yaml_1_2_scalars():
    document = parse("{a: 20e6, b: yes, c: 0o17, d: ~, e: true, f: '1', g: 2024-01-01, h: 012, i: 1:30, j: -.5e-3}", "x")
    assert document.data == {
        "a": 20e6, "b": "yes", "c": 15, "d": None, "e": True, "f": "1", "g": "2024-01-01", "h": 12, "i": "1:30", "j": -0.5e-3,
    }  # fmt: skip


def test_positions_of_keys_and_values():
    document = parse("a: 1\nb:\n  c: [x, {d: 2}]\ne:\n", "f.yaml")
    assert document.where(("a",)) == "f.yaml:1:4"
    assert document.where(("b", "c"), key=True) == "f.yaml:3:3"
    assert document.where(("b", "c", 1, "d")) == "f.yaml:3:14"
    assert document.where(("e",)) == "f.yaml:4:1", "an empty value stands at its key"
    assert document.where(("b", "missing")) == "f.yaml:3:3", "what is missing is reported at what surrounds it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "x:3:1: a: duplicate key, first set in line 1"),
        ("a: {b: 1, b: 1}", "x:1:11: a.b: duplicate key, first set in line 1"),
        ("a: &q 1\nb: *q", "x:1:4: a: anchors and aliases (&q, *q) are not supported"),
        ("a: &q [*q]", "anchors and aliases"),
        ("a: !!python/object/apply:os.system [ls]", "tag tag:yaml.org,2002:python/object/apply:os.system is not supported"),
        ("a: !own {}", "tag !own is not supported"),
        ("a: !!set {b}", "is not supported"),
        ("a: !!int word", 'a: "word" is not of the type'),
        ("<<: {a: 1}", "a key must be plain text"),
        ("1: 2", "x:1:1: 1: a key must be plain text"),
        ("? [a]\n: 2", "a key must be plain text"),
        ("a: 1\n---\nb: 1", "x:2:1: not YAML: expected a single document"),
        ("a: [1", "not YAML: while parsing a flow sequence"),
        ("a: 1\n\tb: 2", "x:2:1: not YAML"),
        ("a: @b", "x:1:4: not YAML"),
        ("a: \x07", "not YAML: unacceptable character"),
        ("a: " + "1" * 5000, "a number of more than 100 characters"),
        ("a:\n" + "- " * 5000, "x:2:49: not YAML: nested too deeply, more than 50 levels"),
    ],
)
def test_refusals(text, message):
    with pytest.raises(ScenarioError) as caught:
        parse(text, "x")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"# only words\n", "is empty"),
        (b"- 1", "must be a map of sections (key: value), not [1]"),
        (b"42", "must be a map of sections"),
        (b"\x89PNG\r\n\x1a\n", "not a text file in UTF-8"),
        (b"\xff\xfea\0", "not a text file in UTF-8"),
        (b"a: 1 #" + b"x" * LARGEST_BYTES, "larger than 131072 bytes"),
    ],
)
def test_files_that_are_no_scenario(content, message, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(ScenarioError, match=r"none.yaml: no such file"):
        read(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match="is a directory"):
        read(tmp_path)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read("x" * 5000)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read("a\0b")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    (tmp_path / "s.yaml").write_bytes(b"\xef\xbb\xbfseed: 1")
    assert read(tmp_path / "s.yaml").data == {"seed": 1}


def test_values_are_shown_on_one_short_line():
    assert shown("a\nb") == '"a\\nb"'
    assert shown("\x85\u202e") == '"\\u0085\\u202e"', "nothing may break the line or turn it around"
    assert shown(None) == "null"
    assert shown(10**5000) == "<int>"
    assert len(shown("x" * 1000)) == 60
    assert dotted(("a", 0, "b c\n")) == 'a.0."b c\\n"'
