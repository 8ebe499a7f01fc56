# noqa: INP001 - a script, not a package
"""The page docs/beyond.md from the studies of scenarios/studies: what becomes of the claim where its assumptions do not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import beyond_cells
import beyond_csi
import beyond_links
import beyond_pruning
import beyond_stragglers
from matplotlib.figure import Figure
from paper_page import filled
from paper_runs import LATER, finished

import cosim

TEXTS: Mapping[str, Mapping[str, Callable[[cosim.Study], str]]] = {
    "csi_speed": {"csi": beyond_csi.tables, "csi findings": beyond_csi.findings},
    "frequency_selective": {"selective": beyond_links.latencies, "hindsight": beyond_links.hindsight},
    "stragglers": {"stragglers": beyond_stragglers.latencies},
    "structured": {"structured": beyond_pruning.costs, "structured findings": beyond_pruning.findings},
    "city_interference": {"cells": beyond_cells.latencies},
}
"""What stands at the template's marks, by study."""
FIGURES: Mapping[str, Callable[[cosim.Study], Figure]] = {
    "csi_speed": beyond_csi.figure,
    "frequency_selective": beyond_links.figure,
    "stragglers": beyond_stragglers.figure,
    "structured": beyond_pruning.figure,
    "city_interference": beyond_cells.figure,
}


def write(studies: Mapping[str, cosim.Study], folder: Path) -> None:
    """Write ``beyond.md`` and its figures under ``img/paper`` into a folder."""
    images = folder / "img/paper"
    images.mkdir(parents=True, exist_ok=True)
    done = {name: study for name, study in studies.items() if name in TEXTS and finished(study)}
    for name, study in done.items():
        FIGURES[name](study).savefig(images / f"{name}.png", dpi=110)
    values = {mark: make(done[name]) if name in done else LATER for name, texts in TEXTS.items() for mark, make in texts.items()}
    (folder / "beyond.md").write_text(filled("beyond.md.in", values), encoding="utf-8")
