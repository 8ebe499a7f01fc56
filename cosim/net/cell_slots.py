"""The uplinks of many cells, slot by slot: all cells together, since devices of one are heard in the others.

In a slot every cell hands out its blocks as a single cell does, to the devices that it serves and that are not being handed over. Then each
block of each cell is received with the power of whoever uses the same block elsewhere added to the noise:

    SINR_k = s_k g_k,c(k) p_k / (1 + sum_j s_j g_j,c(k) p_j),    j: the users of that block in the other cells

s: SNR in 1 Hz per gain at the greatest power; p: power per Hz as a share of that, so a device's power is spread over its blocks. What a
scheduler believes, and link adaptation with it, is the reported SNR over 1 + the smoothed interference of its cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.net.transfer_records import AGAIN, BITS, Window, cumulative
from cosim.net.uplink import Allocated, rotated, whole_quotas
from cosim.net.uplink_memory import Memory
from cosim.net.uplink_schedulers import Scheduler
from cosim.net.uplink_slots import Ahead, Air, Fluid, Run, TransportRun

if TYPE_CHECKING:
    from cosim.component import Component
    from cosim.interfaces import BoolArray, FloatArray, IntArray, Uplink
    from cosim.net.harq import Chances
    from cosim.net.many_sites import ManySites
    from cosim.net.power import PowerLaw
    from cosim.net.transfer_records import Transfers
    from cosim.net.uplink_memory import Turn

_SMOOTHED_SLOTS: Final = 100
"""Time constant of the interference that a site expects."""


@final
class Reserved(Scheduler):
    """The shares of ``allocated`` in a cell among others: the same blocks in the same slots, while their owner sends."""

    rotation_slots: int

    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray:
        """As ``allocated``."""
        return whole_quotas(np.asarray(bandwidth_hz, np.float64) / self.block_hz, self.blocks, self.rotation_slots)

    def counts(self, memory: Memory, turn: Turn) -> IntArray:  # noqa: ARG002
        """How many blocks each of the m devices of the turn has (m,): none where it has nothing to send."""
        starts, ends = rotated(turn.quotas, np.array([turn.slot]), self.rotation_slots)
        return np.where(turn.room > 0, (ends - starts)[0, turn.rows], 0)

    def owners(self, memory: Memory, turn: Turn) -> IntArray:
        """The blocks of whoever sends, at their places; the others' stay idle."""
        counts, starts = self.counts(memory, turn), rotated(turn.quotas, np.array([turn.slot]), self.rotation_slots)[0]
        owner = np.full(turn.free.size, -1)
        who = np.repeat(np.arange(counts.size), counts)
        owner[np.repeat(starts[0, turn.rows] - (np.cumsum(counts) - counts), counts) + np.arange(who.size)] = who
        return owner

    def learn(self, memory: Memory, rows: IntArray, rate_bps: FloatArray) -> None:
        """Nothing to remember."""


def in_a_cell(uplink: Uplink | Component) -> Scheduler:
    """An uplink as each of many cells runs it. Raises ValueError for one that has no blocks to hand out."""
    if isinstance(uplink, Scheduler):
        return uplink
    if isinstance(uplink, Allocated):
        return Reserved(**{name: getattr(uplink, name) for name in type(uplink).model_fields})
    raise ValueError(
        "several sites need an uplink that hands out blocks: allocated, work_conserving, round_robin, proportional_fair or max_ci"
    )


def cell_quotas(uplink: Uplink, share_hz: FloatArray, site: IntArray, counted: BoolArray | None = None) -> FloatArray:
    """Quotas (n,) of all cells: in each, of the shares (n,) of its devices; where they exceed the band, all shrink in proportion.

    ``counted`` (n,): whose shares count, the others' being 0; None: everybody's.
    """
    quotas = np.zeros(len(share_hz))
    for cell in np.unique(site):
        here = site == cell if counted is None else (site == cell) & counted
        total_hz = share_hz[here].sum()
        shrink = min(1.0, uplink.usable_bandwidth_hz / total_hz) if total_hz > uplink.usable_bandwidth_hz * (1 + 1e-9) else 1.0
        quotas[here] = uplink.quotas(share_hz[here] * shrink)
    return quotas


@dataclass(slots=True)
class _Cells:
    """Of a round's transfers: where each is served, what each cell remembers, and its smoothed interference over noise (cells,).

    ``heard``: sum over used blocks of ln((N + I) / N), and number of these blocks (2, cells).
    """

    site: IntArray
    memories: list[Memory]
    expected: FloatArray
    heard: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.heard = np.zeros((2, len(self.memories)))

    def listen(self, over_noise: FloatArray, used: BoolArray) -> None:
        """Interference over noise (cells, N) of a slot in which these blocks were used.

        What it costs a rate goes with the logarithm, and a single near neighbour would outweigh all other slots in a plain mean.
        """
        blocks = used.sum(axis=1)
        total = np.where(used, np.log1p(over_noise), 0.0).sum(axis=1)
        self.heard += total, blocks
        known = np.log1p(self.expected)
        mean = np.divide(total, blocks, out=known.copy(), where=blocks > 0)
        self.expected = np.expm1(known + (mean - known) / _SMOOTHED_SLOTS)


@final
class CellSlots:
    """Windows of many cells. Whoever has sent everything leaves the blocks of the slots after that to others."""

    def __init__(
        self,
        uplink: Scheduler,
        world: ManySites,
        *,
        noise_scale: FloatArray,
        interference: bool,
        law: PowerLaw | None = None,
        chances: Chances | None = None,
    ) -> None:
        """``noise_scale`` (cells,): noise of site 0, to which transfers' SNR belongs, over that of each site."""
        self._uplink, self._world, self._scale, self._chances = uplink, world, noise_scale, chances
        gain = world.gain if world.subbands is None else world.subbands.gain
        self._ahead = Ahead(gain, world, law, uplink.slot_s)
        self._cross = Ahead(world.gains, world, None, uplink.slot_s) if interference else None
        self._cells: _Cells | None = None
        self._of: Transfers | None = None
        self.expected: FloatArray = np.zeros(noise_scale.size)

    def mean_heard(self, otherwise: FloatArray) -> FloatArray:
        """Interference over noise on the blocks that each cell used in this round (cells,), averaged as (N + I) / N in dB.

        ``otherwise`` where it used none.
        """
        if self._cells is None:
            return otherwise
        total, blocks = self._cells.heard
        return np.asarray(np.expm1(np.divide(total, blocks, out=np.log1p(otherwise), where=blocks > 0)))

    def window(self, transfers: Transfers, first: int, most: int) -> Window:
        """What those who are on the air send from slot ``first`` on, in ``most`` slots or fewer."""
        uplink, rows = self._uplink, np.flatnonzero(transfers.sending)
        start_s = np.array([first * uplink.slot_s])
        cells = self._associate(transfers, self._world.serving(start_s, transfers.device_ids)[0])
        silent = self._world.interrupted(start_s, transfers.device_ids[rows])[0]
        air = self._ahead.air(transfers, rows, (first, first + most), uplink.report_delay_slots)
        runs = {}
        for cell in np.unique(cells.site[rows[~silent]]).tolist():
            places = np.flatnonzero((cells.site[rows] == cell) & ~silent)
            runs[cell] = places, self._run(transfers, cell, rows[places], _some(air, places, self._scale[cell], cells.expected[cell]))
        cross = None if self._cross is None else self._cross.air(transfers, rows, (first, first + most), 0).snr_hz * self._scale
        slots = 0
        arrived = np.zeros((most + 1, rows.size))
        while slots < most and (slots == 0 or not runs or any(run.left_bits.any() for _, run in runs.values())):
            self._slot(first + slots, slots, runs, None if cross is None else cross[slots])
            slots += 1
            for places, run in runs.values():
                arrived[slots, places] = transfers.backlog_bits[rows[places]] - run.left_bits
        return self._joined(transfers, rows, runs, first, arrived[: slots + 1])

    def _associate(self, transfers: Transfers, serving: IntArray) -> _Cells:
        """Who is served where from now on; who has sent everything stays where that was."""
        cells = self._cells
        if cells is None or self._of is not transfers:
            count = self._scale.size
            fresh = [Memory.fresh(transfers.done.size) for _ in range(count)]
            cells = self._cells = _Cells(serving.copy(), fresh, self.expected.copy())
            self._of = transfers
            transfers.quotas[:] = cell_quotas(self._uplink, self._shares_hz(transfers), serving)
            return cells
        moved = np.flatnonzero((serving != cells.site) & ~transfers.done)
        if moved.size:
            for memory in cells.memories:
                memory.harq.forget(moved)
                memory.average_bps[moved] = 0.0
            cells.site[moved] = serving[moved]
            transfers.quotas[:] = cell_quotas(self._uplink, self._shares_hz(transfers), cells.site, ~transfers.done)
        return cells

    @staticmethod
    def _shares_hz(transfers: Transfers) -> FloatArray:
        assert transfers.share_hz is not None
        return transfers.share_hz

    def _run(self, transfers: Transfers, cell: int, rows: IntArray, air: Air) -> Run:
        cells = self._cells
        assert cells is not None
        quotas = np.where(cells.site == cell, transfers.quotas, 0.0)
        here = replace(transfers, quotas=quotas, memory=cells.memories[cell])
        return (Fluid if self._chances is None else TransportRun)(self._uplink, here, rows, air, self._chances)

    def _slot(self, slot: int, i: int, runs: dict[int, tuple[IntArray, Run]], gains_hz: FloatArray | None) -> None:
        """Slot number ``slot``, the i-th of the window. ``gains_hz`` (m, cells): SNR in 1 Hz of each device at each site."""
        owners = {cell: run.decide(slot, i) for cell, (_, run) in runs.items()}
        if gains_hz is None:
            losses = dict.fromkeys(runs)
        else:
            over_noise = np.zeros((self._scale.size, self._uplink.blocks))
            used = np.zeros(over_noise.shape, np.bool_)
            for cell, (places, run) in runs.items():
                owner = owners[cell]
                used[cell] = owner >= 0
                others = np.arange(self._scale.size) != cell
                over_noise[np.ix_(others, used[cell])] += interference(
                    gains_hz[places][:, others] * self._uplink.gap, run.density(i, owner), owner[used[cell]]
                )
            assert self._cells is not None
            self._cells.listen(over_noise, used)
            losses = {cell: 1.0 / (1.0 + over_noise[cell]) for cell in runs}
        for cell, (_, run) in runs.items():
            run.receive(slot, i, owners[cell], losses[cell])

    def _joined(
        self, transfers: Transfers, rows: IntArray, runs: dict[int, tuple[IntArray, Run]], first: int, arrived: FloatArray
    ) -> Window:
        """One window of what the runs of all cells have come to; who is being handed over has sent nothing."""
        slots = len(arrived) - 1
        slope = np.zeros((AGAIN + 1, rows.size, slots))
        for places, run in runs.values():
            slope[:, places] = run.slope[:, :slots].transpose(0, 2, 1)
        edges_s = np.asarray(np.arange(first, first + slots + 1) * self._uplink.slot_s, np.float64)
        total = cumulative(slope * np.diff(edges_s))
        total[BITS] = arrived.T
        place = np.full(transfers.done.size, -1)
        place[rows] = np.arange(rows.size)
        return Window(edges_s, place, slope, total)


def interference(snr_hz: FloatArray, density: FloatArray, owner: IntArray) -> FloatArray:
    """Interference over noise (cells, b) on b blocks: s_j g_j,c p_j of each block's owner j (b,).

    ``snr_hz`` (m, cells): SNR in 1 Hz of m devices at the greatest power; ``density`` (m,): power per Hz as a share of that [1/Hz].
    """
    return np.asarray((snr_hz * density[:, None])[owner].T)


def _some(air: Air, places: IntArray, scale: float, expected: float) -> Air:
    """What the radio offers to some of the devices, at the noise of their site; reports know the interference that is expected."""
    return Air(air.snr_hz[:, places] * scale, air.reported_hz[:, places] * (scale / (1.0 + expected)), air.power_per_hz[:, places])
