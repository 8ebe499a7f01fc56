"""Rounds as events. Recorded times come from records, never from ``env.now`` after arithmetic."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np
import simpy

from cosim.errors import SimulationError
from cosim.interfaces import Mixing
from cosim.net.handover import TIE_S
from cosim.net.transfer import Transfers
from cosim.policy.state import AtWork, RoundState
from cosim.simulation.answers import decision as checked
from cosim.simulation.answers import numbers, who
from cosim.simulation.backhaul import exchanged, forward, model_delay_s
from cosim.simulation.cells import air, handovers_in, moments
from cosim.simulation.charge import awake, charge, drain, next_online_s
from cosim.simulation.events import round_events
from cosim.simulation.plan import Known, plan_round
from cosim.simulation.records import UPLOAD_FIELDS, Round, State, Works
from cosim.simulation.rows import device_rows, outcomes, radio_rows, round_row
from cosim.simulation.uplink_process import UplinkProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from cosim.interfaces import BoolArray, FloatArray, IntArray, Submodels, Update
    from cosim.policy.state import Decision
    from cosim.simulation.parts import Parts
    from cosim.simulation.plan import Plan
    from cosim.trace.checkpoint import Arrays
    from cosim.trace.writer import TraceWriter

    Process = Generator[simpy.Event, None, None]

_LEARNER = "learner/"
_WATCH_S = 1.0
"""Handovers are looked for so far ahead."""
_EMPTY_S = 1e-9
"""Airtime that rounding may leave of a battery [s]."""
STALE_PLAN = (
    "round {} would begin at {:.6g} s, but no device will ever be online again: see availability, devices.battery, or where a "
    "recorded mobility ends"
)
NO_TIME = (
    "round {}, which begins at {:.6g} s, would pass idle and take no time: no device is within reach of the uplink, so a latency threshold "
    "relative to the unpruned latency is 0 s; give round.latency_threshold in seconds, or see channel and mobility"
)


class Simulation:
    """One run: rounds one after the other, each with what its devices do, all on one uplink.

    A device's download and local work take known times, so they need no events: what changes something for others are uploads
    that begin and end, arrivals and departures, and only these are events. A process lasts for one round at most and starts from
    the round's record. ``wall_s``: wall time by phase (plan, radio, training, evaluation, trace); it goes to the manifest only.
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
        battery_j = None if parts.devices.battery is None else parts.devices.battery.initial_j(parts.devices.count, parts.streams)
        fresh = State.initial(parts.devices.count, battery_j, sites=len(parts.sites), links=len(parts.backhaul.delay_s))
        self.state = fresh if start is None else State.of(start)
        if start is not None:
            parts.learner.restore({name[len(_LEARNER) :]: array for name, array in start.items() if name.startswith(_LEARNER)})
        self._env = simpy.Environment(initial_time=self.state.env_now_s)
        self._cells, self._medium = air(parts)
        keep = self._medium.coupled and parts.radio_interval_s is not None
        self._uplink = UplinkProcess(self._env, self._medium, self._upload_done, keep_windows=keep, horizon=self._horizon_s)
        self._news = self._env.event()
        self._round: Round | None = None
        self.wall_s = dict.fromkeys(("plan", "radio", "training", "evaluation", "trace", "total"), 0.0)

    def run(self) -> None:
        """Simulate (on) until the last round has ended. Raises CosimError (with round and time) when it cannot go on."""
        with self._timed("total"):
            self._env.run(until=self._env.process(self._server()))
            self._close_rows()

    # --- server ---------------------------------------------------------------------------------------

    def _server(self) -> Process:
        while not self._over():
            yield from self._someone_online()
            record = self._round = self._begin(self.state.round, self.state.clock_s)
            record.end_s, decision = yield from self._await(record)
            self._end(record, decision)
            self.state.round, self.state.clock_s, self.state.env_now_s = record.index + 1, record.end_s, self._env.now
            with self._timed("trace"):
                self._write_rows(record)
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
        while not (len(self.state.works.device_ids) or self._online().any()):
            next_s = next_online_s(self._parts, self.state)
            if not np.isfinite(next_s):
                raise SimulationError(STALE_PLAN.format(self.state.round, self._env.now))
            charge(self._parts, self.state, next_s - self.state.clock_s)
            self.state.clock_s = next_s
            yield self._until(self.state.clock_s)

    def _online(self) -> BoolArray:
        """Who could take part now (devices,): there, and with charge enough."""
        return self._parts.world.online(self.state.clock_s, self._parts.device_ids) & awake(self._parts, self.state)

    def _begin(self, index: int, now_s: float) -> Round:
        parts, others = self._parts, self.state.works
        model_s = model_delay_s(parts, self.state, now_s)
        with self._timed("plan"):
            plan = plan_round(parts, index, now_s, Known(self._online(), others, model_s, self.state.over_noise))
        server = parts.backhaul.server_of[plan.site]
        with self._timed("training"):
            submodels = parts.learner.assign(index, plan.selected_ids, plan.allocation.prune_ratio[plan.allocation.selected], server)
        with self._timed("radio"):
            begun, factor = self._ask(plan, submodels, index, now_s, now_s + model_s)
        works = others.with_others(begun)
        record = Round(index, now_s, plan, submodels, factor, others, works, self._quotas(works))
        if self._cells is not None:
            self._cells.expected = self.state.over_noise
        self._uplink.open(_transfers(parts, record), now_s)
        to_come = np.flatnonzero(~works.sending & ~works.done & (works.compute_end_s < works.departure_s))
        self._uplink.expect(to_come, works.compute_end_s[to_come])
        self._env.process(self._departures(record))
        if self._cells is not None:
            self._env.process(self._handovers(record))
        for row in np.flatnonzero(~works.done & np.isfinite(works.airtime_limit_s)).tolist():  # each battery ends at its own time
            self._watch_battery(record, row, float(works.compute_end_s[row] + works.airtime_limit_s[row]))
        for row in np.flatnonzero(works.done & ~works.arrived).tolist():  # updates that are between site and server
            self._at(works.node_s[row], partial(self._forward, record, row))
        return record

    def _ask(self, plan: Plan, submodels: Submodels, index: int, now_s: float, model_s: FloatArray) -> tuple[Works, FloatArray]:
        """The works of the devices that begin, as far as they can be foreseen, and their straggler factors."""
        parts, ids, chosen = self._parts, plan.selected_ids, plan.allocation.selected
        download_end_s = self._downloads(ids, plan.site[ids], model_s)
        busy_until_s = self.state.ticket_end_s[ids]
        compute_start_s = np.maximum(download_end_s, np.where(np.isfinite(busy_until_s), busy_until_s, 0.0))
        clock_hz = parts.world.frequency_hz(ids) * plan.clock_share
        nominal_s = submodels.flops / parts.flops_per_s(clock_hz)
        drawn = parts.world.straggler_factor(index, ids, compute_start_s, nominal_s)
        factor = numbers(who(index, "compute", parts.compute), "straggler factor", drawn, ids)
        works = Works.asked(
            ids,
            index,
            parts.backhaul.server_of[plan.site[ids]],
            now_s,
            prune_ratio=submodels.prune_ratio,
            payload_bits=submodels.payload_bits,
            flops=submodels.flops,
            bandwidth_hz=plan.allocation.bandwidth_hz[chosen],
            transmit_power_w=parts.transmit_power_w * plan.power_share,
            frequency_hz=clock_hz,
            download_end_s=download_end_s,
            compute_start_s=compute_start_s,
            compute_s=nominal_s * factor,
            departure_s=parts.world.next_change_s(now_s, ids),
            airtime_limit_s=np.full(len(ids), np.inf),
        )
        drain(parts, works, self.state.battery_j[ids])
        return works, factor

    def _quotas(self, works: Works) -> FloatArray:
        """What each work (m,) holds of the uplink; of many, each cell says so when its devices begin to send."""
        return self._parts.uplink.quotas(works.bandwidth_hz) if self._cells is None else np.zeros(len(works.device_ids))

    def _downloads(self, ids: IntArray, site: IntArray, model_s: FloatArray) -> FloatArray:
        """When each device has the model, which its site has at ``model_s`` (sites,)."""
        parts, end_s = self._parts, np.zeros(len(ids))
        for cell in np.unique(site).tolist():
            here = site == cell
            end_s[here] = parts.downlink.end_s(
                parts.world,
                ids[here],
                parts.learner.workload().download_bits[ids[here]],
                float(model_s[cell]),
                snr_per_gain_hz=parts.downlink_snr_per_gain_hz(cell),
                slot_s=parts.uplink.slot_s,
            )
        return end_s

    def _await(self, record: Round) -> Generator[simpy.Event, None, tuple[float, Decision | None]]:
        """Sleep until the policy says that the round is over; returns when that is, and what it decided."""
        if len(record.works.device_ids) == 0:  # nobody can be served: the round passes idle
            end_s = record.start_s + record.plan.problem.latency_threshold_s
            if end_s <= record.start_s:
                raise SimulationError(NO_TIME.format(record.index, record.start_s))
            yield self._until(end_s)
            return end_s, None
        now_s, at_work, planned_s = record.start_s, _at_work(self._parts, record), record.plan.latency_s
        policy, asked = self._parts.policy, who(record.index, "round.policy", self._parts.policy)
        while True:
            state = _round_state(record, at_work, now_s, planned_s)
            decision = checked(asked, policy.on_event(state), state, at_work.device_ids)
            if decision.aggregate:
                return now_s, decision
            self._news, record.wake_at_s = self._env.event(), decision.wake_at_s
            if np.isfinite(decision.wake_at_s):
                yield self._until(decision.wake_at_s) | self._news
            else:
                yield self._news
            now_s = max(now_s, record.last_event_s if self._news.triggered else decision.wake_at_s)

    def _end(self, record: Round, decision: Decision | None) -> None:
        """Decide what becomes of each work, aggregate, evaluate, make the rows."""
        parts, works = self._parts, record.works
        record.merged = works.arrived.copy() if decision is None or decision.merge is None else decision.merge & works.arrived
        self._close_uplink(record)
        self._round = None
        goes_on = np.full(len(works.gone), decision is not None and decision.others_go_on) & ~record.merged & ~works.gone
        works.stop_s[~goes_on & ~record.merged & ~works.gone] = record.end_s
        mixing = None if decision is None or decision.mixing is None else decision.mixing
        with self._timed("training"):
            self._hand_in(record, goes_on)
            chosen = None if mixing is None else Mixing(mixing.scale[record.merged], mixing.reference)
            update = parts.learner.aggregate(record.index, works.device_ids[record.merged], chosen)
            if parts.backhaul.to_cloud and (record.index + 1) % parts.edge_rounds == 0:
                parts.learner.join_servers()
                self.state.backhaul_free_s, self.state.cloud_s = exchanged(parts, self.state, record.end_s)
        with self._timed("evaluation"):
            final = record.index + 1 == parts.rounds or parts.stop.time_is_up(record.end_s)
            evaluation = parts.learner.evaluate(record.index, final=final)
            self.state.stopped = parts.stop.reached(record.end_s, evaluation)
        with self._timed("trace"):
            self.state.open_rows[record.index] = device_rows(parts, record, evaluation, self.state.battery_j)
            ended = self._enter(record, ~goes_on, update)
            charge(parts, self.state, record.end_s - record.start_s, ended)
            self._trace.append("rounds", round_row(parts, record, ~goes_on, update, evaluation))
        self.state.works = works.take(goes_on)

    def _close_uplink(self, record: Round) -> None:
        """What the uploads have come to by the end of the round."""
        record.uploads, record.windows = self._uplink.close(record.end_s), self._uplink.windows
        if self._cells is not None:
            self.state.over_noise = self._cells.mean_heard(self.state.over_noise)
        for name in UPLOAD_FIELDS:
            setattr(record.works, name, getattr(record.uploads, name))

    def _hand_in(self, record: Round, goes_on: BoolArray) -> None:
        """Tickets: local work that has begun, that has ended, and that never will.

        All of it is told when the round ends, since nobody looks at results before. The work of a device that goes on is over for
        the learner only when its update has arrived or is lost: until then it must not be trained and forgotten.
        """
        works, learner, tickets = record.works, self._parts.learner, self.state.ticket_end_s
        started = record.begun & (goes_on | (works.compute_start_s <= works.stop_s))
        for device in works.device_ids[started].tolist():  # tickets are the learner's, one by one
            if np.isfinite(tickets[device]):
                learner.finish(device)
            learner.start(record.index, device)
        over = ~goes_on & (started | ~record.begun)
        tickets[works.device_ids[over]] = works.compute_end_s[over]
        ends_s = tickets[works.device_ids]
        cut = ~goes_on & ~record.merged & (works.departure_s < ends_s) & np.isfinite(ends_s)
        for device in works.device_ids[cut].tolist():
            learner.cancel(device)
        tickets[works.device_ids[cut]] = np.inf
        for device in np.flatnonzero(tickets <= record.end_s).tolist():
            learner.finish(device)
        tickets[tickets <= record.end_s] = np.inf

    def _enter(self, record: Round, ended: BoolArray, update: Update) -> Works:
        """What became of works that have ended, into the rows of the rounds in which they began; returns those works."""
        works = record.works.take(ended)
        columns = outcomes(self._parts, works, record.merged[ended], update, record.index)
        for index in np.unique(works.round).tolist():
            here = works.round == index
            for name, values in columns.items():
                self.state.open_rows[index][name][works.device_ids[here]] = values[here]
        return works

    def _write_rows(self, record: Round) -> None:
        """Rows of rounds all of whose works have ended, in the order of the rounds; events and samples of this one."""
        first_open = int(np.min(self.state.works.round, initial=self.state.round))
        for index in [index for index in self.state.open_rows if index < first_open]:
            self._trace.append("devices", self.state.open_rows.pop(index))
        if self._parts.radio_interval_s is not None:
            self._trace.append("radio", radio_rows(self._parts, record))
        if self._parts.record_events:
            changes = handovers_in(self._parts, record.start_s, record.end_s)
            self._trace.append("events", round_events(record, changes))

    def _close_rows(self) -> None:
        """The run is over: updates that are still to come are late. The checkpoint has them as they were, should the run be extended."""
        works = self.state.works
        if not len(works.device_ids):
            return
        works.stop_s = np.full(len(works.round), self.state.clock_s)
        nobody = np.zeros(len(works.round), np.bool_)
        columns = outcomes(self._parts, works, nobody, None, self.state.round, until_s=self.state.clock_s)
        for index, rows in self.state.open_rows.items():
            here = works.round == index
            for name, values in columns.items():
                rows[name][works.device_ids[here]] = values[here]
            self._trace.append("devices", rows)

    # --- devices --------------------------------------------------------------------------------------

    def _upload_done(self, row: int, end_s: float) -> None:
        record = self._round
        assert record is not None
        works = record.works
        works.upload_end_s[row] = works.node_s[row] = end_s
        self._forward(record, row)

    def _forward(self, record: Round, row: int) -> None:
        """An update goes on through the backhaul, link after link: an event each."""
        works = record.works
        if record is not self._round or works.gone[row]:
            return
        node_s = works.node_s[row]
        if not forward(self._parts, self.state, works, row):
            works.arrival_s[row], works.arrived[row] = node_s, True
            record.arrivals += 1
            self._tell_server(record, node_s)
        elif works.node_s[row] > node_s:
            self._at(works.node_s[row], partial(self._forward, record, row))
        else:
            self._forward(record, row)

    def _departures(self, record: Round) -> Process:
        """Devices leave: what they have not delivered is lost."""
        works = record.works
        rows = np.flatnonzero(np.isfinite(works.departure_s) & ~works.arrived)
        for row in rows[np.argsort(works.departure_s[rows], kind="stable")].tolist():  # each leaves at its own time
            yield self._until(works.departure_s[row])
            if record is not self._round:
                return
            if not (works.arrived[row] or works.gone[row]):
                self._leave(record, row, float(works.departure_s[row]))

    def _handovers(self, record: Round) -> Process:
        """Devices change their site at slots' edges: what anybody may send changes, and uploads begin anew where they do not survive it."""
        parts, works, since_s = self._parts, record.works, record.start_s - self._parts.uplink.slot_s
        restarts = parts.cells.handover.upload == "restarts"
        while len(works.device_ids):
            until_s = max(since_s, record.start_s) + _WATCH_S
            edges: dict[float, list[int]] = {}
            for t_s, row, begins in moments(parts, works, since_s, until_s):
                edges.setdefault(self._medium.next_edge_s(t_s - TIE_S), []).extend([row] if begins else [])
            edges = {edge_s: rows for edge_s, rows in edges.items() if edge_s >= record.start_s}
            for moment_s in (*edges, until_s):
                heappush(record.changes_s, moment_s)
            for edge_s, rows in edges.items():  # all of an edge at once: before the window that begins there
                yield self._until(edge_s)
                if record is not self._round:
                    return
                for row in rows if restarts else ():
                    self._uplink.restart(row, edge_s, float(works.payload_bits[row]))
            yield self._until(until_s)
            if record is not self._round:
                return
            since_s = until_s

    def _horizon_s(self) -> float:
        """How far the uplink needs to look: when the policy wakes; if coupled, when senders change, as far as known, not by a beginning."""
        if self._round is None:  # it only begins
            return np.inf
        if not self._medium.coupled:
            return self._round.wake_at_s
        changes_s = self._round.changes_s
        while changes_s and changes_s[0] <= self._env.now + TIE_S:
            heappop(changes_s)
        return changes_s[0] if changes_s else np.inf

    def _check_battery(self, record: Round, row: int) -> None:
        """By now a battery may be empty: it is, if the device has been on the air all the time."""
        works = record.works
        if record is not self._round or works.gone[row] or np.isfinite(works.upload_end_s[row]):
            return
        now_s = max(self._env.now, record.start_s)
        left_s = works.airtime_limit_s[row] - self._uplink.airtime_s(row, now_s)
        if left_s <= _EMPTY_S:
            self._leave(record, row, now_s)
        else:
            self._watch_battery(record, row, now_s + max(left_s, self._parts.uplink.slot_s))

    def _watch_battery(self, record: Round, row: int, time_s: float) -> None:
        heappush(record.changes_s, time_s)
        self._at(time_s, partial(self._check_battery, record, row))

    def _leave(self, record: Round, row: int, now_s: float) -> None:
        works = record.works
        works.gone[row], works.stop_s[row], works.departure_s[row] = True, now_s, now_s
        record.departures += 1
        self._uplink.abandon(row, now_s)
        self._tell_server(record, now_s)

    def _tell_server(self, record: Round, now_s: float) -> None:
        record.last_event_s = max(record.last_event_s, float(now_s))
        if not self._news.triggered:
            self._news.succeed()

    # --- helpers --------------------------------------------------------------------------------------

    def _until(self, time_s: float) -> simpy.Timeout:
        return self._env.timeout(max(0.0, float(time_s) - self._env.now))

    def _at(self, time_s: float, what: Callable[[], None]) -> None:
        event = self._until(time_s)
        assert event.callbacks is not None
        event.callbacks.append(lambda _: what())

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.wall_s[phase] += time.perf_counter() - begin


def _transfers(parts: Parts, record: Round) -> Transfers:
    """The uploads of a round, from where they stand."""
    works = record.works
    return Transfers(
        device_ids=works.device_ids,
        quotas=record.quotas.copy(),
        share_hz=works.bandwidth_hz,
        snr_per_gain_hz=parts.uplink_snr_per_gain_hz * (works.transmit_power_w / parts.transmit_power_w),
        **{name: getattr(works, name).copy() for name in UPLOAD_FIELDS},
    )


def _at_work(parts: Parts, record: Round) -> AtWork:
    """Arrays that follow the record as the round goes on."""
    works = record.works
    return AtWork(
        device_ids=works.device_ids,
        arrived=works.arrived,
        arrival_s=works.arrival_s,
        gone=works.gone,
        staleness=record.index - works.round,
        speed_rank=parts.world.speed_rank[works.device_ids],
    )


def _round_state(record: Round, at_work: AtWork, now_s: float, planned_latency_s: float) -> RoundState:
    return RoundState(
        start_s=record.start_s,
        now_s=now_s,
        planned_latency_s=planned_latency_s,
        selected=len(record.works.device_ids),
        arrived=record.arrivals,
        gone=record.departures,
        devices=at_work,
    )
