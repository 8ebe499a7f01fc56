"""A comparison as text: for the terminal, Markdown, LaTeX (booktabs), and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from cosim.study.compare import Cell, Comparison
from cosim.study.metrics import METRICS

_LEVELS: Final = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
_CSV: Final = (
    "metric", "unit", "variant", "runs", "mean", "low", "high",
    "pairs", "difference", "difference_low", "difference_high", "p_value", "p_adjusted", "seeds",
)  # fmt: skip


def stars(p_value: float) -> str:
    """``***`` p < 0.001, ``**`` p < 0.01, ``*`` p < 0.05, else nothing."""
    return next((sign for limit, sign in _LEVELS if p_value < limit), "")


def pair(estimate: float, low: float, high: float, sign: str = "+-") -> str:
    """An estimate and the half of a symmetric interval, else the interval, rounded to the interval's second digit; ``-`` for none."""
    if math.isnan(estimate):
        return "-"
    if not math.isfinite(high - low):
        return f"{estimate:.4g}"
    half = (high - low) / 2
    if half == 0:
        return f"{estimate:.4g} {sign} 0"
    exponent = math.floor(math.log10(max(abs(estimate), half)))
    exponent = exponent if not -4 < exponent < 6 else 0
    scaled = [value / 10.0**exponent for value in (estimate, half, low, high)]
    digits = 1 - math.floor(math.log10(scaled[1]))
    centre, width, left, right = (f"{round(value, digits):.{max(0, digits)}f}" for value in scaled)
    symmetric = abs(estimate - (low + high) / 2) <= 0.01 * half
    text = f"{centre} {sign} {width}" if symmetric else f"{centre} [{left}, {right}]"
    return f"({text})e{exponent}" if exponent else text


def _difference(cell: Cell, sign: str = "+-") -> str:
    gap = cell.difference
    if gap is None:
        return ""
    plus = "+" if gap.estimate > 0 else ""
    return f"{plus}{pair(gap.estimate, gap.low, gap.high, sign)} {stars(cell.p_adjusted)}".rstrip()


def _title(metric: str) -> str:
    unit = METRICS[metric][0]
    return f"{metric} [{unit}]" if unit else metric


def lines(comparison: Comparison, sign: str = "+-") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header, and two lines for each metric: the means with their intervals, and the differences from the baseline."""
    rows: list[tuple[str, ...]] = []
    for metric, cells in comparison.cells.items():
        found = [cells[name] for name in comparison.variants]
        rows.append((_title(metric), *(pair(cell.interval.estimate, cell.interval.low, cell.interval.high, sign) for cell in found)))
        if any(cell.difference for cell in found):
            rows.append(("", *(_difference(cell, sign) for cell in found)))
    return ("metric", *comparison.variants), rows


def text(comparison: Comparison) -> str:
    """Aligned plain text."""
    header, rows = lines(comparison)
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]
    body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in (header, *rows)]
    return "\n".join([*body, "", *comparison.notes]) + "\n"


def markdown(comparison: Comparison) -> str:
    """A GitHub table."""
    header, rows = lines(comparison, "±")
    escaped = [[cell.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_") for cell in line] for line in (header, *rows)]
    body = [f"| {' | '.join(line)} |" for line in escaped]
    rule = f"| --- |{' ---: |' * (len(header) - 1)}"
    return "\n".join([body[0], rule, *body[1:], "", *(note.replace("*", "\\*").replace("_", "\\_") for note in comparison.notes)]) + "\n"


def latex(comparison: Comparison) -> str:
    """A tabular with booktabs rules; notes stand below it as comments."""
    header, rows = lines(comparison, r"\pm")
    head = " & ".join(map(_escaped, header))
    body = [" & ".join((_escaped(row[0]), *(f"${_mathematics(cell)}$" if cell else "" for cell in row[1:]))) + r" \\" for row in rows]
    notes = [f"% {note}" for note in comparison.notes]
    top = rf"\begin{{tabular}}{{l{'r' * len(comparison.variants)}}}"
    return "\n".join([top, r"\toprule", head + r" \\", r"\midrule", *body, r"\bottomrule", r"\end{tabular}", *notes]) + "\n"


def _escaped(cell: str) -> str:
    for sign in "&%$#_{}":
        cell = cell.replace(sign, f"\\{sign}")
    return cell


def _mathematics(cell: str) -> str:
    """A cell such as ``(1.2 +- 0.3)e7 **`` the way LaTeX writes powers and stars."""
    bare, _, marks = cell.partition(" *")
    body, power, exponent = bare.partition(")e")
    scaled = rf"{body}) \cdot 10^{{{exponent}}}" if power else bare
    return rf"{scaled}\,^{{*{marks}}}" if marks or cell.endswith("*") else scaled


def comma_separated(comparison: Comparison) -> str:
    """One line per metric and variant, full precision; empty where there is nothing to say."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV)
    for metric, cells in comparison.cells.items():
        for name in comparison.variants:
            cell = cells[name]
            interval, gap = cell.interval, cell.difference
            gaps = (gap.count, gap.estimate, gap.low, gap.high) if gap else ("",) * 4
            values = (interval.estimate, interval.low, interval.high, *gaps, cell.p_value, cell.p_adjusted)
            plain = ["" if isinstance(value, float) and math.isnan(value) else value for value in values]
            writer.writerow([metric, METRICS[metric][0], name, interval.count, *plain, "sequential" if comparison.sequential else "fixed"])
    return out.getvalue()


FORMATS: Final[Mapping[str, Callable[[Comparison], str]]] = MappingProxyType(
    {"text": text, "markdown": markdown, "latex": latex, "csv": comma_separated}
)
