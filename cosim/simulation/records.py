"""Plain records of what is going on: all that a process must know after a ``yield``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cosim.interfaces import BoolArray, FloatArray, IntArray, Submodels
    from cosim.net.transfer import Transfers, Window
    from cosim.simulation.plan import Plan


@dataclass(slots=True)
class State:
    """What lasts from round to round: with the learner's arrays, all that a checkpoint needs.

    ``ticket_end_s`` (devices,): when the local work that a device has begun ends; inf without such work. A
    device that was late may still be at it in the next round. ``env_now_s``: SimPy's own clock, which may be off
    ``clock_s`` by rounding, and orders events. ``stopped``: the run has reached what it was to reach.
    """

    round: int
    clock_s: float
    ticket_end_s: FloatArray
    env_now_s: float = 0.0
    stopped: bool = False

    @staticmethod
    def initial(devices: int) -> State:
        """Before the first round."""
        return State(0, 0.0, np.full(devices, np.inf))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The record as named arrays."""
        return {
            "round": np.array([self.round]),
            "clocks_s": np.array([self.clock_s, self.env_now_s]),
            "ticket_end_s": self.ticket_end_s.copy(),
            "stopped": np.array([self.stopped]),
        }

    @staticmethod
    def of(arrays: Mapping[str, NDArray[np.generic]]) -> State:
        """The record in such arrays."""
        clock_s, env_now_s = (float(value) for value in arrays["clocks_s"].tolist())
        return State(int(arrays["round"][0]), clock_s, np.array(arrays["ticket_end_s"], np.float64), env_now_s, bool(arrays["stopped"][0]))


@dataclass(slots=True)
class Round:
    """A round of the selected devices; arrays (m,), times NaN (or inf) until they are known.

    ``stop_s``: when a device stopped taking part before it arrived: it left, or the round ended. ``uploads``: at the round's end;
    ``windows``: what a coupled uplink did, kept where the radio is sampled.
    """

    index: int
    start_s: float
    plan: Plan
    device_ids: IntArray
    submodels: Submodels
    straggler_factor: FloatArray
    compute_s: FloatArray
    departure_s: FloatArray
    download_end_s: FloatArray
    compute_start_s: FloatArray = field(init=False)
    compute_end_s: FloatArray = field(init=False)
    upload_start_s: FloatArray = field(init=False)
    arrival_s: FloatArray = field(init=False)
    stop_s: FloatArray = field(init=False)
    arrived: BoolArray = field(init=False)
    gone: BoolArray = field(init=False)
    airtime_s: FloatArray = field(init=False)
    sent_bits: FloatArray = field(init=False)
    uploads: Transfers = field(init=False)
    windows: list[Window] = field(init=False)
    last_event_s: float = field(init=False)
    end_s: float = np.nan

    def __post_init__(self) -> None:
        """Nothing has happened yet."""
        m = len(self.device_ids)
        for name in ("compute_start_s", "compute_end_s", "upload_start_s", "arrival_s"):
            setattr(self, name, np.full(m, np.nan))
        self.stop_s = np.full(m, np.inf)
        self.arrived, self.gone = np.zeros(m, np.bool_), np.zeros(m, np.bool_)
        self.airtime_s, self.sent_bits, self.windows = np.zeros(m), np.zeros(m), []
        self.last_event_s = self.start_s
