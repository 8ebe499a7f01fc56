# noqa: INP001 - a script, not a package
"""The runs that docs/paper.md is about: those of one setting, by scheme, and what they say about accuracy and latency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

import cosim
from cosim import statistics
from cosim.study.metrics import Effort, accuracy_within, effort, metrics

BASELINE, PROPOSED = "personalization_only", "kkt"
SETTINGS = {"slow fading": ",snapshot,block_s-1e6", "fast fading": ",ergodic,block_s-0.001"}
SCHEMES = (
    PROPOSED,
    "kkt_alternating",
    BASELINE,
    "personalization_selected",
    "quantised",
    "pruning_only",
    "fedavg",
    "fixed_ratio",
    "equal_bandwidth",
)
DRAWN = tuple(name for name in SCHEMES if name != "kkt_alternating")  # it lies on top of kkt
FRONTIER = {1.0: BASELINE, 0.75: "kkt-0.75", 0.5: PROPOSED, 0.35: "kkt-0.35", 0.2: "kkt-0.2"}
EQUAL: Mapping[Effort, str] = {"round": "rounds", "time_s": "simulated time", "kept_flops": "FLOPs"}
MARGIN = 0.005
"""Loss of accuracy that counts as none: half a point."""
LATENCY_SHARE = 0.51
BETTER_TARGET = 0.92
"""What ``stop`` says in better.yaml."""
LATER = "not simulated yet"
TARGET_SHARE = 0.98
"""Time to accuracy: until this share of what personalization alone reaches in the end."""


@dataclass(frozen=True)
class Setting:
    """The runs of one setting: what ``StudyPlots`` draws."""

    rounds: pd.DataFrame
    devices: pd.DataFrame

    def effort(self, by: Effort) -> pd.Series:
        """As ``Study.effort``."""
        return effort(self.rounds, by)

    def swept(self, path: str) -> dict[str, dict[float, str]]:
        """Nothing is swept within a setting."""
        raise ValueError(f"no variant sets {path}")

    def known(self, names: Iterable[str]) -> list[str]:
        """Those of which a run is finished, in the order given."""
        return [name for name in names if name in self.rounds["variant"].cat.categories]

    def seeds(self, variant: str) -> str:
        """The finished seeds of a variant: ``1-4, 7``."""
        return spans(sorted(self.values("latency_s", variant).index))

    @cached_property
    def target(self) -> float | None:
        """The accuracy of the time to accuracy, in whole per cent; None without a run of the baseline."""
        if not self.known([BASELINE]):
            return None
        final = metrics(self.rounds)["accuracy_mean"].xs(BASELINE, level="variant").mean()
        return float(np.floor(100 * TARGET_SHARE * final) / 100)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row for each variant and seed, with the time to accuracy where there is a target."""
        return metrics(self.rounds, self.target)

    def values(self, metric: str, variant: str) -> pd.Series:
        """A metric of a variant by seed."""
        return self.metrics[metric].xs(variant, level="variant")

    def ratio(self, metric: str, variant: str) -> statistics.Interval:
        """A metric over that of the baseline, seed by seed."""
        return statistics.student_t((self.values(metric, variant) / self.values(metric, BASELINE)).dropna())

    def gain(self, variant: str, by: Effort = "round", baseline: str = BASELINE) -> statistics.Difference:
        """Accuracy less that of another at equal effort, seed by seed; NaN where one of them had measured none by then."""
        found = accuracy_within(self.rounds, by, baseline).xs(variant, level="variant").dropna()
        if found.empty:
            return statistics.Difference(statistics.Interval(np.nan, np.nan, np.nan, 0), np.nan)
        return statistics.paired(found["accuracy"], found["baseline"])


def finished(study: cosim.Study) -> list[int]:
    """Seeds of which every variant is finished."""
    done = study.runs.groupby("seed")["finished"].all()
    return [int(seed) for seed in done.index[done]]


def spans(numbers: Sequence[int]) -> str:
    """Ascending numbers with runs of them drawn together: ``1-4, 7``."""
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def in_setting(studies: Sequence[cosim.Study], ending: str) -> Setting:
    """The finished runs of variants whose name ends so, without the ending."""
    names = [name for study in studies for name in study.variants if name.endswith(ending)]
    tables = (pd.concat([getattr(study, table).astype({"variant": str}) for study in studies]) for table in ("rounds", "devices"))
    return Setting(*(_cut(table, names, ending) for table in tables))


def _cut(table: pd.DataFrame, names: Sequence[str], ending: str) -> pd.DataFrame:
    rows = table[table["variant"].isin(names)]
    found = [name.removesuffix(ending) for name in names if name in set(rows["variant"])]
    return rows.assign(variant=pd.Categorical(rows["variant"].str.removesuffix(ending), categories=found)).reset_index(drop=True)
