"""Plain records of what is going on: all that a process must know after a ``yield``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cosim.trace.schema import STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cosim.interfaces import BoolArray, FloatArray, IntArray, Submodels
    from cosim.net.transfer import Transfers, Window
    from cosim.simulation.plan import Plan

Columns = dict[str, Any]
_WORDS = tuple(STATUSES)
UPLOAD_FIELDS: Final = ("backlog_bits", "airtime_s", "held_hz_s", "again_bits", "settled_s", "sending", "done")
"""What a work and its transfer have in common."""


@dataclass(slots=True)
class Works:
    """What devices do, each from the moment it is asked to take part until its update is merged or lost; arrays (m,).

    In ascending order of the devices, of which each has one work at most. ``round``, ``start_s``: the round it belongs to, and
    when that began. Download, compute and departure times are known from the beginning (what will not be is inf);
    ``compute_s``: duration of the local work; ``airtime_limit_s``: airtime for which
    the battery lasts after it, inf without one. ``upload_end_s``, ``arrival_s``: NaN until they are known. ``stop_s``: when the device
    stopped before it arrived: it left, or the round ended. ``server``: the one whose model it began with, to which its update goes;
    ``links_passed`` of the backhaul, the last of them by ``node_s``. ``UPLOAD_FIELDS``: as in ``Transfers``, at the end of the last round.
    """

    device_ids: IntArray
    round: IntArray
    server: IntArray
    links_passed: IntArray
    node_s: FloatArray
    start_s: FloatArray
    prune_ratio: FloatArray
    payload_bits: FloatArray
    flops: FloatArray
    bandwidth_hz: FloatArray
    airtime_limit_s: FloatArray
    transmit_power_w: FloatArray
    frequency_hz: FloatArray
    download_end_s: FloatArray
    compute_start_s: FloatArray
    compute_s: FloatArray
    departure_s: FloatArray
    upload_end_s: FloatArray
    arrival_s: FloatArray
    stop_s: FloatArray
    backlog_bits: FloatArray
    airtime_s: FloatArray
    held_hz_s: FloatArray
    again_bits: FloatArray
    settled_s: FloatArray
    sending: BoolArray
    done: BoolArray
    arrived: BoolArray
    gone: BoolArray

    @staticmethod
    def asked(device_ids: IntArray, round_index: int, server: IntArray, start_s: float, **known: FloatArray) -> Works:
        """Works that begin now; what is not ``known`` has not happened yet."""
        m = len(device_ids)
        values: dict[str, Any] = {
            **{name: np.full(m, np.nan) for name in ("upload_end_s", "arrival_s", "node_s")},
            **{name: np.zeros(m) for name in ("airtime_s", "held_hz_s", "again_bits", "settled_s")},
            **{name: np.zeros(m, np.bool_) for name in ("sending", "done", "arrived", "gone")},
            "stop_s": np.full(m, np.inf),
            "backlog_bits": np.array(known["payload_bits"], np.float64),
        }
        values.update(
            known,
            device_ids=device_ids,
            round=np.full(m, round_index),
            server=server,
            links_passed=np.zeros(m, np.int64),
            start_s=np.full(m, start_s),
        )
        return Works(**values)

    @staticmethod
    def none() -> Works:
        """Nobody at work."""
        types: dict[str, Any] = {"BoolArray": np.bool_, "IntArray": np.int64, "FloatArray": np.float64}
        return Works(*(np.zeros(0, types[str(name.type)]) for name in fields(Works)))

    @property
    def compute_end_s(self) -> FloatArray:
        """When the local work ends and the upload begins [s]."""
        return self.compute_start_s + self.compute_s

    def take(self, chosen: BoolArray | IntArray) -> Works:
        """Some of the works."""
        return Works(*(getattr(self, name.name)[chosen] for name in fields(self)))

    def with_others(self, others: Works) -> Works:
        """These works and those of other devices."""
        if not len(self.device_ids):
            return others
        both = Works(*(np.concatenate([getattr(self, name.name), getattr(others, name.name)]) for name in fields(self)))
        return both.take(np.argsort(both.device_ids, kind="stable"))


@dataclass(slots=True)
class State:
    """What lasts from round to round: with the learner's arrays, all that a checkpoint needs.

    ``ticket_end_s`` (devices,): when the local work of a device that was late ends, which it may still be at in the next
    round; inf without such work. ``env_now_s``: SimPy's own clock, which may be off ``clock_s`` by rounding, and
    orders events. ``works``: of devices that go on from earlier rounds. ``open_rows``: rows of the devices table, by
    round, some of whose works have not ended; they and all later ones are not written yet. ``battery_j`` (devices,): charge at
    ``clock_s``; inf for devices without a battery. ``stopped``: the run has reached what it was to reach. ``over_noise`` (sites,):
    interference over noise on the blocks that each site used last, averaged as (N + I) / N in dB. ``backhaul_free_s`` (L,): as of
    ``Backhaul.pass_link``; ``cloud_s``: when the cloud had the models of all edge servers, last time.
    """

    round: int
    clock_s: float
    ticket_end_s: FloatArray
    battery_j: FloatArray
    over_noise: FloatArray
    backhaul_free_s: FloatArray
    cloud_s: float = -np.inf
    env_now_s: float = 0.0
    stopped: bool = False
    works: Works = field(default_factory=Works.none)
    open_rows: dict[int, Columns] = field(default_factory=dict)

    @staticmethod
    def initial(devices: int, battery_j: FloatArray | None = None, *, sites: int = 1, links: int = 2) -> State:
        """Before the first round."""
        battery_j = np.full(devices, np.inf) if battery_j is None else battery_j
        return State(0, 0.0, np.full(devices, np.inf), battery_j, np.zeros(sites), np.zeros(links))

    @property
    def rounds_written(self) -> int:
        """Rounds whose rows of the devices table are complete."""
        return min(self.open_rows, default=self.round)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The record as named arrays."""
        return {
            "round": np.array([self.round]),
            "rounds_written": np.array([self.rounds_written]),
            "clocks_s": np.array([self.clock_s, self.env_now_s, self.cloud_s]),
            "over_noise": self.over_noise.copy(),
            "backhaul_free_s": self.backhaul_free_s.copy(),
            "ticket_end_s": self.ticket_end_s.copy(),
            "battery_j": self.battery_j.copy(),
            "stopped": np.array([self.stopped]),
            **{f"works/{name.name}": getattr(self.works, name.name).copy() for name in fields(Works)},
            **{f"rows/{index}/{name}": _coded(values) for index, rows in self.open_rows.items() for name, values in rows.items()},
        }

    @staticmethod
    def of(arrays: Mapping[str, NDArray[np.generic]]) -> State:
        """The record in such arrays."""
        clock_s, env_now_s, cloud_s = (float(value) for value in arrays["clocks_s"].tolist())
        rows: dict[int, Columns] = {}
        for name in (name for name in arrays if name.startswith("rows/")):
            _, index, column = name.split("/")
            values = np.array(arrays[name])
            rows.setdefault(int(index), {})[column] = np.array(_WORDS)[values.astype(np.int64)] if column == "status" else values
        return State(
            round=int(arrays["round"][0]),
            clock_s=clock_s,
            ticket_end_s=np.array(arrays["ticket_end_s"], np.float64),
            battery_j=np.array(arrays["battery_j"], np.float64),
            over_noise=np.array(arrays["over_noise"], np.float64),
            backhaul_free_s=np.array(arrays["backhaul_free_s"], np.float64),
            cloud_s=cloud_s,
            env_now_s=env_now_s,
            stopped=bool(arrays["stopped"][0]),
            works=Works(**{name.name: np.array(arrays[f"works/{name.name}"]) for name in fields(Works)}),
            open_rows=dict(sorted(rows.items())),
        )


def _coded(values: Any) -> NDArray[np.generic]:
    """A column as numbers: a checkpoint holds no words."""
    array = np.asarray(values)
    return np.array([_WORDS.index(word) for word in array.tolist()]) if array.dtype.kind == "U" else array


@dataclass(slots=True)
class Round:
    """A round that is going on: its plan, and everybody who is at work in it.

    ``works``: those that go on from earlier rounds and those that begin with it (``begun`` (m,)); ``submodels``: of the latter; ``others``:
    the former, as they were at its beginning.
    ``quotas`` (m,): what each holds of the uplink. ``merged`` (m,): whose updates the aggregation takes.
    ``arrivals``, ``departures``: how many have ``arrived`` and are ``gone``. ``uploads``: at the round's end; ``windows``: what a coupled
    uplink did, kept where the radio is sampled. ``changes_s``: a heap of moments at which devices leave, stop or change their site.
    ``wake_at_s``: when the policy is asked again, should nothing happen before.
    """

    index: int
    start_s: float
    plan: Plan
    submodels: Submodels
    straggler_factor: FloatArray
    others: Works
    works: Works
    quotas: FloatArray
    begun: BoolArray = field(init=False)
    merged: BoolArray = field(init=False)
    arrivals: int = field(init=False)
    departures: int = 0
    uploads: Transfers = field(init=False)
    windows: list[Window] = field(default_factory=list)
    changes_s: list[float] = field(init=False)
    last_event_s: float = field(init=False)
    wake_at_s: float = np.inf
    end_s: float = np.nan

    def __post_init__(self) -> None:
        """Nothing has happened yet."""
        self.begun = self.works.round == self.index
        self.merged = np.zeros(len(self.begun), np.bool_)
        self.arrivals = int(self.works.arrived.sum())
        self.changes_s = sorted(self.works.departure_s[np.isfinite(self.works.departure_s)].tolist())
        self.last_event_s = self.start_s
