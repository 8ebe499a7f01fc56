"""A run directory read back: manifest, scenario, and tables as pandas frames."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from cosim.errors import RunError, counted
from cosim.trace import manifest as manifests
from cosim.trace.schema import TABLE_NAMES, TABLES, Column, TableName

if TYPE_CHECKING:
    import pandas as pd

    from cosim.plot.run import RunPlots
    from cosim.trace.invariants import Audit

SCENARIO_NAME = "scenario.yaml"


@final
class Run:
    """What a simulation left behind. Tables are read when first asked for, and then kept.

    A run that still goes on can be opened too: its tables hold what was there at the first question.
    """

    def __init__(self, directory: Path, manifest: dict[str, Any]) -> None:
        self.directory = directory
        self.manifest = manifest

    @classmethod
    def open(cls, directory: Path | str) -> Run:
        """The run in a directory. Raises RunError when it is not one, is damaged, or a newer cosim wrote it."""
        directory = Path(directory)
        if not directory.is_dir():
            raise RunError(f"{directory} is not a run directory: there is no such directory")
        return cls(directory, manifests.read_manifest(directory))

    @property
    def tables(self) -> tuple[TableName, ...]:
        """Names of the tables that this run kept."""
        return tuple(name for name in TABLE_NAMES if self._path(name).is_dir())

    @cached_property
    def scenario_text(self) -> str:
        """The resolved scenario as it was written: running it again gives the same run."""
        path = self.directory / SCENARIO_NAME
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path}: {error}") from error

    @cached_property
    def scenario(self) -> dict[str, Any]:
        """The resolved scenario as a plain mapping; ``cosim.Scenario.load(run.directory / "scenario.yaml")`` checks it too."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            document = YAML(typ="safe", pure=True).load(self.scenario_text)
        except YAMLError as error:
            raise RunError(f"{self.directory / SCENARIO_NAME} is damaged: {error}") from error
        if not isinstance(document, dict):
            raise RunError(f"{self.directory / SCENARIO_NAME} is damaged: not a mapping")
        return document

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """One row per round."""
        return self._read("rounds")

    @cached_property
    def devices(self) -> pd.DataFrame:
        """One row per device per round, selected or not."""
        return self._read("devices")

    @cached_property
    def asynchronous(self) -> bool:
        """Whether rounds were aggregations that did not wait for everybody: in some, the part of a device that was asked had not ended."""
        asked = self.devices.groupby("round")["selected"].sum()
        ended = self.rounds.set_index("round")["devices_selected"]
        return bool((asked - ended).fillna(0).any())  # of a run that goes on, a table may be a round ahead

    @cached_property
    def radio(self) -> pd.DataFrame:
        """Samples of the radio links; no rows where the scenario asked for none."""
        return self._read("radio")

    @cached_property
    def events(self) -> pd.DataFrame:
        """The timeline; no rows where the scenario asked for none."""
        return self._read("events")

    @cached_property
    def participation(self) -> pd.DataFrame:
        """How often each device took part: a row per device, its index.

        ``rounds`` of the run; in how many the device was ``online``, ``selected``, ``infeasible`` (there, but not to be served within the
        threshold) and ``arrived``; ``selected_share`` and ``arrived_share`` of all rounds.
        """
        import pandas as pd

        devices = self.devices
        status, owner = devices["status"], devices["device"]
        flags = {"online": status != "offline", "selected": devices["selected"], "infeasible": status == "infeasible"}
        counts = pd.DataFrame({**flags, "arrived": status == "arrived"}).groupby(owner).sum().astype("int64")
        counts.insert(0, "rounds", devices.groupby("device").size())
        shares = {f"{name}_share": counts[name] / counts["rounds"] for name in ("selected", "arrived")}
        return counts.assign(**shares)

    @cached_property
    def device_rounds(self) -> pd.DataFrame:
        """Rows of ``devices`` with the columns of their round beside them; a name that both have gets ``round_`` in front."""
        rounds = self.rounds
        clashes = {name: f"round_{name}" for name in rounds.columns if name != "round" and name in self.devices}
        return self.devices.merge(rounds.rename(columns=clashes), on="round", how="left", validate="many_to_one")

    @staticmethod
    def column(name: str) -> Column:
        """What a column is: ``Run.column("latency_s").unit`` is ``s``, ``.meaning`` says what it holds. Raises KeyError."""
        bare = name.removeprefix("round_")
        for table in TABLES.values():
            for column in table.columns:
                if column.name in (name, bare):
                    return column
        raise KeyError(f"no table has a column {name!r}; docs/trace.md lists them")

    @property
    def plot(self) -> RunPlots:
        """Figures on matplotlib: ``run.plot.latency_cdf()`` and others, each returning its Axes."""
        from cosim.plot.run import RunPlots

        return RunPlots(self)

    def written_by(self) -> str:
        """What to say of a run that does not fit, where another version of cosim wrote it; else ""."""
        here, wrote = manifests.cosim_version(), self.manifest.get("cosim_version")
        return "" if wrote == here else f"; cosim {wrote} wrote it, and this is {here}: use that version"

    def verify(self, audit: Audit) -> None:
        """Read every table, look at every row as the run itself did, and compare with the manifest.

        Raises RunError when a table is missing or damaged, lacks a column, holds what no run can have, or is not what the run
        had written at its end.
        """
        from cosim.trace.parts import part_files, read_part

        for name in dict.fromkeys(("rounds", "devices", *self.tables)):
            if name not in self.tables or not (paths := part_files(self._path(name))):
                raise RunError(f"{self._path(name)} lacks all parts")
            for path in paths:
                part = read_part(path)
                if missing := [column for column in TABLES[name].column_names if column not in part.column_names]:
                    raise RunError(f"{path} lacks {', '.join(missing)}{self.written_by()}")
                if wrong := audit.violation(name, {column: part[column].to_numpy() for column in part.column_names}):
                    raise RunError(f"{path}: {wrong}")
        expected = self.manifest.get("fingerprint")
        if expected is not None and expected != (found := manifests.fingerprint(self.directory)):
            raise RunError(f"the tables in {self.directory} were changed: fingerprint {found}, the manifest says {expected}")

    def _path(self, name: TableName) -> Path:
        return self.directory / f"{name}.parquet"

    def _read(self, name: TableName) -> pd.DataFrame:
        import pyarrow as pa

        from cosim.trace.parts import part_files, read_part

        if name not in self.tables and name in ("radio", "events"):
            parts = [TABLES[name].arrow_schema().empty_table()]
        else:
            parts = [read_part(path) for path in part_files(self._path(name))]
        try:
            frame: pd.DataFrame = pa.concat_tables(parts).to_pandas(use_threads=False)
        except pa.ArrowException as error:
            raise RunError(f"cannot read {self._path(name)}: {error}") from error
        return frame

    def __repr__(self) -> str:
        status, seed, rounds = self.manifest.get("status"), self.manifest.get("seed"), counted(len(self.rounds), "round")
        return f"Run({str(self.directory)!r}, {status}, seed {seed}, {rounds}, tables: {', '.join(self.tables)})"
