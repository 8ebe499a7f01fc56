"""Link adaptation of NR: modulation and coding schemes, effective SINR, transport blocks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.component import Component, quantity
from cosim.net.bler import BlockErrors, block_errors
from cosim.rate import Side, TruncatedShannon

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cosim.interfaces import FloatArray, IntArray

MODULATION_ORDER: Final = np.repeat([2, 4, 6], [10, 7, 12])
"""Bits per symbol Q_m of MCS 0 .. 28 (TS 38.214, table 5.1.3.1-1)."""
CODE_RATE: Final = np.array([
    120, 157, 193, 251, 308, 379, 449, 526, 602, 679,
    340, 378, 434, 490, 553, 616, 658,
    438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948,
]) / 1024.0  # fmt: skip
"""Target code rate R of MCS 0 .. 28 (TS 38.214, table 5.1.3.1-1)."""
EFFICIENCY: Final = MODULATION_ORDER * CODE_RATE
"""Bits per symbol of MCS 0 .. 28."""
EESM_BETA: Final = np.array([
    1.60, 1.61, 1.63, 1.65, 1.67, 1.70, 1.73, 1.76, 1.79, 1.82,
    3.97, 4.27, 4.71, 5.16, 5.66, 6.16, 6.50,
    9.95, 10.97, 12.92, 14.96, 17.06, 19.33, 21.85, 24.51, 27.14, 29.94, 32.05, 34.28,
])  # fmt: skip
"""beta of MCS 0 .. 28 as shipped with Sionna SYS 2.2 (``esm_params/eesm_beta_table.json``, Apache-2.0)."""
SYMBOLS_PER_SLOT: Final = 14
"""OFDM symbols of an NR slot, normal cyclic prefix (TS 38.211, 4.3.2)."""
_ALL: Final = np.arange(EFFICIENCY.size)


@final
class TransportBlocks(Component):
    """Transport blocks of NR (TS 38.214, table 5.1.3.1-1) with HARQ: what is sent in a slot arrives whole at its end, or fails.

    Of the schemes whose block error rate at the reported effective SINR is within the target, the one of highest efficiency is taken,
    MCS 0 if none is. A block of M resource blocks carries floor(M 12 L E) bits per NR slot, E: efficiency, L: symbols with data; the
    quantisation of TS 38.214, 5.1.3.2 (at most a few per cent) is left out. Retransmissions: ``cosim.net.harq``.

    As a rate, for plans and for schedulers' metrics, it is ``fit``.
    """

    bler_target: float = quantity(0.1, "", "block error rate for which the scheme is chosen", gt=0, lt=1)
    data_symbols: int = quantity(
        12, "", "symbols with data of the 14 in a slot; the others are reference signals", ge=1, le=SYMBOLS_PER_SLOT
    )
    harq_attempts: int = quantity(4, "", "transmissions of a block, the first included; after that it goes back to the queue", ge=1, le=16)
    harq_delay_slots: int = quantity(8, "", "slots from a transmission to the next one of the same block", ge=1, le=1000)

    @property
    def fit(self) -> TruncatedShannon:
        """The truncated Shannon rate fitted to the schemes.

        Efficiency E_m is met, by least squares of alpha, half-way (in dB) between the SINRs at which MCS m and m + 1 reach the target with
        code blocks of 2000 bits; the least SINR is that of MCS 0, the cap that of MCS 28.
        """
        return _fit(self.bler_target, self.data_symbols)

    @property
    def snr_min(self) -> float:
        """SINR at which MCS 0 meets the target, linear."""
        return self.fit.snr_min

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return self.fit.value(bandwidth_hz, snr_hz)

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        return self.fit.derivative(bandwidth_hz, snr_hz, side=side)

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        return self.fit.inverse(rate_bps, snr_hz)

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        return self.fit.supremum(snr_hz)

    def elements(self, slot_s: float, block_hz: float) -> float:
        """Resource elements with data of one block in a slot of the simulation, which may last several NR slots of 1 ms / 2^mu."""
        return 12.0 * self.data_symbols * slot_s * 1e3 * (block_hz / 180e3)

    def choose(self, elements: FloatArray, sinr: FloatArray) -> tuple[IntArray, FloatArray]:
        """MCS (k,) and size [bit] (k,) of blocks on ``elements`` (k,); ``sinr`` (k, 29): effective SINR for each MCS, linear.

        (k, 1) where it is the same for all.
        """
        size = np.maximum(np.floor(elements[:, None] * EFFICIENCY), 1.0)
        good = curves().needed_db(_ALL, size, self.bler_target) <= _db(sinr)
        mcs = np.max(np.where(good, _ALL, 0), axis=1)
        return mcs, size[np.arange(mcs.size), mcs]


@cache
def curves() -> BlockErrors:
    """Error curves of MCS 0 .. 28."""
    return block_errors(tuple(EFFICIENCY.tolist()))


def effective_sinr(sinr: FloatArray, owner: IntArray, beta: FloatArray) -> FloatArray:
    """Exponential effective SINR over the blocks of each device: -beta ln(mean_f exp(-SINR_f / beta)); (k, B), linear.

    ``sinr`` (F,): of blocks; ``owner`` (F,): which of the k devices, 0 .. k-1, holds the block, each at least one; ``beta`` (B,), or (F,
    1), each block's own. Source: 3GPP TR 25.892, annex A.
    """
    order = np.argsort(owner, kind="stable")
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    ratio = sinr[order, None] / (beta if beta.ndim == 1 else beta[order])
    least = np.minimum.reduceat(ratio, starts)  # taken out, so that no exponential vanishes
    counts = np.diff(starts, append=owner.size)[:, None]
    mean = np.add.reduceat(np.exp(np.repeat(least, counts[:, 0], axis=0) - ratio), starts) / counts
    scale = beta if beta.ndim == 1 else beta[order][starts]
    return np.asarray(scale * (least - np.log(mean)))


@cache
def _fit(target: float, data_symbols: int) -> TruncatedShannon:
    from scipy.special import ndtri

    found = curves()
    reach_db = found.middle_db[:, -1] - found.width_db[:, -1] * ndtri(target)
    between_db = 0.5 * (reach_db[:-1] + reach_db[1:])
    bound = np.log2(1.0 + 10.0 ** (between_db / 10.0))
    per_hz = data_symbols / 15.0  # 12 subcarriers x symbols / 1 ms, over 180 kHz
    alpha = float(EFFICIENCY[:-1] @ bound / (bound @ bound))
    return TruncatedShannon(attenuation=alpha * per_hz, snr_min_db=float(reach_db[0]), efficiency_max_bps_hz=float(EFFICIENCY[-1] * per_hz))


def _db(ratio: FloatArray) -> FloatArray:
    return np.asarray(10.0 * np.log10(np.maximum(ratio, 1e-30)))
