"""Tutorials and gallery: they run, and show what their texts say."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(script, out):
    command = [sys.executable, str(ROOT / "examples" / script), "--out", str(out), "--workers", "2"]
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_latency_under_mobility(tmp_path):
    """The faster the devices, the further off the plan: every interval of the difference from rest is above 0, and they rise."""
    lines = re.findall(r"([+-][\d.]+) s \[([+-][\d.]+), ([+-][\d.]+)\]", run("latency_under_mobility.py", tmp_path))
    gaps = [tuple(map(float, line)) for line in lines]
    assert len(gaps) == 4
    assert all(low > 0 for _, low, _ in gaps[1:])
    assert [gap for gap, _, _ in gaps] == sorted(gap for gap, _, _ in gaps)
    assert {path.name for path in tmp_path.glob("*.png")} == {"latency_cdf.png", "latency_by_speed.png", "map.png"}


def test_a_better_allocator(tmp_path):
    told = run("better_allocator.py", tmp_path)
    assert re.search(r"without_waste prunes less than equal_bandwidth: -0\.\d+ in the mean objective, p = 0\.00", told)
    assert (tmp_path / "table.md").read_text(encoding="utf-8").startswith("| metric | equal\\_bandwidth | without\\_waste | kkt |")


def test_the_gallery_is_what_its_script_writes(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "scripts/make_gallery.py")
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    assert (ROOT / "docs/gallery.md").read_text(encoding="utf-8") == gallery.text()
    from cosim.plot.run import RunPlots
    from cosim.plot.study import StudyPlots

    shown = gallery.RUN_FIGURES | gallery.STUDY_FIGURES | gallery.SWEEP_FIGURES
    drawn = {expression.split(".", 2)[2].partition("(")[0] for expression, _ in shown.values()}
    assert drawn == {name for figures in (RunPlots, StudyPlots) for name in vars(figures) if not name.startswith("_")}


@pytest.mark.parametrize("document", ["docs/studies.md", "docs/report.md", "docs/tutorials.md", "docs/gallery.md"])
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / document).read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert target.startswith("https://") or ((ROOT / document).parent / target).exists(), target


def test_the_commands_of_the_page_about_pages(tmp_path):
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    (block,) = re.findall(r"^```console\n(.*?)^```$", (ROOT / "docs/report.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for command in block.splitlines():
        done = subprocess.run([sys.executable, "-m", *command.split()], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "How far was planned latency off?" in (tmp_path / "runs/page/report.html").read_text(encoding="utf-8")
