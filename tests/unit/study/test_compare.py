"""Comparisons: numbers against SciPy on made-up rounds, and the four ways to write them."""

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import cosim
from cosim.errors import CosimError, RunError
from cosim.study import compare as comparing
from cosim.study import metrics as measures
from cosim.study import tables
from cosim.trace.schema import TABLES

SEEDS = [3, 1, 4, 5, 9]


def made_up(variants=("a", "b", "c"), seeds=SEEDS, rounds=6, **columns):
    """Rounds with every number drawn, except those given as a function of (variant index, seed, round)."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame([(v, s, r) for v in variants for s in seeds for r in range(rounds)], columns=["variant", "seed", "round"])
    for column in TABLES["rounds"].columns:
        if column.name != "round":
            frame[column.name] = rng.integers(5, 9, len(frame)) if column.dtype == "int64" else rng.uniform(1, 2, len(frame))
    for name, law in columns.items():
        frame[name] = [law(variants.index(row.variant), row.seed, row.round) for row in frame.itertuples()]
    return frame.assign(variant=pd.Categorical(frame["variant"], categories=list(variants)))


def test_metrics_are_what_they_say():
    frame = made_up(accuracy_mean=lambda _v, _s, r: [0.1, 0.3, 0.6, np.nan, 0.7, np.nan][r], t_end_s=lambda v, _s, r: 10.0 * v + r)
    found = comparing.metrics(frame, target=0.6)
    one = frame[(frame["variant"] == "b") & (frame["seed"] == 4)]
    row = found.loc[("b", 4)]
    assert row["latency_s"] == pytest.approx(one["latency_s"].mean())
    assert row["latency_p95_s"] == pytest.approx(np.quantile(one["latency_s"], 0.95))
    assert row["arrived_share"] == pytest.approx(one["devices_arrived"].sum() / one["devices_selected"].sum())
    assert row["energy_j"] == pytest.approx(one["energy_j"].sum())
    assert row["kept_flops"] == pytest.approx(one["kept_flops"].sum())
    assert row["pruned_share"] == pytest.approx(one["devices_pruned"].sum() / one["devices_selected"].sum())
    assert (row["accuracy_mean"], row["time_to_accuracy_s"], row["reached"]) == (0.7, 12.0, True)
    never = comparing.metrics(frame, target=0.9).loc[("b", 4)]
    assert (never["time_to_accuracy_s"], never["reached"]) == (15.0, False)


def test_accuracy_at_equal_effort():
    """Variant b takes twice the time and three times the work of a, and both gain 0.1 a round, b 0.02 more."""
    frame = made_up(
        ("a", "b"),
        [7],
        4,
        accuracy_mean=lambda v, _s, r: [0.1 * r, np.nan if r == 2 else 0.1 * r + 0.02][v],
        t_end_s=lambda v, _s, r: (1.0 + v) * (r + 1),
        kept_flops=lambda v, _s, _r: 3.0 if v else 1.0,
    )
    found = {by: measures.accuracy_within(frame, by, "b").loc[("a", 7)].tolist() for by in ("round", "time_s", "kept_flops")}
    assert found["round"] == pytest.approx([0.3, 0.32, 4.0])
    assert found["time_s"] == pytest.approx([0.3, 0.12, 4.0])  # after 4 s: all of a, two rounds of b
    assert found["kept_flops"] == pytest.approx([0.3, 0.02, 4.0])
    later = frame.assign(t_end_s=frame["t_end_s"] * np.where(frame["variant"] == "b", 1.0009, 1.0))
    assert measures.accuracy_within(later, "time_s", "b").loc[("a", 7), "baseline"] == pytest.approx(0.12)  # missed by a hair
    late = measures.accuracy_within(frame.assign(accuracy_mean=frame["accuracy_mean"].where(frame["round"] > 1)), "time_s", "b")
    assert math.isnan(late.loc[("a", 7), "baseline"])  # b had measured nothing by then
    assert measures.accuracy_within(frame, "round", "c").empty


def test_intervals_and_tests_are_scipys():
    frame = made_up()
    found = comparing.compare(frame, baseline="b")
    assert found.variants == ("b", "a", "c")
    latency = frame.groupby(["variant", "seed"], observed=True)["latency_s"].mean()
    for name in found.variants:
        cell = found.cells["latency_s"][name]
        expected = stats.t.interval(0.95, 4, latency.loc[name].mean(), stats.sem(latency.loc[name]))
        np.testing.assert_allclose((cell.interval.low, cell.interval.high), expected, rtol=1e-9)
    tests = [stats.ttest_rel(latency.loc[name], latency.loc["b"]) for name in ("a", "c")]
    cells = [found.cells["latency_s"][name] for name in ("a", "c")]
    np.testing.assert_allclose([cell.p_value for cell in cells], [test.pvalue for test in tests], rtol=1e-9)
    for cell, test in zip(cells, tests, strict=True):
        np.testing.assert_allclose((cell.difference.low, cell.difference.high), test.confidence_interval(0.95), rtol=1e-9)
        assert cell.p_adjusted >= cell.p_value


def test_what_is_the_same_for_every_seed_is_not_tested():
    found = comparing.compare(made_up(("a", "b"), latency_s=lambda v, s, r: s / 3 + r / 7 + 0.1 * v))
    row = tables.lines(found)[1][1]
    assert row == ("", "", "+0.1 +- 0")
    assert math.isnan(found.cells["latency_s"]["b"].p_adjusted)
    assert "no test of differences that are the same for every seed (+- 0)" in found.notes[0]
    assert "no test" not in comparing.compare(made_up()).notes[0]


def test_only_common_seeds_are_paired():
    frame = made_up(("a", "b"), latency_s=lambda v, s, _r: s**2 + v * (1 + 0.01 * s))
    frame = frame[(frame["variant"] == "a") | (frame["seed"].isin([1, 4, 5]))]
    cell = comparing.compare(frame).cells["latency_s"]["b"]
    assert (cell.interval.count, cell.difference.count) == (3, 3)
    assert cell.difference.estimate == pytest.approx(1 + 0.01 * 10 / 3)
    assert cell.difference.half_width < 0.1 < cell.interval.half_width
    frame = frame[(frame["variant"] == "b") | (frame["seed"] == 9)]
    assert comparing.compare(frame).cells["latency_s"]["b"].difference is None


def test_runs_that_never_get_there_are_censored():
    """Variant b needs 4 s more than a; one of its runs is cut off before."""
    frame = made_up(
        ("a", "b"),
        rounds=10,
        t_end_s=lambda _v, _s, r: r + 1.0,
        accuracy_mean=lambda v, s, r: 0.1 * (r + 1) - 0.4 * v - 0.02 * s,
    )
    found = comparing.compare(frame, target=0.5)
    reached = comparing.metrics(frame, 0.5)
    assert reached.groupby("variant", observed=True)["reached"].sum().to_dict() == {"a": 5, "b": 4}
    cells = found.cells["time_to_accuracy_s"]
    known = np.minimum(reached["time_to_accuracy_s"], 10.0)
    assert cells["b"].interval.estimate == pytest.approx(known.loc["b"].mean())
    assert cells["b"].difference.estimate == pytest.approx((known.loc["b"] - known.loc["a"]).mean())
    assert "a: 5 of 5 runs, median 6 s; b: 4 of 5 runs, median 10 s" in found.notes[1]
    nobody = comparing.compare(frame, target=0.99)
    assert "time_to_accuracy_s" not in nobody.cells
    assert "b: 0 of 5 runs, median not reached" in nobody.notes[1]


def test_metrics_that_were_not_measured_are_left_out():
    found = comparing.compare(made_up(accuracy_mean=lambda *_: np.nan))
    assert "accuracy_mean" not in found.cells
    assert "accuracy_p10" in found.cells
    assert "Left out" not in "".join(found.notes)


@pytest.mark.parametrize("baseline", ["a", "b"])
def test_a_metric_that_a_run_lacks_is_left_out_for_its_variant_alone(baseline):
    frame = made_up(accuracy_mean=lambda v, s, r: np.nan if (v, s) == (1, 4) else 0.1 * r + s / 100)
    found = comparing.compare(frame, baseline=baseline, target=0.3)
    cells = found.cells["accuracy_mean"]
    assert [cells[name].interval.count for name in "abc"] == [5, 0, 5]
    assert [cells[name].difference is not None for name in "abc"] == [False, False, baseline == "a"]
    assert "Left out (-), because not every run has it: accuracy_mean, time_to_accuracy_s of b." in found.notes
    row = next(row for row in tables.lines(found)[1] if row[0] == "accuracy_mean")
    assert row[1 + found.variants.index("b")] == "-"


def test_variants_without_a_finished_run_are_told():
    found = comparing.compare(made_up()[lambda frame: frame["variant"] != "b"])
    assert found.variants == ("a", "c")
    assert "Left out, because no run is finished: b." in found.notes


def test_runs_that_measure_no_accuracy_are_not_censored():
    frame = made_up(("a", "net"), t_end_s=lambda _v, _s, r: r, accuracy_mean=lambda v, _s, r: np.nan if v else r / 10)
    found = comparing.compare(frame, target=0.3)
    assert found.notes[-1].startswith("Accuracy 0.3 was reached by a: 5 of 5 runs, median 3 s; net: no accuracy measured")
    assert found.cells["time_to_accuracy_s"]["a"].interval.estimate == 3
    alone = comparing.compare(frame[frame["variant"] == "net"], target=0.3)
    assert "time_to_accuracy_s" not in alone.cells
    assert "censored" not in alone.notes[-1]


def test_one_run_of_one_variant():
    assert comparing.compare(made_up(("a",), [1])).notes == ("Mean over seeds, 95 % Student-t intervals; 1 run each.",)


def test_the_bootstrap_is_the_same_every_time():
    first, second = (comparing.compare(made_up(), resample=True) for _ in range(2))
    assert first == second or tables.comma_separated(first) == tables.comma_separated(second)
    assert "BCa bootstrap" in first.notes[0]
    cell = first.cells["latency_s"]["a"].interval
    assert cell.half_width < comparing.compare(made_up()).cells["latency_s"]["a"].interval.half_width


def test_an_unknown_baseline_is_refused():
    with pytest.raises(CosimError, match=r"--baseline d: no such variant; variants: a, best$"):
        comparing.compare(made_up(("a", "best")), baseline="d")
    with pytest.raises(CosimError, match="did you mean 'best'"):
        comparing.compare(made_up(("a", "best")), baseline="bets")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((12.3456, 12.0, 12.6912), "12.35 +- 0.35"),
        ((1234.5, 1200.0, 1269.0), "1234 +- 34"),
        ((5.9479e7, 5.6071e7, 6.2887e7), "(5.95 +- 0.34)e7"),
        ((-2e-5, -6.6e-5, 2.6e-5), "(-2.0 +- 4.6)e-5"),
        ((0.99, 0.96, 1.0), "0.990 [0.960, 1.000]"),
        ((3.0, 3.0, 3.0), "3 +- 0"),
        ((3.25, math.nan, math.nan), "3.25"),
        ((0.0, -1.0, 1.0), "0.0 +- 1.0"),
    ],
)
def test_numbers_are_rounded_by_their_intervals(numbers, text):
    assert tables.pair(*numbers) == text


@pytest.fixture
def clear():
    """Differences of -1 and +3 with little spread."""
    law = lambda v, s, r: 10 + s + [0, -1, 3][v] + 0.01 * ((v + 1) * s % 5) + 0.1 * r  # noqa: E731
    return comparing.compare(made_up(("a_1", "b", "c"), latency_s=law))


def test_text(clear):
    lines = tables.text(clear).splitlines()
    assert lines[0].split() == ["metric", "a_1", "b", "c"]
    assert lines[1].startswith("latency_s [s]")
    assert lines[2].split()[0].startswith("-1.0")
    assert lines[2].count("***") == 2
    assert lines[-1].startswith("Mean over seeds, 95 % Student-t intervals; 5 runs each.")


def test_markdown(clear):
    lines = tables.markdown(clear).splitlines()
    assert lines[:2] == ["| metric | a\\_1 | b | c |", "| --- | ---: | ---: | ---: |"]
    assert all(line.count(" | ") == 3 for line in lines[: lines.index("")])
    assert "±" in lines[2]


def test_latex(clear):
    lines = tables.latex(clear).splitlines()
    assert lines[0] == r"\begin{tabular}{lrrr}"
    assert r"a\_1" in lines[2]
    assert lines[5].endswith(r"\,^{***}$ \\")
    assert all(line.count("&") == 3 for line in lines if line.endswith(r"\\"))
    assert all(line.count("$") % 2 == 0 for line in lines)
    assert tables._mathematics(r"(5.95 \pm 0.34)e-7 **") == r"(5.95 \pm 0.34) \cdot 10^{-7}\,^{**}"


def test_csv_has_full_precision(clear):
    rows = list(csv.DictReader(io.StringIO(tables.comma_separated(clear))))
    (row,) = [row for row in rows if (row["metric"], row["variant"]) == ("latency_s", "c")]
    cell = clear.cells["latency_s"]["c"]
    assert (float(row["mean"]), float(row["difference_low"]), float(row["p_adjusted"])) == (
        cell.interval.estimate,
        cell.difference.low,
        cell.p_adjusted,
    )
    assert (row["unit"], row["runs"], row["pairs"]) == ("s", "5", "5")
    assert next(row for row in rows if row["variant"] == "a_1")["difference"] == ""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two allocators and two seeds, simulated by themselves."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "s.yaml").write_text("{rounds: 2, devices: {count: 3}, learning: {kind: none}}")
    for kind in ("kkt", "equal_bandwidth"):
        for seed in (1, 2):
            scenario = cosim.Scenario.load(folder / "s.yaml", {"seed": seed, "allocator.kind": kind})
            cosim.run(scenario, out=folder / f"{kind}-{seed}")
    return folder


def test_run_directories_are_grouped_by_what_sets_them_apart(runs):
    places = [runs / name for name in ("kkt-1", "equal_bandwidth-1", "kkt-2", "equal_bandwidth-2")]
    frame = comparing.rounds_of(comparing.members(places))
    assert frame["variant"].cat.categories.tolist() == ["kkt", "equal_bandwidth"]
    assert frame.groupby(["variant", "seed"], observed=True).size().to_dict() == {
        (kind, seed): 2 for kind in ("kkt", "equal_bandwidth") for seed in (1, 2)
    }
    assert comparing.rounds_of(comparing.members(places[:1]))["variant"].unique().tolist() == ["base"]


def test_names_that_fit_no_table_give_way_to_those_of_directories(runs, monkeypatch):
    monkeypatch.setattr(comparing, "LONGEST_NAME", len("equal_bandwidth") - 1)
    chosen = comparing.members([runs / name for name in ("kkt-1", "equal_bandwidth-1", "kkt-2", "equal_bandwidth-2")])
    assert [one.variant for one in chosen] == ["kkt-1", "equal_bandwidth-1"] * 2


def test_run_directories_that_cannot_be_compared(runs, tmp_path):
    with pytest.raises(CosimError, match="are the same scenario with the same seed"):
        comparing.rounds_of(comparing.members([runs / "kkt-1", runs / "kkt-1"]))
    with pytest.raises(RunError, match="is not a run directory"):
        comparing.rounds_of(comparing.members([tmp_path]))


def test_names_tell_scenarios_apart():
    base = {"a": {"kind": "x", "p": 1}, "rounds": 4}
    assert comparing._names([base, {**base, "rounds": 8}, base]) == ["rounds-4", "rounds-8", "rounds-4"]
    assert comparing._names([base, {**base, "a": {"kind": "y", "q": 2}}]) == ["x", "y"]
    assert comparing._names([base, {**base, "a": {"kind": "y", "q": 2}}, {**base, "a": {"kind": "y", "q": 3}}]) == ["x,1", "y,2", "y,3"]
