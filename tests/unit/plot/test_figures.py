"""Figures: what is drawn is what the tables say. How they look was judged by eye."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import cosim

mpl.use("Agg")
from matplotlib import pyplot as plt

from cosim.plot.study import StudyPlots, band
from cosim.plot.style import labelled

METHODS = ["latency_cdf", "latency_by_speed", "accuracy", "energy", "gantt", "map", "snr", "heat_map"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plot")
    (folder / "s.yaml").write_text("""
seed: 3
rounds: 4
devices: {count: 5}
learning: {kind: none}
mobility: {kind: random_waypoint}
compute: {kind: shifted_exponential, mean: 2.0}
round: {policy: {kind: deadline, after: {relative_to_plan: 1.1}}}
trace: {radio_interval_s: 0.05}
""")
    return cosim.run(cosim.Scenario.load(folder / "s.yaml"), out=folder / "run")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("method", METHODS)
def test_every_figure_returns_its_axes_with_units(run, method, tmp_path):
    ax = getattr(run.plot, method)()
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert ax.figure.get_figwidth() == 3.5
    ax.figure.savefig(tmp_path / "figure.pdf")
    given = plt.subplots()[1]
    assert getattr(run.plot, method)(ax=given) is given


def test_latency_cdf(run):
    ax = run.plot.latency_cdf()
    arrived = run.devices[run.devices["status"] == "arrived"]
    for line, column in zip(ax.lines, ("t_planned_s", "t_total_s"), strict=True):
        assert line.get_xdata()[1:] == pytest.approx(np.sort(arrived[column]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["planned", "realised"]


def test_gantt(run):
    late = run.devices[run.devices["status"] == "late"].iloc[0]
    ax = run.plot.gantt(int(late["round"]))
    rows = run.devices[(run.devices["round"] == late["round"]) & run.devices["selected"]]
    drawn = sum(bar.get_width() for bar in ax.patches)
    assert drawn == pytest.approx(np.nansum(rows[["t_download_s", "t_wait_s", "t_compute_s", "t_upload_s"]]))
    assert f"{late['device']} late" in [text.get_text() for text in ax.get_yticklabels()]
    with pytest.raises(ValueError, match=r"no device was selected in round 99; rounds: 0 to 3"):
        run.plot.gantt(99)


def test_heat_map(run):
    image = run.plot.heat_map("bandwidth_hz").images[0]
    expected = run.devices.pivot_table(index="device", columns="round", values="bandwidth_hz") / 1e6
    np.testing.assert_allclose(image.get_array(), expected)
    assert image.get_extent() == [-0.5, 3.5, 4.5, -0.5]
    with pytest.raises(ValueError, match="no heat map of 'status'; there are: prune_ratio, bandwidth_hz"):
        run.plot.heat_map("status")


def test_snr_needs_samples(run):
    assert run.plot.snr((1, 2)).lines[1].get_ydata() == pytest.approx(run.radio[run.radio["device"] == 2]["snr_db"])
    with pytest.raises(ValueError, match="no radio samples of device 77"):
        run.plot.snr((77,))
    with pytest.raises(ValueError, match="at least one"):
        run.plot.snr(())


def test_energy_adds_up(run):
    top = max(path[:, 1].max() for area in run.plot.energy().collections for path in [area.get_paths()[0].vertices])
    assert top == pytest.approx(run.rounds["energy_j"].sum())


def study():
    """Two variants, four seeds; each seed's rounds end at other times. The accuracy of seed s is s / 100 + round / 10."""
    rows = [(v, s, r, (r + 1) * (1 + 0.1 * s), s / 100 + r / 10) for v in ("a", "b") for s in range(1, 5) for r in range(5)]
    frame = pd.DataFrame(rows, columns=["variant", "seed", "round", "t_end_s", "accuracy_mean"])
    frame = frame.assign(latency_s=frame["seed"] * 1.0, planned_latency_s=1.0, variant=pd.Categorical(frame["variant"]))
    devices = frame.assign(speed_m_s=frame["seed"] + frame["round"] / 10, t_total_s=2.0, status="arrived")
    devices = devices.assign(device=0, selected=True, gain_planned_db=-90.0 - frame["round"], prune_ratio=frame["seed"] / 10)
    return SimpleNamespace(
        rounds=frame,
        devices=devices,
        effort=lambda by: frame["t_end_s"] if by == "time_s" else frame["round"] + 1.0,
        swept=lambda _: {"line": {1.0: "a", 3.0: "b"}},
    )


def test_bands_are_student_t_intervals_of_the_last_known_values():
    rows = study().rounds
    time_s, mean, low, high = band(rows[rows["variant"] == "a"])
    assert (time_s[0], time_s[-1]) == (pytest.approx(1.4), pytest.approx(5.5))  # the last to begin, the first to end
    at = np.searchsorted(time_s, 3.0)
    known = [s / 100 + (int(time_s[at] / (1 + 0.1 * s)) - 1) / 10 for s in range(1, 5)]
    assert mean[at] == pytest.approx(np.mean(known))
    assert (low[at], high[at]) == pytest.approx(stats.t.interval(0.95, 3, np.mean(known), stats.sem(known)))


@pytest.mark.parametrize("method", ["latency_cdf", "latency_by_speed", "accuracy", "metric", "pruning_by_gain"])
def test_study_figures(method, tmp_path):
    plots = StudyPlots(study())
    ax = getattr(plots, method)()
    ax.figure.savefig(tmp_path / "figure.pdf")
    shown = [text.get_text() for text in (ax.get_legend().get_texts() if ax.get_legend() else ax.get_xticklabels())]
    assert shown[:2] == ["a", "b"]
    given = plt.subplots()[1]
    assert getattr(plots, method)(ax=given) is given


def test_accuracy_against_rounds_of_chosen_variants():
    ax = StudyPlots(study()).accuracy(by="round", variants=["b"])
    (line,) = ax.lines
    assert line.get_label() == "b"
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (1.0, 5.0)
    assert line.get_ydata()[-1] == pytest.approx(np.mean([s / 100 + 0.4 for s in range(1, 5)]))
    with pytest.raises(ValueError, match="no accuracy against 'joules'; there are: round, time_s"):
        StudyPlots(study()).accuracy(by="joules")


def test_a_sweep_has_means_and_intervals_at_the_values():
    ax = StudyPlots(study()).sweep("latency_s", "uplink.bandwidth_hz")
    assert ax.get_xlabel() == "bandwidth [Hz]"
    (bars,) = ax.containers
    (segments,) = (part.get_segments() for part in bars.lines[2])
    np.testing.assert_allclose(bars.lines[0].get_xydata(), [(1.0, 2.5), (3.0, 2.5)])
    np.testing.assert_allclose(segments[0][:, 1], stats.t.interval(0.95, 3, 2.5, stats.sem([1, 2, 3, 4])))


def test_variants_without_numbers_are_left_out():
    """Variant b measured no accuracy, and served nobody."""
    tables = study()
    own = tables.rounds["variant"] == "b"
    tables.rounds.loc[own, ["accuracy_mean", "planned_latency_s"]] = np.nan
    tables.devices.loc[own, "selected"] = False
    plots = StudyPlots(tables)
    assert [line.get_label() for line in plots.accuracy().lines] == ["a"]
    assert [text.get_text() for text in plots.metric("accuracy_mean").get_xticklabels()] == ["a"]
    assert plots.sweep("planned_latency_s", "uplink.bandwidth_hz").containers[0].lines[0].get_xdata() == [1.0]
    assert [line.get_label() for line in plots.pruning_by_gain().lines] == ["a"]
    with pytest.raises(ValueError, match="variant 'b' has nothing to show here; there are: a"):
        plots.accuracy(variants=["b"])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda plots: plots.accuracy(), "no variant measured an accuracy"),
        (lambda plots: plots.metric("planned_latency_s"), "no variant has a finite planned_latency_s"),
        (lambda plots: plots.sweep("planned_latency_s", "uplink.bandwidth_hz"), "no variant that sets uplink.bandwidth_hz has a finite"),
        (lambda plots: plots.pruning_by_gain(), "no variant selected a device"),
    ],
)
def test_where_no_variant_has_numbers_there_is_no_figure(draw, message):
    tables = study()
    tables.rounds["accuracy_mean"], tables.rounds["planned_latency_s"], tables.devices["selected"] = np.nan, np.inf, False
    open_ones = plt.get_fignums()
    with pytest.raises(ValueError, match=message):
        draw(StudyPlots(tables))
    assert plt.get_fignums() == open_ones


def test_lines_and_seeds_without_finite_numbers_are_left_out():
    """The plan of variant a is infinite in one run, that of b in all."""
    tables = study()
    tables.rounds["planned_latency_s"] = tables.rounds["planned_latency_s"].where(tables.rounds["variant"] == "a", np.inf)
    tables.rounds.loc[(tables.rounds["variant"] == "a") & (tables.rounds["seed"] == 2), "planned_latency_s"] = np.inf
    tables.swept = lambda _: {"line": {1.0: "a"}, "other": {1.0: "b"}}
    (bars,) = StudyPlots(tables).sweep("planned_latency_s", "uplink.bandwidth_hz").containers
    assert (bars.get_label(), bars.lines[0].get_xydata().tolist()) == ("line", [[1.0, 1.0]])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda plots: plots.accuracy(variants=["aa"]), "variant 'aa' has nothing to show here; there are: a, b; did you mean 'a'"),
        (lambda plots: plots.pruning_by_gain(variants=["aa"]), "did you mean 'a'"),
        (lambda plots: plots.metric("latency"), "rounds has no numbers 'latency'; there are: .*; did you mean 'latency_s'"),
        (lambda plots: plots.sweep("latency", "uplink.bandwidth_hz"), "did you mean 'latency_s'"),
        (lambda plots: plots.accuracy(by="rounds"), "did you mean 'round'"),
    ],
)
def test_misspelt_names_are_told_with_the_nearest(draw, message):
    with pytest.raises(ValueError, match=message):
        draw(StudyPlots(study()))


def test_units_are_read_from_names():
    assert [labelled(name) for name in ("latency_s", "uplink_bits", "objective", "prune_ratio_mean")] == [
        "latency [s]",
        "uplink [bit]",
        "objective",
        "prune ratio mean",
    ]


def test_nothing_is_loaded_before_it_is_used():
    program = "import sys, cosim; cosim.Run; cosim.Study; print([n for n in ('matplotlib', 'torch', 'scipy.stats') if n in sys.modules])"
    root = Path(cosim.__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert found.stdout == "[]\n"
