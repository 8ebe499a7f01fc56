"""Who took part how often, and rounds that could not serve everyone."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cosim.report.participation import jain_index, panels, sentences
from cosim.trace.run import Run


def made(statuses, **rounds):
    """A run of these statuses, rounds x devices; selected are those that arrived or were late."""
    status = np.array(statuses)
    count, devices = status.shape
    columns = {
        "round": np.repeat(np.arange(count), devices),
        "device": np.tile(np.arange(devices), count),
        "status": status.ravel(),
        "selected": np.isin(status.ravel(), ("arrived", "late")),
        "staleness": 0.0,
    }
    defaults = {"round": np.arange(count), "feasible": True, "least_threshold_s": np.nan, "latency_threshold_s": 2.0}
    run = SimpleNamespace(devices=pd.DataFrame(columns), rounds=pd.DataFrame(defaults | rounds), asynchronous=False)
    run.participation = Run.participation.func(run)
    return run


def test_counts_and_shares():
    table = made([["arrived", "late", "infeasible"], ["arrived", "offline", "skipped"]]).participation
    assert table.index.tolist() == [0, 1, 2]
    assert table["rounds"].tolist() == [2, 2, 2]
    assert table["online"].tolist() == [2, 1, 2]
    assert table["selected"].tolist() == [2, 1, 0]
    assert table["infeasible"].tolist() == [0, 0, 1]
    assert table["arrived"].tolist() == [2, 0, 0]
    assert table["selected_share"].tolist() == [1.0, 0.5, 0.0]
    assert table["arrived_share"].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(("values", "index"), [([3, 3, 3], 1.0), ([5, 0, 0, 0], 0.25), ([1, 2], 0.9)])
def test_jain(values, index):
    assert jain_index(values) == pytest.approx(index)


def test_jain_of_nothing():
    assert np.isnan(jain_index([0, 0]))


def test_a_fair_run_says_so():
    text = sentences(made([["arrived", "arrived"]] * 3))
    assert "In every round the plan served all devices" in text
    assert "index of their arrivals is 1.000" in text.replace("&#x27;", "'")
    assert "Every device arrived at least once." in text


def test_rounds_that_could_not_serve_everyone():
    rows = [["arrived", "infeasible"], ["arrived", "arrived"], ["arrived", "infeasible"], ["arrived", "infeasible"]]
    text = sentences(made(rows, feasible=[False, True, False, False], least_threshold_s=[3.0, np.nan, 5.0, 1.0]))
    assert "3 of 4 rounds could not serve every device within the latency threshold (rounds 0, 2, 3)." in text
    assert "They left out 1.0 devices on average, at most 1" in text
    assert "was 3.00 s to 5.00 s: 2.00 times the one that was set (median)" in text
    assert "In 1 of them the threshold alone would have allowed it" in text
    assert "from 25.0 % to 100.0 %" in text


def test_an_allocator_that_does_not_aim_at_the_threshold():
    text = sentences(made([["arrived", "arrived"]], feasible=[False], least_threshold_s=[2.5]))
    assert "(round 0)" in text
    assert "Nobody was left out: the allocator planned for longer than the threshold." in text


def test_nobody_ever_arrives():
    text = sentences(made([["late", "offline"]] * 2))
    assert "2 of 2 devices never arrived" in text
    assert "Jain" not in text


def test_rounds_in_which_nobody_was_selected():
    text = sentences(made([["infeasible", "offline"]] * 2, feasible=False, least_threshold_s=9.0))
    assert "No device took part." in text
    assert "at most 1." in text  # and nobody to go on with
    assert "In 2 of 2 rounds nobody was selected, and the round passed idle (rounds 0, 1)." in text
    text = sentences(made([["skipped", "skipped"], ["arrived", "arrived"]]))
    assert "In 1 of 2 rounds nobody was selected, and the round passed idle (round 0)." in text
    assert "served all devices" not in sentences(made([["skipped", "skipped"]]))


def test_bars_add_up_to_all_rounds():
    (panel,) = panels(made([["arrived", "late", "infeasible"], ["arrived", "offline", "skipped"], ["late", "arrived", "arrived"]]))
    heights = np.sum([bar.y for bar in panel.figure.data], axis=0)
    assert heights == pytest.approx([1.0, 1.0, 1.0], abs=1e-3)
    assert panel.figure.data[0].y == pytest.approx((0.6667, 0.3333, 0.3333))
