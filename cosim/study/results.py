"""A study read back: all its finished runs as one data set, in pandas or through pyarrow."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from cosim.errors import RunError, counted
from cosim.study import layout
from cosim.study.metrics import Effort, effort
from cosim.study.plan import Until, name_of
from cosim.trace.parts import part_files, table_directory
from cosim.trace.run import Run
from cosim.trace.schema import TABLES, TableName

if TYPE_CHECKING:
    import pandas as pd
    from pyarrow import dataset as arrow_dataset

    from cosim.plot.study import StudyPlots


@final
class Study:
    """The finished runs of a study. Tables are read when first asked for, and then kept.

    Frames begin with ``variant`` (categorical, in the study's order) and ``seed``, then come the columns of docs/trace.md.
    """

    def __init__(self, directory: Path, plan: dict[str, Any]) -> None:
        self.directory = directory
        self.plan = plan

    @classmethod
    def open(cls, directory: Path | str) -> Study:
        """The study in a directory. Raises RunError when it is not one, or is damaged."""
        directory = Path(directory)
        return cls(directory, layout.read_plan(directory))

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants."""
        return tuple(self.plan["variants"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds of the plan."""
        return tuple(self.plan["seeds"])

    @property
    def until(self) -> Until | None:
        """The rule by which seeds were added; None where they were fixed beforehand."""
        rule = self.plan.get("until")
        return None if rule is None else Until.model_validate(rule)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per planned run: variant, seed, whether it is finished, and its directory."""
        import pandas as pd

        places = [(variant, seed, layout.run_directory(self.directory, variant, seed)) for variant in self.variants for seed in self.seeds]
        rows = [(variant, seed, layout.is_finished(place), str(place)) for variant, seed, place in places]
        frame = pd.DataFrame(rows, columns=["variant", "seed", "finished", "directory"])
        return frame.assign(variant=pd.Categorical(frame["variant"], categories=list(self.variants)))

    def run(self, variant: str, seed: int) -> Run:
        """One run. Raises RunError when it is not finished, or not planned."""
        return Run.open(layout.run_directory(self.directory, variant, seed))

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """One row per round of each run."""
        return self._frame("rounds")

    @cached_property
    def devices(self) -> pd.DataFrame:
        """One row per device per round of each run."""
        return self._frame("devices")

    @cached_property
    def radio(self) -> pd.DataFrame:
        """Samples of the radio links; no rows where the scenario asked for none."""
        return self._frame("radio")

    @cached_property
    def events(self) -> pd.DataFrame:
        """The timelines; no rows where the scenario asked for none."""
        return self._frame("events")

    @property
    def plot(self) -> StudyPlots:
        """Figures on matplotlib: ``study.plot.accuracy()`` and others, each returning its Axes."""
        from cosim.plot.study import StudyPlots

        return StudyPlots(self)

    def effort(self, by: Effort) -> pd.Series[float]:
        """What each run had spent by the end of each of ``rounds``: see ``cosim.study.metrics.effort``."""
        return effort(self.rounds, by)

    def swept(self, path: str) -> dict[str, dict[float, str]]:
        """Variants that set ``path`` to a number, by what else they set, and there by that number, ascending: label, number, name.

        Raises ValueError where no variant sets it.
        """
        lines: dict[str, dict[float, str]] = {}
        for name, overrides in self.plan["variants"].items():
            if path in overrides:
                others = name_of({at: value for at, value in overrides.items() if at != path})
                lines.setdefault(others, {})[float(overrides[path])] = name
        if not lines:
            raise ValueError(f"no variant sets {path}")
        return {label: dict(sorted(found.items())) for label, found in lines.items()}

    def dataset(self, table: TableName) -> arrow_dataset.FileSystemDataset:
        """A table of all finished runs as a pyarrow data set: nothing is read before it is asked for rows.

        Columns ``variant`` and ``seed`` come from the directories' names. ``to_table(columns=..., filter=...)`` and
        ``to_batches`` read studies larger than memory; DuckDB and Polars take the data set too.
        """
        import pyarrow as pa
        from pyarrow import dataset as ds

        places = self.runs.loc[self.runs["finished"], "directory"]
        files = [str(path) for place in places for path in part_files(table_directory(Path(place), table))]
        keys = pa.schema([("variant", pa.string()), ("seed", pa.int64())])
        columns = [field.with_nullable(True) for field in TABLES[table].arrow_schema()]  # an older run may lack a column
        return ds.dataset(
            files,
            schema=pa.schema([*keys, *columns]),
            format="parquet",
            partitioning=ds.partitioning(keys, flavor="hive"),
            partition_base_dir=str(self.directory),
        )

    def _frame(self, table: TableName) -> pd.DataFrame:
        import pandas as pd
        import pyarrow as pa

        try:
            frame = pd.DataFrame(self.dataset(table).to_table().to_pandas())
        except (OSError, pa.ArrowException) as error:
            raise RunError(f"cannot read the {table} of {self.directory}: {error}") from error
        return frame.assign(variant=pd.Categorical(frame["variant"], categories=list(self.variants)))

    def __repr__(self) -> str:
        done = int(self.runs["finished"].sum())
        size = f"{counted(len(self.variants), 'variant')} x {counted(len(self.seeds), 'seed')}"
        return f"Study({str(self.directory)!r}, {size}, {counted(done, 'run')} finished)"
