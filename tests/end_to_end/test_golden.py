"""Small scenarios keep their numbers: tests/golden holds the tables, which ``python scripts/make_golden.py`` makes anew.

On the processor type and with the packages they were made with: every bit. Elsewhere: what the network decides to 1e-9, what was trained
within wide limits, since other kernels sum in another order.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.trace.schema import TABLES

GOLDEN = Path(__file__).parents[1] / "golden"
MADE = json.loads((GOLDEN / "made.json").read_text())
SCENARIOS = sorted(path.stem for path in GOLDEN.glob("*.yaml"))
TRAINED = {"accuracy": 0.1, "accuracy_full": 0.1, "accuracy_mean": 0.1, "accuracy_p10": 0.1, "global_accuracy": 0.1, "train_loss": 0.2,
           "pruning_error": 0.1, "pruning_bound": 0.1, "pruning_cost": 0.05, "objective_pruning_cost": 0.05, "coverage_min": 2.0,
           "uncovered_fraction": 0.05}  # fmt: skip
"""Columns that depend on trained values, and how far they may be off on another machine."""
LISTS = ("bandwidth_free_by_site", "objective_by_site", "over_noise_by_site", "pruning_cost")
"""Columns of text that holds numbers."""
HINT = "; if it was meant to change: python scripts/make_golden.py, and a line in CHANGELOG.md"


def golden(name, table):
    read = {"string": str, "bool": lambda word: word == "True", "int64": int, "float64": lambda word: float(word or "nan")}
    frame = pd.read_csv(GOLDEN / f"{name}.{table}.csv", dtype=str, keep_default_na=False)
    dtypes = {column.name: column.dtype for column in TABLES[table].columns}
    return pd.DataFrame({column: [read[dtypes[column]](word) for word in frame[column]] for column in frame})


def close(name, found, expected):
    """Whether numbers of a column are as near as they must be on another machine."""
    return np.isclose(found, expected, rtol=0 if name in TRAINED else 1e-9, atol=TRAINED.get(name, 1e-12), equal_nan=True)


def alike(name, one, other):
    """Whether two texts hold as many numbers, and these are close."""
    found, expected = (np.array(text.split(), float) for text in (one, other))
    return len(found) == len(expected) and close(name, found, expected).all()


def first_difference(found, expected, *, exact):
    """``row 7 (round 1, device 2): t_s is 3.1, was 3.2``, events and the rows before others; None if there is none."""
    if list(found.columns) != list(expected.columns):
        return f"columns {sorted(set(found.columns) ^ set(expected.columns)) or 'in another order'}"
    rows = min(len(found), len(expected))
    wrong = {}
    for name in found.columns:
        a, b = found[name].to_numpy()[:rows], expected[name].to_numpy()[:rows]
        if name in LISTS and not exact:
            same = np.array([alike(name, one, other) for one, other in zip(a, b, strict=True)])
        elif a.dtype.kind != "f":
            same = a == b
        elif exact:
            same = (a == b) | (np.isnan(a) & np.isnan(b))
        else:
            same = close(name, a, b)
        if not same.all():
            wrong[name] = int(np.argmin(same))
    if wrong:
        name = min(wrong, key=wrong.get)
        row = wrong[name]
        where = ", ".join(f"{key} {found[key].iloc[row]}" for key in ("round", "device", "kind") if key in found)
        return f"row {row} ({where}): {name} is {found[name].iloc[row]!r}, was {expected[name].iloc[row]!r}"
    return None if len(found) == len(expected) else f"{len(found)} rows, were {len(expected)}"


@pytest.mark.parametrize("name", SCENARIOS)
def test_numbers_stay(name, tmp_path):
    run = cosim.run(cosim.Scenario.load(GOLDEN / f"{name}.yaml"), out=tmp_path / "run", workers=1)
    exact = {"processor": run.manifest["processor"], **run.manifest["package_versions"]} == MADE["environment"]
    for table in ("events", *(table for table in run.tables if table != "events")):
        difference = first_difference(getattr(run, table), golden(name, table), exact=exact)
        assert difference is None, f"{name}, {table}: {difference}{HINT}"
    if exact:
        assert run.manifest["fingerprint"] == MADE["fingerprints"][name], f"{name}: another fingerprint, though no value differs{HINT}"


def test_the_first_difference_is_told():
    frame = golden(SCENARIOS[0], "events")
    changed = frame.copy()
    changed.loc[5, "t_s"] *= 1 + 1e-7
    changed.loc[6, "kind"] = "arrival"
    told = first_difference(changed, frame, exact=False)
    assert told.startswith(f"row 5 (round {frame['round'][5]}, device {frame['device'][5]}, kind {frame['kind'][5]}): t_s is ")
    changed = frame.copy()
    changed.loc[5, "t_s"] = np.nextafter(frame["t_s"][5], np.inf)
    assert first_difference(changed, frame, exact=False) is None
    assert "row 5" in first_difference(changed, frame, exact=True)
    assert first_difference(frame[:-1], frame, exact=True) == f"{len(frame) - 1} rows, were {len(frame)}"


@pytest.mark.parametrize(("words", "same"), [("1.5 2.000000000000001", True), ("1.5 2.0000001", False), ("1.5", False)])
def test_lists_of_numbers_are_compared_as_numbers_on_another_machine(words, same):
    expected, found = (pd.DataFrame({"round": [0], "bandwidth_free_by_site": [text]}) for text in ("1.5 2.0", words))
    assert (first_difference(found, expected, exact=False) is None) == same
    assert first_difference(found, expected, exact=True) is not None
