"""The world of a scenario, and whether all of its parts can start."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cosim.net.subbands import band_of
from cosim.net.world import World
from cosim.rng import Streams

if TYPE_CHECKING:
    from cosim.net.many_sites import ManySites
    from cosim.scenario import Scenario


def check(scenario: Scenario) -> None:
    """Start all that a run starts before its first round, but for the model: read traces, place devices, load and deal the data.

    Raises ScenarioError where a run would. Loads no torch. Data that would have to be downloaded first are not looked at.
    """
    from cosim.learn.federated import Federated
    from cosim.learn.roles import Downloaded

    start_world(scenario)
    learning = scenario.learning
    if isinstance(learning, Federated) and not (isinstance(learning.dataset, Downloaded) and not learning.dataset.at_hand):
        learning.deal(scenario.devices.count, Streams(scenario.seed))


def start_world(scenario: Scenario) -> World | ManySites:
    """The world of this scenario alone: no learner, no allocator. Raises ScenarioError where its parts do not fit."""
    streams, area, devices = Streams(scenario.seed), scenario.area, scenario.devices
    around = partial(
        World,
        streams=streams,
        area=area,
        devices=devices,
        mobility=scenario.mobility,
        channel=scenario.channel,
        compute=scenario.compute,
        availability=scenario.availability,
        band=band_of(scenario.uplink),
    )
    if len(scenario.sites) == 1:
        return around(site=scenario.sites[0])
    from cosim.net.many_sites import ManySites
    from cosim.net.shared_motion import SharedMotion
    from cosim.net.wrap import Torus

    torus = Torus.of(scenario.sites) if area.wrap_around else None
    motion = SharedMotion(scenario.mobility.start((area.width_m, area.height_m), devices.count, streams), torus)
    worlds = [around(site=site, site_index=index, motion=motion, torus=torus) for index, site in enumerate(scenario.sites)]
    return ManySites(worlds, scenario.cells.handover, devices.count)
