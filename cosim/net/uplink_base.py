"""What uplinks have in common: a band, slots, a rate function, and what is taken off the plain rate."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import model_validator

from cosim.catalog import Node, default
from cosim.component import Component, quantity
from cosim.net.mcs import TransportBlocks
from cosim.net.uplink_blocks import SUBCARRIERS_PER_BLOCK, blocks_in
from cosim.rate import Blocks, Rate, Scaled
from cosim.units import from_db

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray


class BandUplink(Component):
    """A band in slots. With the default values, what a device sends is the plain R(b, s g).

    A share u of the time belongs to the uplink (TDD), and protocols take a share h of the bits: u (1 - h) R(b, s g) bit/s, at a mean
    power of u p. A grant comes ``grant_delay_s`` after a device has something to send.
    """

    bandwidth_hz: float = quantity(10e6, "Hz", "band of the uplink", gt=0, le=1e12)
    slot_s: float = quantity(0.01, "s", "the channel and the shares are constant during a slot", gt=0, le=1.0)
    gap_db: float = quantity(0.0, "dB", "SNR gap to capacity (Gamma): divides the SNR", ge=0)
    rate: Annotated[Rate, Node("rate")] = default("rate", "shannon")
    uplink_share: float = quantity(1.0, "", "share of the time that is uplink: the TDD pattern; 1 in FDD", gt=0, le=1)
    overhead: float = quantity(0.0, "", "share of the bits that protocols take: control, headers", ge=0, lt=1)
    grant_delay_s: float = quantity(0.0, "s", "from the request to send to the first grant", ge=0, le=10.0)

    @property
    def gap(self) -> float:
        """SNR gap to capacity, linear, >= 1."""
        return float(from_db(self.gap_db))

    @property
    def useful(self) -> float:
        """Payload per bit of the plain rate: uplink_share (1 - overhead)."""
        return self.uplink_share * (1.0 - self.overhead)

    @property
    def link_rate(self) -> Rate:
        """The plain rate to plan with: of transport blocks, a fit."""
        return self.rate.fit if isinstance(self.rate, TransportBlocks) else self.rate

    def less_overhead(self, rate: Rate) -> Rate:
        """A rate times ``useful``."""
        return rate if self.useful == 1.0 else Scaled(rate, self.useful)

    @property
    @abstractmethod
    def coupled(self) -> bool:
        """Whether what a device may send depends on who else sends, slot by slot."""

    @property
    @abstractmethod
    def block_hz(self) -> float: ...
    @property
    @abstractmethod
    def usable_bandwidth_hz(self) -> float: ...
    @abstractmethod
    def planning_rate(self, rate: Rate) -> Rate: ...
    @abstractmethod
    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray: ...


class BlockUplink(BandUplink):
    """A band of whole resource blocks."""

    subcarrier_spacing_hz: float = quantity(15e3, "Hz", "subcarrier spacing: NR numerology mu has 15 kHz x 2^mu", gt=0)

    @property
    def block_hz(self) -> float:
        """Width W of a resource block [Hz]: 12 subcarriers."""
        return SUBCARRIERS_PER_BLOCK * self.subcarrier_spacing_hz

    @property
    def blocks(self) -> int:
        """Resource blocks in the band: for NR channels as in TS 38.101-1, table 5.3.2-1, otherwise as many as fit."""
        return blocks_in(self.bandwidth_hz, self.subcarrier_spacing_hz)

    @property
    def usable_bandwidth_hz(self) -> float:
        """Whole blocks only [Hz]."""
        return self.blocks * self.block_hz

    def planning_rate(self, rate: Rate) -> Rate:
        """Linear interpolation between whole numbers of blocks: the mean over slots of a share that is a mean number of blocks."""
        return Blocks(self.less_overhead(rate), self.block_hz)

    @model_validator(mode="after")
    def _has_a_block(self) -> Self:
        if self.blocks < 1:
            raise ValueError(f"bandwidth_hz {self.bandwidth_hz:g} Hz holds no resource block of {self.block_hz:g} Hz")
        return self


def refuse_transport_blocks(rate: Rate) -> None:
    """Raises ValueError for rates that are sent as transport blocks, which reserved shares do not know."""
    if isinstance(rate, TransportBlocks):
        raise ValueError(  # noqa: TRY004 - pydantic turns a ValueError into a message
            "rate nr_mcs sends transport blocks slot by slot: it needs one of the schedulers work_conserving, round_robin, "
            "proportional_fair, max_ci"
        )
