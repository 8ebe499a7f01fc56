"""The tables of a run directory: every column once, with its type, unit and meaning.

Writer, reader and ``docs/trace.md`` (``python -m cosim.trace.schema > docs/trace.md``) are made from here.
What did not happen is NaN; integers, flags and words are never null. No column holds wall time.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION: Final = 1
"""Goes up when a reader of the old tables would misread the new ones; new columns alone do not count."""

Status: TypeAlias = Literal["arrived", "late", "dropped", "rejected", "offline", "infeasible", "skipped"]
STATUSES: Final[Mapping[Status, str]] = MappingProxyType(
    {
        "arrived": "its update was aggregated",
        "late": "its update was not complete when the round closed (asynchronous policies: the run), and was discarded",
        "dropped": "it went offline in mid-round",
        "rejected": "its update arrived, but was refused because it was not finite",
        "offline": "it was not there when the round started",
        "infeasible": "the allocator could not serve it within the latency threshold",
        "skipped": "the selection rule left it out, or it was still at work of an earlier round (asynchronous policies)",
    }
)
"""What can become of a device in a round; the last three are not selected."""

Dtype: TypeAlias = Literal["int64", "float64", "bool", "string"]
TableName: TypeAlias = Literal["rounds", "devices", "radio", "events"]
TABLE_NAMES: Final[tuple[TableName, ...]] = get_args(TableName)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``dtype`` float64 may hold NaN and may be left out when writing; the others only where they have a ``default``."""

    name: str
    dtype: Dtype
    unit: str
    meaning: str
    default: int | str | None = None

    @property
    def nullable(self) -> bool:
        """Whether NaN is a value of this column."""
        return self.dtype == "float64"


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the run directory, a directory of Parquet parts."""

    name: TableName
    meaning: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in the order in which they are stored."""
        return tuple(column.name for column in self.columns)

    def arrow_schema(self) -> pa.Schema:
        """Arrow schema; each field's metadata holds ``unit`` and ``meaning``."""
        import pyarrow as pa

        types = {"int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
        return pa.schema(
            [pa.field(c.name, types[c.dtype], nullable=False, metadata={"unit": c.unit, "meaning": c.meaning}) for c in self.columns],
            metadata={"cosim_table": self.name, "cosim_schema_version": str(SCHEMA_VERSION)},
        )


def _integer(name: str, meaning: str, default: int | None = None) -> Column:
    return Column(name, "int64", "", meaning, default)


def _flag(name: str, meaning: str) -> Column:
    return Column(name, "bool", "", meaning)


def _word(name: str, meaning: str, default: str | None = None) -> Column:
    return Column(name, "string", "", meaning, default)


def _number(name: str, unit: str, meaning: str) -> Column:
    return Column(name, "float64", unit, meaning)


_ROUND = _integer("round", "index of the round, from 0; an asynchronous round is an aggregation")
_ROUNDS = Table(
    "rounds",
    "One row per round.",
    (
        _ROUND,
        _number("t_start_s", "s", "simulated time at which the round started"),
        _number("t_end_s", "s", "simulated time at which the server aggregated"),
        _number("latency_s", "s", "t_end_s - t_start_s"),
        _number("planned_latency_s", "s", "longest round that the plan foresaw for a selected device"),
        _number("latency_threshold_s", "s", "latency T that the allocation had to meet"),
        _integer("devices_selected", "devices whose part ended in this round, arrived + dropped; all who were asked, unless asynchronous"),
        _integer("devices_arrived", "devices whose update was aggregated"),
        _integer("devices_dropped", "selected devices whose update was not aggregated"),
        _number("prune_ratio_mean", "", "mean prune_ratio, as realised, of the devices that began with this round"),
        _number("devices_pruned", "", "devices of devices_selected whose pruning ratio was above 0"),
        _number("bandwidth_used_hz", "Hz", "sum of the bandwidths allocated"),
        _number(
            "objective", "", "sum of w_k rho_k over all devices of the problem, rho_k as planned; a device that is not selected counts w_k"
        ),
        _number(
            "objective_pruning_cost",
            "",
            "sum of w_k phi(rho_k), rho_k as planned, phi the pruning error by the weights at the round's start",
        ),
        _word(
            "bandwidth_free_by_site",
            "band [Hz] that was to be shared out at each site, as objective_by_site; with one site too",
            default="",
        ),
        _word("over_noise_by_site", "interference over noise that the plan expected at each site, as objective_by_site", default=""),
        _word(
            "objective_by_site",
            "objective of each cell, separated by blanks, nan where nothing was to be decided; empty with one site",
            default="",
        ),
        _word(
            "pruning_cost",
            "phi at evenly spaced ratios from 0 to 1, separated by blanks; of several edge servers, separated by ;; empty where unknown",
        ),
        _number("multiplier", "1/Hz", "Lagrange multiplier lambda of the bandwidth constraint, where the allocator has one"),
        _flag("feasible", "every device of the problem could be served within the threshold"),
        _number(
            "least_threshold_s",
            "s",
            "least threshold at which all reachable devices could be served, each at prune_max; where not feasible",
        ),
        _number("uplink_bits", "bit", "bits that devices sent in this round, retransmissions and what did not arrive included"),
        _number("kept_flops", "FLOP", "work of the devices that began with this round, counted on their real sub-models"),
        _number(
            "energy_j",
            "J",
            "energy that devices spent in this round, computing and transmitting; late devices finish their work, unless asynchronous",
        ),
        _number("train_loss", "", "mean training loss of the updates that were aggregated in this round"),
        _number("accuracy_mean", "", "mean over devices of accuracy, in [0, 1]"),
        _number("accuracy_p10", "", "10th percentile over devices of accuracy, in [0, 1]"),
        _number("global_accuracy", "", "accuracy of the global model (personal parts averaged) on all test data, in [0, 1]"),
        _number("pruning_error", "", "sum_k w_k norm(u - u m_k)^2 over the prunable part"),
        _number("pruning_bound", "", "norm(u)^2 sum_k w_k rho_k over the prunable part, at the ratios that were asked for"),
        _number("coverage_min", "", "least number of aggregated devices that kept a prunable parameter"),
        _number("uncovered_fraction", "", "share of the prunable parameters that no aggregated device kept"),
    ),
)
_DEVICES = Table(
    "devices",
    "One row per device per round, selected or not. Positions, losses and planned gains are values at the round's t_start_s. "
    "A device's row belongs to the round in which its work started.",
    (
        _ROUND,
        _integer("device", "index of the device, from 0"),
        _flag("selected", "was asked to take part"),
        _word("status", "what became of it, see below"),
        _number("x_m", "m", "position in x"),
        _number("y_m", "m", "position in y"),
        _number("speed_m_s", "m/s", "speed"),
        _integer("site", "index of the serving site, from 0", default=0),
        _number("distance_m", "m", "2D distance to the serving site"),
        _flag("los", "line of sight to the serving site"),
        _number("pathloss_db", "dB", "path loss to the serving site, without shadowing"),
        _number("shadowing_db", "dB", "shadowing: additional loss, zero-mean"),
        _number("gain_planned_db", "dB", "power gain that the planner believed, antenna gains included"),
        _number(
            "prune_ratio",
            "",
            "pruned share of the prunable parameters, as realised: the planned rho_k, that of objective, in whole parameters or units",
        ),
        _number("bandwidth_hz", "Hz", "uplink bandwidth allocated"),
        _number("bandwidth_mean_hz", "Hz", "uplink bandwidth held, averaged from the end of computing to the end of the upload"),
        _number("retransmitted_bits", "bit", "payload sent again, each time it was"),
        _number("payload_bits", "bit", "exact length of the encoded upload"),
        _number("t_download_s", "s", "time for the model to reach the device"),
        _number("t_compute_s", "s", "time of local training, straggler factor included"),
        _number("t_wait_s", "s", "time spent waiting, such as for its own earlier work to end"),
        _number("t_upload_s", "s", "time from the start of the upload until the server has it"),
        _number("t_total_s", "s", "t_download_s + t_compute_s + t_wait_s + t_upload_s"),
        _number("t_planned_s", "s", "what the plan foresaw for t_total_s"),
        _number("weight", "", "w_k in the round's allocation problem; this and the next five are NaN for who had no part in it"),
        _number("snr_planned_hz", "Hz", "p g / (N0 F Gamma) with the planned gain g: planned SNR in 1 Hz"),
        _number("fixed_time_s", "s", "planned time that pruning does not shorten: download, personal layers' work, backhaul"),
        _number("prunable_time_s", "s", "planned computing time that pruning shortens, at pruning ratio 0"),
        _number("fixed_bits", "bit", "planned upload that pruning does not shorten"),
        _number("prunable_bits", "bit", "planned upload that pruning shortens, at pruning ratio 0"),
        _number("fixed_compute_s", "s", "the part of fixed_time_s that is computing; this and energy_planned_j only with an energy budget"),
        _number("energy_planned_j", "J", "energy that the plan foresaw for the device: what round.energy.budget_j bounds"),
        _number("transmit_power_w", "W", "transmit power in this round: the largest, unless the allocator chooses it"),
        _number("frequency_hz", "Hz", "clock frequency in this round: the device's own, unless the allocator chooses it"),
        _number("straggler_factor", "", "compute time over nominal compute time"),
        _number("kept_flops", "FLOP", "work counted on the real sub-model"),
        _number(
            "merged_round",
            "",
            "round whose aggregation took the update, under asynchronous policies perhaps a later one; NaN where none did",
        ),
        _number("staleness", "", "aggregations between the model that the device began with and the one that its update went into"),
        _number("battery_j", "J", "charge at the round's start; NaN without a battery"),
        _number("energy_compute_j", "J", "energy spent computing"),
        _number("energy_transmit_j", "J", "energy drawn while transmitting"),
        _number(
            "train_loss",
            "",
            "mean loss of the local training whose update is this row's; NaN where the server never had it, or there was no data",
        ),
        _number(
            "accuracy",
            "",
            "accuracy on own test data, model pruned as in this round or in the work it is still at; unpruned where neither; in [0, 1]",
        ),
        _number("accuracy_full", "", "accuracy of the unpruned global part with its personal part, in [0, 1]"),
    ),
)
_RADIO = Table(
    "radio",
    "Optional samples of the radio links (`trace: {radio_interval_s: ...}`).",
    (
        _ROUND,
        _number("t_s", "s", "simulated time of the sample"),
        _integer("device", "index of the device, from 0"),
        _number("x_m", "m", "position in x"),
        _number("y_m", "m", "position in y"),
        _number("speed_m_s", "m/s", "speed"),
        _integer("site", "index of the serving site, from 0", default=0),
        _number("gain_db", "dB", "channel gain with small-scale fading, antenna gains included; -inf while a device is being handed over"),
        _number("snr_db", "dB", "signal-to-noise ratio with the largest transmit power spread over the whole uplink band"),
        _number("blocks", "", "resource blocks held; NaN where the uplink has none"),
        _number(
            "rate_bps",
            "bit/s",
            "rate at which it was sending; of transport blocks (nr_mcs), the bits that arrived in the slot over its duration",
        ),
    ),
)
_EVENTS = Table(
    "events",
    "Optional timeline of decision points (`trace: {events: true}`).",
    (
        _number("t_s", "s", "simulated time"),
        _word("kind", "what happened"),
        _ROUND,
        _integer("device", "index of the device, -1 for the server"),
        _word("detail", "more about it, may be empty"),
    ),
)
TABLES: Final[Mapping[TableName, Table]] = MappingProxyType(
    {"rounds": _ROUNDS, "devices": _DEVICES, "radio": _RADIO, "events": _EVENTS},
)


def markdown() -> str:
    """All tables as the text of ``docs/trace.md``."""
    sections = [_table_markdown(table) for table in TABLES.values()]
    statuses = "\n".join(["| status | meaning |", "| --- | --- |", *(f"| `{word}` | {text} |" for word, text in STATUSES.items())])
    return "\n\n".join([_HEAD, *sections, "## Statuses of a device in a round", statuses]) + "\n"


def _table_markdown(table: Table) -> str:
    rows = [f"| `{c.name}` | {c.dtype} | {c.unit} | {c.meaning} |" for c in table.columns]
    head = ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {table.name}.parquet", "", table.meaning, "", *head, *rows])


_HEAD: Final = f"""# Tables of a run directory

Made from `cosim/trace/schema.py` by `python -m cosim.trace.schema > docs/trace.md`; schema version {SCHEMA_VERSION}.

Each table is a directory of Parquet parts `part-NNNNN.parquet`. `pandas.read_parquet("DIR/rounds.parquet")` reads it at any
time, while the run goes on (the newest round may then be there in part) and after a kill. Every column carries `unit` and
`meaning` in its Parquet field metadata (`pyarrow.parquet.read_schema(part).field("latency_s").metadata`). All quantities are
SI; decibels are named `_db`. A float64 is NaN where the thing did not happen; the other types are never null."""


if __name__ == "__main__":
    sys.stdout.write(markdown())
