"""Policies under which a round is an aggregation: who has not arrived by then goes on with the model that it has."""

from __future__ import annotations

from typing import final

import numpy as np
from pydantic import Field

from cosim.component import Component, quantity
from cosim.interfaces import BoolArray, Mixing
from cosim.policy.staleness import Polynomial, Staleness, staleness_weight
from cosim.policy.state import AtWork, Decision, RoundState

_WAIT = Decision(aggregate=False)


@final
class FedAsync(Component):
    """Every update is mixed into the model as it comes: u <- (1 - a_k) u + a_k u_k, a_k = alpha s(staleness of k).

    Entries that the device had pruned stay as they are. Of updates that arrive at the same moment, the lowest device comes first.
    Source: Xie, Koyejo, Gupta, "Asynchronous Federated Optimization", 2019 (arXiv 1903.03934), algorithm 1.
    """

    alpha: float = quantity(0.6, "", "mixing weight of an update that is not stale", gt=0, le=1)
    staleness: Staleness = Field(default_factory=Polynomial, description="constant, {polynomial: a} or {hinge: a, after: b}")

    def on_event(self, state: RoundState) -> Decision:
        """Aggregate at each arrival, and when nobody is at work any more."""
        if not state.arrived:
            return _nobody(state)
        devices = _devices(state)
        first = int(np.argmin(np.where(devices.arrived, devices.arrival_s, np.inf)))
        merge = np.arange(len(devices.device_ids)) == first
        scale = self.alpha * staleness_weight(self.staleness, devices.staleness)
        return Decision(aggregate=True, merge=merge, mixing=Mixing(scale, "current"), others_go_on=True)


@final
class FedBuff(Component):
    """When K updates have come, their changes are averaged: u <- u + eta mean_k s(staleness of k) (u_k - u at the start of k).

    The mean has the aggregator's weights, each parameter over the devices that kept it. Source: Nguyen et al., "Federated Learning
    with Buffered Asynchronous Aggregation", AISTATS 2022 (arXiv 2106.06639), algorithm 1 and section 5 (s = (1 + d)^-1/2).
    """

    buffer: int = quantity(10, "", "K: updates per aggregation; all who are at work if they are fewer", ge=1)
    server_learning_rate: float = quantity(1.0, "", "eta: step of the server along the mean change", gt=0, le=1e3)
    staleness: Staleness = Field(default_factory=Polynomial, description="constant, {polynomial: a} or {hinge: a, after: b}")

    def on_event(self, state: RoundState) -> Decision:
        """Aggregate when the buffer is full, or nobody is at work any more."""
        if state.arrived < self.buffer and state.outstanding:
            return _WAIT
        devices = _devices(state)
        scale = self.server_learning_rate * staleness_weight(self.staleness, devices.staleness)
        return Decision(aggregate=True, merge=_earliest(devices, self.buffer), mixing=Mixing(scale, "own"), others_go_on=True)


@final
class Tiers(Component):
    """Devices in tiers of like speed: each tier is synchronous in itself, and independent of the others.

    Tier j of n has the devices whose processors are faster than those of the next tier: equal numbers of all devices. When
    everyone of a tier who is at work has arrived or is gone, the mean u_T of its updates is mixed into the model,
    u <- (1 - a) u + a u_T, a = alpha s(staleness), and the tier starts anew. Sources: tiers by speed as in Chai et al., "TiFL", HPDC 2020;
    synchronous inside and asynchronous across tiers as in Chai et al., "FedAT", SC 2021. FedAT keeps a model of each
    tier and weighs them by counts of updates; here one model is mixed as in FedAsync, and staleness does the weighing.
    """

    count: int = quantity(3, "", "number of tiers", ge=1, le=1000)
    alpha: float = quantity(0.6, "", "mixing weight of a tier's mean that is not stale", gt=0, le=1)
    staleness: Staleness = Field(default_factory=Polynomial, description="constant, {polynomial: a} or {hinge: a, after: b}")

    def on_event(self, state: RoundState) -> Decision:
        """Aggregate when a tier is complete; of several, the fastest first."""
        if not state.arrived:
            return _nobody(state)
        devices = _devices(state)
        tier = np.minimum((devices.speed_rank * self.count).astype(np.int64), self.count - 1)
        waiting = np.bincount(tier, weights=~(devices.arrived | devices.gone), minlength=self.count)
        complete = np.flatnonzero((waiting == 0) & (np.bincount(tier, weights=devices.arrived, minlength=self.count) > 0))
        if not complete.size:
            return _WAIT
        scale = self.alpha * staleness_weight(self.staleness, devices.staleness)
        merge = devices.arrived & (tier == complete[0])
        return Decision(aggregate=True, merge=merge, mixing=Mixing(scale, "current"), others_go_on=True)


def _nobody(state: RoundState) -> Decision:
    """Nobody has arrived: a round without updates ends only when nobody will, so that others can start."""
    return Decision(aggregate=state.outstanding == 0, others_go_on=True)


def _devices(state: RoundState) -> AtWork:
    assert state.devices is not None
    return state.devices


def _earliest(devices: AtWork, count: int) -> BoolArray:
    """The first ``count`` that arrived, of simultaneous ones the lowest devices (m,)."""
    order = np.argsort(np.where(devices.arrived, devices.arrival_s, np.inf), kind="stable")
    merge = np.zeros(len(order), np.bool_)
    merge[order[:count]] = True
    return merge & devices.arrived
