"""Rounds as events. Recorded times come from records, never from ``env.now`` after arithmetic."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import simpy

from cosim.errors import SimulationError
from cosim.net.transfer import Medium, Transfers
from cosim.net.uplink import Ideal
from cosim.policy import RoundState
from cosim.simulation.plan import plan_round
from cosim.simulation.records import Round, State
from cosim.simulation.rows import device_rows, radio_rows, round_row
from cosim.simulation.uplink_process import UplinkProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from cosim.interfaces import FloatArray, IntArray
    from cosim.simulation.parts import Parts
    from cosim.trace.checkpoint import Arrays
    from cosim.trace.writer import TraceWriter

    Process = Generator[simpy.Event, None, None]

_LEARNER = "learner/"
STALE_PLAN = (
    "round {} would begin at {:.6g} s, but no device will ever be online again: see availability, or where a recorded mobility ends"
)


class Simulation:
    """One run: rounds one after the other, each with a process per device, all on one uplink.

    ``wall_s``: wall time by phase (plan, radio, training, evaluation, trace); it goes to the manifest only.
    """

    def __init__(
        self,
        parts: Parts,
        trace: TraceWriter,
        *,
        progress: Callable[[int, float], None] | None = None,
        checkpoint: Callable[[Arrays], None] | None = None,
        start: Arrays | None = None,
    ) -> None:
        """``progress(rounds done, simulated time)`` is called after each round.

        ``checkpoint`` takes what is needed to go on, whenever the tables have been put on disk; ``start``: such
        arrays, of an earlier simulation of the same scenario.
        """
        self._parts, self._trace, self._progress, self._checkpoint = parts, trace, progress, checkpoint
        self.state = State.initial(parts.devices.count) if start is None else State.of(start)
        if start is not None:
            parts.learner.restore({name[len(_LEARNER) :]: array for name, array in start.items() if name.startswith(_LEARNER)})
        self._env = simpy.Environment(initial_time=self.state.env_now_s)
        self._downlink = Medium(Ideal(bandwidth_hz=parts.downlink.bandwidth_hz, slot_s=parts.uplink.slot_s), parts.world)
        uplink = Medium(parts.uplink, parts.world, parts.world.subbands, law=parts.power_law, streams=parts.streams)
        keep = parts.uplink.coupled and parts.radio_interval_s is not None
        self._uplink = UplinkProcess(self._env, uplink, self._upload_done, keep_windows=keep)
        self._news = self._env.event()
        self._round: Round | None = None
        self._events: list[tuple[float, str, int, int, str]] = []
        self._processes: dict[int, simpy.Process] = {}
        self._uploaded: dict[int, simpy.Event] = {}
        self.wall_s = dict.fromkeys(("plan", "radio", "training", "evaluation", "trace", "total"), 0.0)

    def run(self) -> None:
        """Simulate (on) until the last round has ended. Raises CosimError (with round and time) when it cannot go on."""
        with self._timed("total"):
            self._env.run(until=self._env.process(self._server()))

    # --- server ---------------------------------------------------------------------------------------

    def _server(self) -> Process:
        while not self._over():
            yield from self._someone_online()
            record = self._round = self._begin(self.state.round, self.state.clock_s)
            record.end_s = yield from self._await(record)
            self._end(record)
            self.state.round, self.state.clock_s, self.state.env_now_s = record.index + 1, record.end_s, self._env.now
            with self._timed("trace"):
                self.save(force=self._over())
            if self._progress:
                self._progress(self.state.round, self.state.clock_s)

    def _over(self) -> bool:
        return self.state.stopped or self.state.round >= self._parts.rounds

    def save(self, *, force: bool = False) -> None:
        """Put tables, then the checkpoint on disk; at most every 2 s of wall time unless forced."""
        if self._trace.flush(force=force) and self._checkpoint:
            learner = {_LEARNER + name: array for name, array in self._parts.learner.state().items()}
            self._checkpoint({**self.state.arrays(), **learner})

    def close(self) -> None:
        """Put the rounds that have ended on disk. Raises RunError when that fails."""
        self._trace.close()

    def _someone_online(self) -> Process:
        """A round begins when there is anybody to take part."""
        world, ids = self._parts.world, self._parts.device_ids
        while not world.online(self.state.clock_s, ids).any():
            self.state.clock_s = float(np.min(world.next_change_s(self.state.clock_s, ids)))
            if not np.isfinite(self.state.clock_s):
                raise SimulationError(STALE_PLAN.format(self.state.round, self._env.now))
            yield self._until(self.state.clock_s)

    def _begin(self, index: int, now_s: float) -> Round:
        parts = self._parts
        with self._timed("plan"):
            plan = plan_round(parts, index, now_s)
        ids = plan.selected_ids
        with self._timed("training"):
            submodels = parts.learner.assign(index, ids, plan.allocation.prune_ratio[plan.allocation.selected])
        factor = parts.world.straggler_factor(index, ids)
        with self._timed("radio"):
            download_end_s = self._downloads(ids, now_s)
        record = Round(
            index=index,
            start_s=now_s,
            plan=plan,
            device_ids=ids,
            submodels=submodels,
            straggler_factor=factor,
            compute_s=submodels.flops / parts.flops_per_s(parts.world.frequency_hz(ids) * plan.clock_share) * factor,
            departure_s=parts.world.next_change_s(now_s, ids),
            download_end_s=download_end_s,
        )
        quotas = parts.uplink.quotas(plan.allocation.bandwidth_hz[plan.allocation.selected])
        snr_per_gain_hz = parts.uplink_snr_per_gain_hz * plan.power_share
        self._uplink.open(Transfers.of(ids, quotas, snr_per_gain_hz, submodels.payload_bits), now_s)
        self._log("round_start", now_s, detail=f"{len(ids)} devices, T = {plan.problem.latency_threshold_s:.6g} s")
        self._processes = {row: self._env.process(self._device(record, row)) for row in range(len(ids))}
        self._uploaded = {row: self._env.event() for row in range(len(ids))}
        for row in np.flatnonzero(np.isfinite(record.departure_s)).tolist():  # one process per departure
            self._env.process(self._departure(record, row))
        return record

    def _downloads(self, ids: IntArray, now_s: float) -> FloatArray:
        """When each device has collected the broadcast model: nothing can disturb that."""
        parts = self._parts
        band = np.full(len(ids), parts.downlink.bandwidth_hz)
        bits = parts.learner.workload().download_bits[ids]
        transfers = Transfers.of(ids, band, parts.downlink_snr_per_gain_hz, bits)
        return self._downlink.finish(transfers, now_s + parts.backhaul_delay_s)

    def _await(self, record: Round) -> Generator[simpy.Event, None, float]:
        """Sleep until the policy says that the round is over; returns when that is."""
        if len(record.device_ids) == 0:  # nobody can be served: the round passes idle
            yield self._until(record.start_s + record.plan.problem.latency_threshold_s)
            return record.start_s + record.plan.problem.latency_threshold_s
        now_s = record.start_s
        while True:
            decision = self._parts.policy.on_event(_round_state(record, now_s))
            if decision.aggregate:
                return now_s
            self._news = self._env.event()
            if np.isfinite(decision.wake_at_s):
                yield self._until(decision.wake_at_s) | self._news
            else:
                yield self._news
            now_s = max(now_s, record.last_event_s if self._news.triggered else decision.wake_at_s)

    def _end(self, record: Round) -> None:
        """Stop who is not there yet, aggregate, evaluate, write the rows."""
        parts = self._parts
        uploads = self._uplink.close(record.end_s)
        record.uploads, record.windows = uploads, self._uplink.windows
        record.airtime_s, record.sent_bits = uploads.airtime_s, record.submodels.payload_bits - uploads.backlog_bits
        for row in np.flatnonzero(~record.arrived & ~record.gone).tolist():  # each is a SimPy process of its own
            record.stop_s[row] = record.end_s
            self._processes[row].interrupt("round is over")
            self._drop_work(int(record.device_ids[row]), record.departure_s[row])
        with self._timed("training"):
            self._finish_tickets(record.end_s)
            update = parts.learner.aggregate(record.index, record.device_ids[record.arrived])
        with self._timed("evaluation"):
            final = record.index + 1 == parts.rounds or parts.stop.time_is_up(record.end_s)
            evaluation = parts.learner.evaluate(record.index, final=final)
            self.state.stopped = parts.stop.reached(record.end_s, evaluation)
        self._log("round_end", record.end_s, detail=f"{int(record.arrived.sum())} arrived")
        with self._timed("trace"):
            devices = device_rows(parts, record, update, evaluation)
            self._trace.append("devices", devices)
            self._trace.append("rounds", round_row(record, update, evaluation, devices))
            if parts.radio_interval_s is not None:
                self._trace.append("radio", radio_rows(parts, record))
            self._write_events()

    def _finish_tickets(self, now_s: float) -> None:
        """Local work whose end has come may be looked at."""
        for device in np.flatnonzero(self.state.ticket_end_s <= now_s).tolist():  # tickets are the learner's, one by one
            self._parts.learner.finish(device)
            self.state.ticket_end_s[device] = np.inf

    def _drop_work(self, device: int, leaves_s: float) -> None:
        """Local work that the device's departure cuts short is lost."""
        if leaves_s < self.state.ticket_end_s[device] < np.inf:
            self._parts.learner.cancel(device)
            self.state.ticket_end_s[device] = np.inf

    # --- devices --------------------------------------------------------------------------------------

    def _device(self, record: Round, row: int) -> Process:
        """Download, compute, upload."""
        device = int(record.device_ids[row])
        try:
            yield self._until(record.download_end_s[row])
            self._log("download_done", record.download_end_s[row], device)
            yield from self._compute(record, row, device)
            record.upload_start_s[row] = record.compute_end_s[row]
            self._uplink.begin(row, record.compute_end_s[row])
            yield self._uploaded[row]
            if self._parts.backhaul_delay_s > 0:
                yield self._until(record.arrival_s[row])
        except simpy.Interrupt:
            return
        record.arrived[row] = True
        self._log("arrival", record.arrival_s[row], device)
        self._tell_server(record, record.arrival_s[row])

    def _compute(self, record: Round, row: int, device: int) -> Process:
        """Local work; a device still at an earlier round's finishes that first."""
        tickets = self.state.ticket_end_s
        begin_s = record.download_end_s[row]
        if np.isfinite(tickets[device]):
            begin_s = max(begin_s, tickets[device])
            yield self._until(begin_s)
            self._parts.learner.finish(device)
        record.compute_start_s[row] = begin_s
        record.compute_end_s[row] = tickets[device] = begin_s + record.compute_s[row]
        self._parts.learner.start(record.index, device)
        yield self._until(record.compute_end_s[row])
        self._log("compute_done", record.compute_end_s[row], device)

    def _upload_done(self, row: int, end_s: float) -> None:
        record = self._round
        assert record is not None
        record.arrival_s[row] = end_s + self._parts.backhaul_delay_s
        self._log("upload_done", end_s, int(record.device_ids[row]))
        self._uploaded[row].succeed()

    def _departure(self, record: Round, row: int) -> Process:
        """The device leaves: what it has not delivered is lost."""
        yield self._until(record.departure_s[row])
        if record is not self._round or record.arrived[row] or np.isfinite(record.end_s):
            return
        now_s, device = record.departure_s[row], int(record.device_ids[row])
        record.gone[row], record.stop_s[row] = True, now_s
        self._processes[row].interrupt("left")
        self._uplink.abandon(row, now_s)
        self._drop_work(device, now_s)
        self._log("departure", now_s, device)
        self._tell_server(record, now_s)

    def _tell_server(self, record: Round, now_s: float) -> None:
        record.last_event_s = max(record.last_event_s, now_s)
        if not self._news.triggered:
            self._news.succeed()

    # --- helpers --------------------------------------------------------------------------------------

    def _until(self, time_s: float) -> simpy.Timeout:
        return self._env.timeout(max(0.0, time_s - self._env.now))

    def _log(self, kind: str, time_s: float, device: int = -1, detail: str = "") -> None:
        """A row of the optional events table; device -1: the server's."""
        if self._parts.record_events:
            self._events.append((float(time_s), kind, self.state.round, device, detail))

    def _write_events(self) -> None:
        """The round's events in time order; of simultaneous ones, the first that happened comes first."""
        if self._events:
            columns = zip(*sorted(self._events, key=lambda event: event[0]), strict=True)
            names = ("t_s", "kind", "round", "device", "detail")
            self._trace.append("events", dict(zip(names, map(list, columns), strict=True)))
            self._events.clear()

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.wall_s[phase] += time.perf_counter() - begin


def _round_state(record: Round, now_s: float) -> RoundState:
    return RoundState(
        start_s=record.start_s,
        now_s=now_s,
        planned_latency_s=record.plan.latency_s,
        selected=len(record.device_ids),
        arrived=int(record.arrived.sum()),
        gone=int(record.gone.sum()),
    )
