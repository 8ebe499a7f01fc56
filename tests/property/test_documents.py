"""Whatever a file or an override says: a scenario, or a ScenarioError of a few lines."""

import contextlib
import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cosim.catalog import KINDS
from cosim.errors import ScenarioError
from cosim.messages import MOST_LINES
from cosim.scenario import Scenario, parse_override

WORDS = sorted(
    {"kind", "x_m", "width_m", "count", "relative_to_unpruned", "scope", *Scenario.model_fields, *Scenario().round.model_dump()}
    | {word for role, found in KINDS.items() for word in (role, *found)}
)
words = st.sampled_from(WORDS) | st.text(max_size=5)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | words
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4), max_leaves=12)
nodes = st.fixed_dictionaries({"kind": st.sampled_from(WORDS)}).flatmap(
    lambda node: st.dictionaries(words, trees, max_size=2).map(lambda fields: {**fields, **node})
)
documents = st.dictionaries(st.sampled_from(list(Scenario.model_fields)) | words, trees | nodes, max_size=5)
short = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(call):
    complaint, result = "", None
    try:
        result = call()
    except ScenarioError as error:
        complaint = str(error)
    assert (result is None) == bool(complaint)
    assert len(complaint.splitlines()) <= MOST_LINES + 1
    assert len(complaint) < 5000
    return result


@short
@given(text=st.text(st.characters(codec="utf-8"), max_size=40) | st.text("{}[]:,-&*!|>'\"%@#?\n\t ab1.~<", max_size=25))
@example(text="? \n: 1")
@example(text="a: !!int ''")
def test_any_text(text, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(text.encode())
    check(lambda: Scenario.load(path))


@short
@given(document=documents)
def test_any_document(document, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(document))
    check(lambda: Scenario.load(path))


@short
@given(path=st.lists(words | st.sampled_from(["0", "1", "-1"]), min_size=1, max_size=4).map(".".join), value=trees | nodes)
def test_any_override(path, value, tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("seed: 1")
    scenario = check(lambda: Scenario.load(file, {path: value}))
    if scenario is not None:
        scenario.dump(file)
        assert Scenario.load(file) == scenario


@short
@given(text=st.text(max_size=20))
def test_any_override_text(text):
    with contextlib.suppress(ScenarioError):
        name, _ = parse_override(text)
        assert name
