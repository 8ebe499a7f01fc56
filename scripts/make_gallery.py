# noqa: INP001 - a script, not a package
"""The gallery: every figure of ``run.plot`` and ``study.plot``, made by the command that stands below it.

python scripts/make_gallery.py            # docs/img/gallery/*.png, docs/gallery.md
python scripts/make_gallery.py --pages    # screenshots of the page too, with playwright and Chromium
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import cosim
from cosim.study.execute import run_study
from cosim.study.page import write_page
from cosim.study.plan import load

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs/img/gallery"
RUN = "cosim run scenarios/small_5dev.yaml --out runs/a --rounds 12 --set devices.count=12 --set trace.radio_interval_s=0.02"
STUDY = "cosim study scenarios/studies/gallery.yaml --out runs/gallery"
RUN_FIGURES = {
    "latency_cdf": ("run.plot.latency_cdf()", "How long devices took, against the plan."),
    "latency_by_speed": ("run.plot.latency_by_speed()", "Whether fast devices take longer."),
    "accuracy": ("run.plot.accuracy()", "What was learned, against simulated time."),
    "energy": ("run.plot.energy()", "Where the energy went."),
    "gantt": ("run.plot.gantt(7)", "What every device did in a round."),
    "map": ("run.plot.map()", "Where the devices went."),
    "snr": ("run.plot.snr((0, 3))", "Fading, as two devices see it."),
    "pruning": ('run.plot.heat_map("prune_ratio")', "Who was pruned, and when."),
    "bandwidth": ('run.plot.heat_map("bandwidth_hz")', "Who got the band."),
}
SWEEP = "cosim study scenarios/paper/objective_bandwidth.yaml --out runs/sweep"
SWEEP_FIGURES = {
    "sweep": ('sweep.plot.sweep("objective", "uplink.bandwidth_hz")', "A column of the rounds against a number that an override gives."),
    "pruning_by_gain": ("sweep.plot.pruning_by_gain()", "Who is pruned: devices by their planned gain."),
}
STUDY_FIGURES = {
    "study_latency_cdf": ("study.plot.latency_cdf()", "Allocators by the latency of their rounds."),
    "study_latency_by_speed": ("study.plot.latency_by_speed()", "Latency against speed, by allocator."),
    "study_accuracy": ("study.plot.accuracy()", "Accuracy with 95 % bands over seeds."),
    "study_metric": ('study.plot.metric("latency_s")', "A metric with its interval."),
}


def main() -> None:
    """Simulate, draw, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", action="store_true", help="screenshots of the HTML pages too")
    options = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run, study, sweep = simulate(Path(folder))
        draw(run, study, sweep)
        if options.pages:
            photograph(write_page([run.directory]), write_page([study.directory]))
    (ROOT / "docs/gallery.md").write_text(text(), encoding="utf-8")


def simulate(folder: Path) -> tuple[cosim.Run, cosim.Study, cosim.Study]:
    """The run and the studies that the figures are about, as the commands make them."""
    overrides = {"rounds": 12, "devices.count": 12, "trace.radio_interval_s": 0.02}
    run = cosim.run(cosim.Scenario.load(ROOT / "scenarios/small_5dev.yaml", overrides), out=folder / "a")
    study, failed = run_study(load(ROOT / "scenarios/studies/gallery.yaml"), folder / "gallery")
    sweep, failed_too = run_study(load(ROOT / "scenarios/paper/objective_bandwidth.yaml"), folder / "sweep")
    assert not failed + failed_too, failed + failed_too
    return run, study, sweep


def draw(run: cosim.Run, study: cosim.Study, sweep: cosim.Study) -> None:
    """Each figure by the very expression that the gallery shows."""
    for name, (expression, _) in (RUN_FIGURES | STUDY_FIGURES | SWEEP_FIGURES).items():
        kind, _, method = expression.split(".", 2)
        called, _, arguments = method.partition("(")
        figures = {"run": run.plot, "study": study.plot, "sweep": sweep.plot}[kind]
        getattr(figures, called)(*_values(arguments.removesuffix(")"))).figure.savefig(IMAGES / f"{name}.png", dpi=130)


def _values(arguments: str) -> list[object]:
    import ast

    return list(ast.literal_eval(f"({arguments},)")) if arguments else []


def photograph(one: Path, several: Path) -> None:
    """Screenshots of the pages, and of what answers the questions about a round."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for name, path, width in (("page", one, 1280), ("page_phone", one, 390), ("page_several", several, 1280)):
            page = browser.new_page(viewport={"width": width, "height": 1100 if width > 600 else 844})
            page.goto(path.as_uri())
            page.wait_for_function("[...document.querySelectorAll('[data-figure]')].every((place) => place.querySelector('.main-svg'))")
            page.screenshot(path=IMAGES / f"{name}.png")
            if name == "page":
                place = page.locator("figure", has=page.locator("h3:text-is('Round by round')"))
                place.scroll_into_view_if_needed()
                rail = place.locator(".slider-rail-touch-rect").bounding_box()
                page.mouse.click(rail["x"] + 7 / 11 * rail["width"], rail["y"] + rail["height"] / 2)
                page.wait_for_function("(note) => note.textContent.startsWith('Round 7 ')", arg=place.locator(".note").element_handle())
                place.screenshot(path=IMAGES / "page_round_7.png")
        browser.close()


def text() -> str:
    """The page ``docs/gallery.md``."""
    head = f"""# Gallery

Made by `make gallery`: every figure of a run and of a study, below each the expression that makes it. They return their matplotlib
Axes, and draw into `ax=` where that is given.

```console
{RUN}
{STUDY}
{SWEEP}
```

```python
import cosim

run = cosim.Run.open("runs/a")
study, sweep = cosim.Study.open("runs/gallery"), cosim.Study.open("runs/sweep")
run.plot.gantt(7).figure.savefig("gantt.pdf")
```
"""
    parts = [_section("A run", RUN_FIGURES), _section("A study", STUDY_FIGURES), _section("A number that changes", SWEEP_FIGURES)]
    return "\n".join([head, *parts])


def _section(title: str, figures: dict[str, tuple[str, str]]) -> str:
    entries = [f"{meaning} `{expression}`\n\n![{meaning}](img/gallery/{name}.png)\n" for name, (expression, meaning) in figures.items()]
    return "\n".join([f"## {title}\n", *entries])


if __name__ == "__main__":
    main()
