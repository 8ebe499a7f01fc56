# noqa: INP001 - a script, not a package
"""Write docs/validation.md and its figures from what the oracle tests measure: make validation.

    python scripts/validate_radio.py [--records FILE] [--out docs]

Without FILE the tests run first, the long ones included; each comparison leaves a line of JSON (tests/oracle/conftest.py).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import j0

from cosim.interfaces import Band
from cosim.net.fading import Jakes
from cosim.net.los import sight_field, soft_transition
from cosim.net.pathloss import RuralMacro, UrbanMacro, UrbanMicro
from cosim.net.shadowing import CorrelatedShadowing
from cosim.net.tdl import TappedDelayLine
from cosim.rng import Streams

ROOT = Path(__file__).parent.parent
HEAD = """# Validation of the radio models

Written by `make validation` from the oracle tests' own results; do not edit. "Worst" is the largest deviation from the oracle
over all samples, "tolerance" what the test allows; where several cases share a line, the worst of them counts and their samples
add up. Sionna is the package `sionna-no-rt`, with the same speed of light as here (299792458 m/s). Statistical lines are the
result of fixed random streams: each test says where its tolerance comes from.

| model | oracle | samples | worst | tolerance | unit |
| --- | --- | ---: | ---: | ---: | --- |
"""
FIGURES = """
## Figures

![path loss](img/pathloss.png)

Path loss of the three scenarios at 3.5 GHz, with and without line of sight.

![Doppler](img/doppler.png)

Autocorrelation of Jakes fading over 24,000 independent links, and J0.

![shadowing](img/shadowing.png)

Autocorrelation of UMa shadowing over 100 seeds, and exp(-d/d_corr).

![line of sight](img/sight.png)

Line of sight along one street of 400 m: the instant state, and the smooth weight of section 7.6.3.3.

![tapped delay line](img/tdl.png)

One link under TDL-C, delay spread 363 ns, at 10 m/s: power in each of 50 resource blocks over half a second [dB].
"""


def main() -> None:
    """Run the tests where no records are given, then write page and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    lines = (options.records or measure()).read_text(encoding="utf-8").splitlines()
    (options.out / "img").mkdir(parents=True, exist_ok=True)
    (options.out / "validation.md").write_text(HEAD + table([json.loads(line) for line in lines]) + FIGURES, encoding="utf-8")
    for name, draw in (
        ("pathloss.png", pathloss),
        ("doppler.png", doppler),
        ("shadowing.png", shadowing),
        ("sight.png", sight),
        ("tdl.png", tdl),
    ):
        figure = Figure(figsize=(7.0, 3.2), layout="constrained")
        draw(figure)
        figure.savefig(options.out / "img" / name, dpi=90, metadata={"Date": None} if name.endswith("svg") else None)


def measure() -> Path:
    """The records of a run of the radio's oracle tests; stops where one fails."""
    records = Path(tempfile.mkdtemp(prefix="validation-")) / "records.jsonl"
    names = ("test_radio_*.py", "test_fading_*.py", "test_large_scale_*.py")
    tests = [str(path) for name in names for path in sorted((ROOT / "tests" / "oracle").glob(name))]
    command = [sys.executable, "-m", "pytest", "--quiet", *tests]
    subprocess.run(command, check=True, env={**os.environ, "COSIM_VALIDATION": str(records)}, cwd=ROOT)  # noqa: S603 - our own tests
    return records


def table(records: list[dict[str, object]]) -> str:
    """One line per model and oracle, in order of the models' names."""
    merged: dict[tuple[str, str], dict[str, object]] = {}
    for record in records:
        key = str(record["model"]), str(record["oracle"])
        old = merged.get(key, {**record, "samples": 0})
        merged[key] = {**record, "samples": old["samples"] + record["samples"], "worst": max(old["worst"], record["worst"])}  # type: ignore[operator,type-var]
    rows = (
        f"| {model} | {oracle} | {r['samples']:,} | {r['worst']:.2g} | {r['tolerance']:.2g} | {r['unit']} |"
        for (model, oracle), r in sorted(merged.items(), key=lambda item: item[0][0].lower())
    )
    return "\n".join(rows) + "\n"


def pathloss(figure: Figure) -> None:
    axes, distance = figure.subplots(), np.geomspace(10, 5000, 400)
    for number, (name, model, height) in enumerate((("UMa", UrbanMacro(), 25.0), ("UMi", UrbanMicro(), 10.0), ("RMa", RuralMacro(), 35.0))):
        for los, style in ((True, "-"), (False, "--")):
            axes.semilogx(
                distance, model.loss_db(distance, los, height), style, color=f"C{number}", label=f"{name} {'LOS' if los else 'NLOS'}"
            )
    _label(axes, "horizontal distance [m]", "path loss [dB]")


def doppler(figure: Figure) -> None:
    links, model = 24_000, UrbanMacro()
    waves = Jakes(residual_doppler_hz=0.0).start(model, Band(1.0, 1), 0, links, Streams(1)).waves
    lags, wavelength_m = np.arange(0, 5.01, 0.05), 299792458.0 / 3.5e9
    path = (np.random.default_rng(1).uniform(0, 1000, links) + lags[:, None]) * wavelength_m
    real, imaginary = waves.sum(lags, path, np.arange(links))
    h = real[0] + 1j * imaginary[0]
    axes, fine = figure.subplots(), np.linspace(0, 5, 500)
    axes.plot(fine, j0(2 * np.pi * fine), color="0.6", linewidth=3, label="J0")
    axes.plot(lags, (h * h[0].conj()).mean(axis=1).real, ".", color="C0", markersize=4, label="measured")
    _label(axes, "Doppler shift x lag", "autocorrelation")


def shadowing(figure: Figure) -> None:
    axes, model, rng, lags = figure.subplots(), UrbanMacro(), np.random.default_rng(3), np.linspace(0, 4, 25)
    for number, los in enumerate((True, False)):
        scale_m, total = model.shadowing_correlation_m(los=los), np.zeros(lags.size)
        for seed in range(100):
            x, y = rng.uniform(0, 100 * scale_m, (2, 1, 500))
            angle = rng.uniform(0, 2 * np.pi, (1, 500))
            x, y = x + scale_m * lags[:, None] * np.cos(angle), y + scale_m * lags[:, None] * np.sin(angle)
            value = CorrelatedShadowing().start(model, 0, Streams(seed)).loss_db(x, y, np.full(x.shape, los), np.ones(x.shape))
            total += (value * value[0]).mean(axis=1) / 100
        axes.plot(lags, total, ".", color=f"C{number}", label="LOS" if los else "NLOS")
    axes.plot(lags, np.exp(-lags), color="0.6", zorder=0, label="exp(-d/d_corr)")
    _label(axes, "distance / d_corr", "autocorrelation")


def sight(figure: Figure) -> None:
    axes, x = figure.subplots(), np.arange(0.0, 400.0, 0.25)
    probability = np.full(x.size, 0.5)
    for softness, label in ((0.0, "instant"), (soft_transition(299792458.0 / 3.5e9), "smooth, 3.5 GHz")):
        axes.plot(x, sight_field(50.0, 0, Streams(4), softness).weight(x, 0 * x, probability), label=label)
    _label(axes, "way [m]", "weight of line of sight")


def tdl(figure: Figure) -> None:
    times, band = np.arange(500) * 1e-3, Band(50 * 180e3, 50)
    process = TappedDelayLine().start(UrbanMacro(), band, 0, 1, Streams(2))
    power = process.subband_power(times, 10.0 * times[:, None], np.array([0]))[:, 0]
    axes = figure.subplots()
    image = axes.imshow(
        10 * np.log10(power.T), aspect="auto", origin="lower", extent=(0, 500, 0, 50), vmin=-25, vmax=8, interpolation="nearest"
    )
    figure.colorbar(image, ax=axes, label="dB")
    axes.set(xlabel="time [ms]", ylabel="resource block")


def _label(axes: object, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)  # type: ignore[attr-defined]
    axes.grid(visible=True, linewidth=0.4, alpha=0.5)  # type: ignore[attr-defined]
    axes.legend(fontsize=8)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
