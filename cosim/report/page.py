"""One run as one self-contained HTML page: no file beside it, no network."""

from __future__ import annotations

import json
import math
import re
from html import escape, unescape
from importlib.resources import files
from pathlib import Path
from typing import Final

from plotly.offline import get_plotlyjs

from cosim.errors import RunError
from cosim.report import allocation, area, bounds, latency, learning, participation, rounds, summary, words
from cosim.report.style import Panel
from cosim.trace.run import Run

# Whatever a scenario's text might contain, a browser loads nothing from anywhere else.
_POLICY: Final = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def write_report(run: Run, out: Path | str | None = None) -> Path:
    """Write the page about a run and return where it is; default: ``report.html`` in the run's directory.

    Raises RunError when the run has no finished round, cannot be read, or the page cannot be written.
    """
    if run.rounds.empty:
        raise RunError(f"{run.directory} holds no finished round yet, so there is nothing to report")
    return save(page(run), run.directory / "report.html" if out is None else Path(out))


def save(text: str, path: Path) -> Path:
    """Write a page, making the folder where there is none, and return where it is. Raises RunError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def page(run: Run) -> str:
    """The whole page as text."""
    name = run.directory.resolve().name
    return document(name, _body(run, escape(name)))


def document(title: str, body: str) -> str:
    """A page around its body, with plotly.js and all else that it needs inside."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)} – cosim report</title>
<style>{_asset("page.css")}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
{with_contents(body)}
<script>{_asset("page.js")}</script>
</body>
</html>
"""


def _body(run: Run, name: str) -> str:
    return f"""{_header(run, name)}
<main>
{section("In a few words", _answers(run))}
{figures("What was learned", learning.panels(run), 0)}
{figures("How long rounds took", latency.panels(run), 10)}
{figures("Where the time went", [*rounds.panels(run), *latency.time_panels(run)], 20)}
{figures("Where the devices were, and who got what", [*area.panels(run), *allocation.panels(run)], 30)}
{figures("Who was pruned, and why", bounds.panels(run), 35, bounds.pruned_table(run))}
{figures("Who took part", [*participation.panels(run), *allocation.status_panels(run)], 40, participation.sentences(run))}
{section("Who did not arrive, and why", summary.misses(run))}
{section("All rounds", summary.rounds_table(run))}
{section("How to get this run again", _reproduction(run))}
</main>"""


def with_contents(body: str) -> str:
    """A page's body with links to its sections below its header."""
    titles = re.findall(r"<section[^>]*><h2>(.*?)</h2>", body)
    links = "".join(f'<li><a href="#{anchor(unescape(title))}">{title}</a></li>' for title in titles)
    return body.replace("</header>", f'<nav aria-label="sections"><ul class="facts">{links}</ul></nav></header>', 1)


def _asset(name: str) -> str:
    return files("cosim.report").joinpath(name).read_text(encoding="utf-8")


def _header(run: Run, name: str) -> str:
    manifest = run.manifest
    facts = {
        "seed": manifest.get("seed"),
        "devices": run.devices["device"].nunique(),
        **({"sites": sites} if (sites := len(run.scenario.get("sites") or [])) > 1 else {}),
        "allocator": _kind(run, "allocator"),
        "learning": _kind(run, "learning"),
        "uplink": _kind(run, "uplink"),
        "status": manifest.get("status"),
        "cosim": manifest.get("cosim_version"),
    }
    items = "".join(f"<li>{escape(key)} <b>{escape(str(value))}</b></li>" for key, value in facts.items())
    headline = summary.cards(run)
    columns = math.ceil(len(headline) / math.ceil(len(headline) / 6))  # rows of nearly equal length
    cards = "".join(
        f'<div class="card"><span>{escape(label)}</span><b>{escape(value)}</b><small>{escape(note)}</small></div>'
        for label, value, note in headline
    )
    return f'<header><h1>{name}</h1><ul class="facts">{items}</ul><div class="cards" style="--columns:{columns}">{cards}</div></header>'


def _kind(run: Run, role: str) -> str:
    node = run.scenario.get(role)
    return str(node.get("kind")) if isinstance(node, dict) else summary.UNKNOWN


def _answers(run: Run) -> str:
    lines = "".join(f"<dt>{escape(question)}</dt><dd>{escape(answer)}</dd>" for question, answer in words.answers(run))
    return f"<dl>{lines}</dl>" if lines else ""


def section(title: str, body: str) -> str:
    """A section of the page; nothing without a body."""
    return f'<section id="{anchor(title)}"><h2>{escape(title)}</h2>{body}</section>' if body else ""


def anchor(title: str) -> str:
    """Where a link to a section of the page goes."""
    return "-".join(re.findall(r"[a-z]+", title.lower()))


def figures(title: str, panels: list[Panel], first: int, more: str = "") -> str:
    """A section of figures and ``more``; ``first``: number of its first figure on the page. Nothing without figures."""
    if not panels:
        return ""
    made = "".join(_figure(panel, first + place) for place, panel in enumerate(panels))
    return section(title, f'<div class="grid">{made}</div>{more}')


def _figure(panel: Panel, number: int) -> str:
    whole = {**panel.figure.to_plotly_json(), "frames": panel.frames, "notes": panel.notes}
    data = json.dumps(whole, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    height = int(panel.figure.layout.height)
    note = f'<p class="note" aria-live="polite">{escape(panel.notes.get(panel.first, ""))}</p>' if panel.notes else ""
    return f"""<figure>
<h3>{escape(panel.title)}</h3>
<div class="plot" style="height:{height}px" role="img" aria-label="{escape(panel.title)}" data-figure="figure-{number}"></div>
{note}<script type="application/json" id="figure-{number}">{data}</script>
<figcaption>{escape(panel.caption)}</figcaption>
</figure>
"""


def _reproduction(run: Run) -> str:
    manifest = run.manifest
    versions = ", ".join(f"{package} {version}" for package, version in manifest.get("package_versions", {}).items())
    scenario = run.directory.resolve() / "scenario.yaml"
    return f"""
<p>The resolved scenario below is all it takes; every default is written out, the seed too.</p>
<pre>cosim run {escape(scenario.name)} --out again</pre>
<p>The same cosim and the same packages give the same tables, bit for bit: <code>again/manifest.json</code> then holds the fingerprint
<code>{escape(str(manifest.get("fingerprint") or summary.UNKNOWN))}</code>. This run used cosim {escape(str(manifest.get("cosim_version")))}
with {escape(versions)}.</p>
<details><summary>{escape(scenario.name)}, resolved</summary><pre>{escape(run.scenario_text)}</pre></details>
"""
