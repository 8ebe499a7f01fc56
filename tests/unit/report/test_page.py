"""The page about a run: complete, self-contained, and true to the tables."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import cosim
from cosim.errors import RunError
from cosim.report import write_report
from cosim.report.allocation import status_map
from cosim.report.page import page
from cosim.report.summary import rounds_table
from cosim.trace.manifest import write_manifest
from cosim.trace.run import Run
from cosim.trace.writer import TraceWriter

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Reader(HTMLParser):
    """Elements, figures and text of a page; fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.figures, self.text, self._heading = [], [], {}, [], None
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tag, attrs = self.open[-1] if self.open else ("", {})
        if tag == "h3":
            self._heading = data
        elif attrs.get("type") == "application/json":
            self.figures[self._heading] = json.loads(data)
        elif tag not in ("script", "style") and data.strip():
            self.text.append(data.strip())


def traces(reader, title):
    return {trace.get("name"): trace for trace in reader.figures[title]["data"]}


@pytest.fixture(scope="module")
def run(small_run):
    return small_run


@pytest.fixture(scope="module")
def text(run):
    return page(run)


@pytest.fixture(scope="module")
def reader(text):
    return Reader(text)


def test_page_is_self_contained(reader):
    for tag, attrs in reader.elements:
        within = tag == "a" and attrs["href"].startswith("#")
        assert within or not {"src", "href", "srcset", "action", "data"} & set(attrs), f"<{tag}> loads something"
        assert tag not in ("link", "iframe", "object", "embed", "base")
    policy = next(attrs["content"] for tag, attrs in reader.elements if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_own_style_and_script_load_nothing(text):
    own = re.findall(r"<style>(.*?)</style>", text, re.DOTALL) + re.findall(r"<script>([^<]*?)</script>\s*</body>", text, re.DOTALL)
    assert len(own) == 2
    for part in own:
        assert not re.search(r"url\(|@import|https?:|fetch\(", part)


def test_plotly_is_there_once(text):
    assert len(re.findall(r"plotly\.js v\d", text)) == 1


def test_every_figure_has_titles_with_units_and_a_caption(reader):
    captions = [tag for tag, _ in reader.elements].count("figcaption")
    assert captions == len(reader.figures) == 19
    for figure in reader.figures.values():
        for axis in ("xaxis", "yaxis"):
            assert figure["layout"][axis]["title"]["text"]


def test_accuracy_and_latency_are_the_tables(run, reader):
    rounds = run.rounds
    accuracy, latency = traces(reader, "Accuracy"), traces(reader, "Latency of the rounds")
    for trace, column in (
        (accuracy["mean over devices"], "accuracy_mean"),
        (accuracy["10th percentile of devices"], "accuracy_p10"),
        (accuracy["global model"], "global_accuracy"),
        (latency["realised"], "latency_s"),
        (latency["planned"], "planned_latency_s"),
        (latency["threshold"], "latency_threshold_s"),
    ):
        np.testing.assert_allclose(trace["y"], rounds[column], rtol=1e-4)
        np.testing.assert_allclose(trace["x"], rounds["t_end_s"], rtol=1e-4)


def test_distribution_of_devices_is_the_empirical_one(run, reader):
    realised = traces(reader, "Distribution over devices")["realised"]
    times = run.devices.loc[run.devices["status"] == "arrived", "t_total_s"].to_numpy()
    for time_s, share in list(zip(realised["x"], realised["y"], strict=True))[1::7]:
        assert np.mean(times <= time_s * (1 + 1e-4)) == pytest.approx(share, abs=1e-4)
    assert realised["y"][-1] == 1


@pytest.mark.parametrize(("title", "key"), [("Per round", "round"), ("Per device", "device")])
def test_stacked_times_add_up_to_the_latency(run, reader, title, key):
    bars = traces(reader, title)
    assert list(bars) == ["download", "compute", "waiting for own work", "upload", "waiting for others"]
    arrived = run.devices[run.devices["status"] == "arrived"].merge(run.rounds[["round", "latency_s"]], on="round")
    expected = arrived.groupby(key)["latency_s"].mean()
    height = np.sum([bar["y"] for bar in bars.values()], axis=0)
    np.testing.assert_allclose(height, [expected[int(place)] for place in bars["upload"]["x"]], rtol=1e-3)


def test_heat_maps_are_the_tables(run, reader):
    ratio, bandwidth = reader.figures["Pruning ratio"]["data"][0], reader.figures["Bandwidth"]["data"][0]
    ratios = run.devices.pivot_table(index="device", columns="round", values="prune_ratio", dropna=False).to_numpy()
    bandwidths = run.devices.pivot_table(index="device", columns="round", values="bandwidth_hz", dropna=False).to_numpy()
    np.testing.assert_allclose(np.array(ratio["z"], dtype=float), ratios, rtol=6e-3)
    np.testing.assert_allclose(10.0 ** np.array(bandwidth["z"], dtype=float), bandwidths / 1e6, rtol=6e-3)
    np.testing.assert_allclose(np.array(bandwidth["customdata"], dtype=float), bandwidths / 1e6, rtol=6e-3)


def test_map_shows_every_device_in_every_round(run, reader):
    figure = reader.figures["Map of the devices"]
    assert [frame["name"] for frame in figure["frames"]] == [str(index) for index in range(6)]
    assert [step["label"] for step in figure["layout"]["sliders"][0]["steps"]] == [str(index) for index in range(6)]
    for index, frame in enumerate(figure["frames"]):
        rows = run.devices[run.devices["round"] == index].set_index("device")
        points = {point[0]: (x, y) for kind in frame["data"] for point, x, y in zip(kind["customdata"], kind["x"], kind["y"], strict=True)}
        assert sorted(points) == list(range(12))
        for device, (x, y) in points.items():
            assert (x, y) == pytest.approx((rows["x_m"][device], rows["y_m"][device]), rel=1e-3)


def test_statuses_are_counted(run, reader):
    bars = traces(reader, "Devices per round")
    counts = run.devices["status"].value_counts()
    assert {name: sum(bar["y"]) for name, bar in bars.items()} == counts.to_dict()


def test_headline_numbers(run, reader):
    rounds = run.rounds
    arrived, selected = rounds["devices_arrived"].sum(), rounds["devices_selected"].sum()
    for expected in (
        f"{100 * rounds['accuracy_mean'].iloc[-1]:.1f} %",
        f"{100 * arrived / selected:.1f} %",
        f"{arrived} of {selected} selected",
        f"{rounds['prune_ratio_mean'].mean():.3f}",
        f"{rounds['latency_s'].mean():.2f} s",
    ):
        assert expected in reader.text


def test_devices_that_did_not_arrive_are_told(made_up_run):
    run = made_up_run(devices=50, rounds=4)
    reader = Reader(page(run))
    missed = run.devices[run.devices["selected"] & (run.devices["status"] == "late")]
    assert len(missed) > 0
    assert any(f"{len(missed)} of {run.rounds['devices_selected'].sum()} updates" in text for text in reader.text)
    place = reader.text.index("late")
    assert reader.text[place : place + 4] == ["late", "uploading", str(len(missed)), f"{missed['straggler_factor'].mean():.3f}"]


def test_asynchronous_rounds_are_not_held_against_a_plan(made_up_run):
    run = made_up_run(devices=4, rounds=3)
    heads = ("<th>planned</th>", "<th>threshold</th>")
    assert all(head in rounds_table(run) for head in heads)
    vars(run)["asynchronous"] = True
    assert not any(head in rounds_table(run) for head in heads)
    assert "while it was still at it" in status_map(run).caption


def test_nothing_was_learned(made_up_run):
    figures = Reader(page(made_up_run(devices=4, rounds=3, learning=False))).figures
    assert not {"Accuracy", "Training loss", "Accuracy of each device"} & set(figures)
    assert "Latency of the rounds" in figures


def test_one_round_of_one_device(made_up_run):
    figures = Reader(page(made_up_run(devices=1, rounds=1, late=False))).figures
    assert figures["Map of the devices"]["frames"] == []
    assert "sliders" not in figures["Map of the devices"]["layout"]


def test_nobody_arrived(made_up_run):
    reader = Reader(page(made_up_run(devices=6, rounds=3, arrive=False)))
    assert not {"Per round", "Per device", "Planned against realised", "Distribution over devices"} & set(reader.figures)
    assert "0.0 %" in reader.text


def test_everybody_arrived(made_up_run):
    reader = Reader(page(made_up_run(devices=6, rounds=3, late=False)))
    assert "Every device that was selected arrived, in every round." in reader.text


def test_nothing_is_known_but_ids_and_flags(tmp_path):
    """Every float is NaN, as in a round that nobody could be served in."""
    trace = TraceWriter(tmp_path)
    trace.append(
        "rounds",
        {"round": [0, 1], "devices_selected": 0, "devices_arrived": 0, "devices_dropped": 0, "feasible": False, "pruning_cost": ""},
    )
    for index in range(2):
        trace.append("devices", {"round": index, "device": np.arange(3), "selected": False, "status": "infeasible", "los": False})
    trace.close()
    (tmp_path / "scenario.yaml").write_text("seed: 1\n")
    write_manifest(tmp_path, status="interrupted", seed=1, scenario_digest="", wall_times_s={})
    assert set(Reader(page(Run.open(tmp_path))).figures) == {"How often each device took part", "Devices per round", "Device by device"}


def test_text_of_a_scenario_cannot_become_code(made_up_run, tmp_path):
    evil = "</script></pre><script>alert(1)</script><img src=x onerror=alert(2)>"
    run = made_up_run(devices=3, rounds=2, comment=evil)
    place = tmp_path / "<b onclick=alert(3)>&amp;"
    run.directory.rename(place)
    text = page(Run.open(place))
    reader = Reader(text)
    assert not {"img", "b onclick=alert(3)"} & {tag for tag, _ in reader.elements}
    assert not any("onclick" in attrs or "onerror" in attrs for _, attrs in reader.elements)
    assert evil in "".join(reader.text)
    assert place.name in reader.text


def test_fifty_devices_and_a_hundred_rounds_are_under_six_megabytes(made_up_run):
    assert write_report(made_up_run(devices=50, rounds=100)).stat().st_size < 6_000_000


def test_long_runs_are_thinned_and_say_so(made_up_run):
    reader = Reader(page(made_up_run(devices=2, rounds=300)))
    frames = reader.figures["Map of the devices"]["frames"]
    assert (frames[0]["name"], frames[-1]["name"], len(frames)) == ("0", "299", 120)
    assert any("120 evenly spaced rounds are shown" in text for text in reader.text)


def test_where_the_page_goes(run, tmp_path):
    assert write_report(run) == run.directory / "report.html"
    assert write_report(run, tmp_path / "other.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert write_report(run, tmp_path / "absent" / "page.html").is_file()


def test_a_place_that_cannot_be_written(run, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "page.html", tmp_path):
        with pytest.raises(RunError, match="cannot write"):
            write_report(run, place)


def test_a_run_without_rounds_has_no_page(tmp_path):
    TraceWriter(tmp_path)
    write_manifest(tmp_path, status="running", seed=1, scenario_digest="", wall_times_s={})
    with pytest.raises(RunError, match="no finished round"):
        write_report(Run.open(tmp_path))


def test_devices_without_prunable_computing_have_no_place_on_a_logarithmic_axis(tmp_path):
    """All that is pruned is sent, and nothing of it computed, as with local training alone."""
    scenario = cosim.Scenario.load("scenarios/small_5dev.yaml", {"learning": {"kind": "none", "global_flops": 0.0}, "rounds": 2})
    run = cosim.run(scenario, out=tmp_path / "run")
    assert (run.devices["prune_ratio"] > 0).any()
    assert "Why devices were pruned" not in page(run)
