"""Links that are dead for a while: blocked by a lorry, a tunnel, a hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from cosim.component import Component, quantity
from cosim.net.availability import OnOff, OnOffProcess

if TYPE_CHECKING:
    from cosim.rng import Streams


@final
class Outage(Component):
    """Each link is up and down in turn for exponential times, stationary from t = 0; nothing gets through while it is down.

    The two-state model of Gilbert, "Capacity of a Burst-Noise Channel", Bell Syst. Tech. J. 39, 1960, in continuous time and with a
    channel that is either as it is or dead. World: a function of (seed, device, t). Plans do not know of it: mean gains leave it out.
    """

    mean_up_s: float = quantity(60.0, "s", "mean time during which a link works", gt=0)
    mean_down_s: float = quantity(1.0, "s", "mean time during which it is dead", gt=0)

    def start(self, devices: int, site: int, streams: Streams) -> OnOffProcess:
        """The process of the links of devices 0 .. devices-1; stream ("outage", site, device)."""
        generators = [streams.generator("outage", site, device) for device in range(devices)]  # each link has its own
        return OnOffProcess(OnOff(mean_on_s=self.mean_up_s, mean_off_s=self.mean_down_s), generators)
