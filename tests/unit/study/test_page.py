"""The page about several runs: what it holds. How it looks in a browser: tests/end_to_end/test_pages_in_browser.py."""

import pytest

from cosim.study import plan
from cosim.study.execute import run_study
from cosim.study.page import write_page


@pytest.fixture
def page(write, tmp_path):
    """The page about a study of the variants in ``text``."""

    def page(text):
        run_study(plan.load(write(f"{{scenario: tiny.yaml, seeds: [1, 2], variants: {text}}}")), tmp_path / "out", workers=1)
        return write_page([tmp_path / "out"]).read_text(encoding="utf-8")

    return page


def test_a_variant_that_never_served_anybody_has_a_place(page):
    text = page("{base: {}, hopeless: {round.latency_threshold: 1e-6}}")
    assert "planned_latency_s, prune_ratio, pruned_share, arrived_share of hopeless" in text


def test_what_is_the_same_for_every_seed_is_told(page):
    text = page("{hopeless: {round.latency_threshold: 1e-6}, worse: {round.latency_threshold: 2e-6}}")
    assert "latency_s 100 % higher for every seed alike" in text
