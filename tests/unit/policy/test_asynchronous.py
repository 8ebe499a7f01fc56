"""Asynchronous policies as pure functions: whose update is merged when, and how."""

import numpy as np
import pytest

from cosim.policy.asynchronous import FedAsync, FedBuff, Tiers
from cosim.policy.staleness import Hinge, Polynomial, staleness_weight
from cosim.policy.state import AtWork, RoundState


def state(arrival_s, gone=(), staleness=None, rank=None):
    """Five devices; ``arrival_s``: device -> time of its arrival."""
    arrived, left = np.isin(np.arange(5), list(arrival_s)), np.isin(np.arange(5), list(gone))
    devices = AtWork(
        device_ids=np.arange(5) * 10,
        arrived=arrived,
        arrival_s=np.array([arrival_s.get(k, np.nan) for k in range(5)]),
        gone=left,
        staleness=np.zeros(5, np.int64) if staleness is None else np.array(staleness),
        speed_rank=np.arange(5) / 5 if rank is None else np.array(rank),
    )
    return RoundState(0.0, 9.0, 2.0, selected=5, arrived=int(arrived.sum()), gone=int(left.sum()), devices=devices)


def test_staleness_functions():
    late = np.array([0, 1, 4, 6])
    np.testing.assert_array_equal(staleness_weight("constant", late), 1.0)
    np.testing.assert_allclose(staleness_weight(Polynomial(polynomial=0.5), late), (1 + late) ** -0.5)
    np.testing.assert_allclose(staleness_weight(Hinge(hinge=10.0, after=4), late), [1, 1, 1, 1 / 21])


def test_fed_async_merges_the_first_arrival_alone():
    decision = FedAsync(alpha=0.5).on_event(state({3: 7.0, 1: 8.0, 4: 7.0}, staleness=[0, 0, 0, 3, 0]))
    assert decision.aggregate
    assert decision.others_go_on
    assert np.flatnonzero(decision.merge).tolist() == [3]
    assert decision.mixing.reference == "current"
    assert decision.mixing.scale[3] == pytest.approx(0.5 * 4**-0.5)


@pytest.mark.parametrize("policy", [FedAsync(), FedBuff(), Tiers()])
def test_nothing_is_merged_before_anybody_has_arrived(policy):
    assert not policy.on_event(state({})).aggregate
    last = policy.on_event(state({}, gone=range(5)))
    assert last.aggregate  # so that others can start
    assert last.merge is None or not last.merge.any()


def test_fed_buff_waits_for_its_buffer_and_takes_the_earliest():
    policy = FedBuff(buffer=2, server_learning_rate=2.0)
    assert not policy.on_event(state({2: 1.0})).aggregate
    decision = policy.on_event(state({2: 3.0, 0: 4.0, 1: 3.5}, staleness=[0, 0, 3, 0, 0]))
    assert np.flatnonzero(decision.merge).tolist() == [1, 2]
    assert decision.mixing.reference == "own"
    assert decision.mixing.scale[2] == pytest.approx(2 * 0.5)
    assert policy.on_event(state({2: 1.0}, gone=[0, 1, 3, 4])).aggregate


def test_a_tier_is_complete_when_all_of_it_have_arrived_or_are_gone():
    policy = Tiers(count=2)  # ranks below a half, and the others: devices 0, 1, 2 and 3, 4
    assert not policy.on_event(state({0: 1.0, 1: 1.0, 3: 1.0})).aggregate
    decision = policy.on_event(state({0: 1.0, 3: 1.0, 4: 2.0}))
    assert np.flatnonzero(decision.merge).tolist() == [3, 4]
    decision = policy.on_event(state({0: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}, gone=[1]))
    assert np.flatnonzero(decision.merge).tolist() == [0, 2]
    assert not policy.on_event(state({0: 1.0}, gone=[3, 4])).aggregate  # a tier that is gone has nothing to merge
