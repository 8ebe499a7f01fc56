"""Several aggregation servers: one of them is plain federated averaging, and joined after every round they all are."""

import numpy as np
import pytest

from cosim.learn.models import MLP
from cosim.learn.pruner import Taylor
from cosim.learn.server_optimizer import FedAdam
from cosim.learn.servers import Server, average, join
from cosim.learn.split import Split
from cosim.learn.trainer import SGD
from cosim.rng import Streams

EVERYONE = np.arange(6)
WEST_EAST = np.array([0, 1, 0, 1, 1, 0])


@pytest.fixture
def learner(play):
    def learner(servers, **more):
        fields = {"model": MLP(hidden=(8,)), "split": Split(personal_layers=1), "trainer": SGD(personal_steps=1, global_steps=2), **more}
        return play.federated(**fields).start(6, Streams(4), workers=1, servers=servers)

    return learner


def rounds(made, count, server, *, every=1, ratio=0.4):
    for index in range(count):
        made.assign(index, EVERYONE, np.full(6, ratio), server)
        for device in EVERYONE.tolist():
            made.start(index, device)
            made.finish(device)
        update = made.aggregate(index, EVERYONE)
        if server is not None and (index + 1) % every == 0:
            made.join_servers()
    return update


@pytest.mark.parametrize("more", [{}, {"pruner": Taylor(), "server_optimizer": FedAdam()}])
def test_one_edge_server_and_every_round_a_cloud_round_is_plain_averaging_bit_for_bit(learner, more):
    plain, edge = learner(1, **more), learner(1, **more)
    rounds(plain, 3, None)
    rounds(edge, 3, np.zeros(6, np.int64))
    for name, values in plain.state().items():
        np.testing.assert_array_equal(values, edge.state()[name], err_msg=name)
    assert plain.evaluate(2).global_accuracy == edge.evaluate(2).global_accuracy


def test_two_servers_joined_after_every_round_are_one_server(learner):
    """Also where masks differ: each parameter is averaged over whoever kept it, at whichever server."""
    plain, two = learner(1), learner(2)
    one_update, two_update = rounds(plain, 2, None), rounds(two, 2, WEST_EAST)
    np.testing.assert_allclose(np.split(two.state()["shared"], 2)[0], plain.state()["shared"], rtol=1e-4, atol=1e-6)
    assert (one_update.coverage_min, one_update.uncovered_fraction) == (two_update.coverage_min, two_update.uncovered_fraction)


def test_between_cloud_rounds_the_models_differ_and_after_one_they_do_not(learner):
    two = learner(2)
    rounds(two, 3, WEST_EAST, every=4)
    west, east = np.split(two.state()["shared"], 2)
    assert np.abs(west - east).max() > 1e-3
    rounds(two, 1, WEST_EAST, every=1)
    west, east = np.split(two.state()["shared"], 2)
    np.testing.assert_array_equal(west, east)
    assert not two.state()["mass"].any()


def test_a_district_with_a_server_of_its_own_is_a_federation_of_its_own(learner):
    """Until the servers are joined nobody learns anything from the other district."""
    two, alone = learner(2), learner(1)
    rounds(two, 2, WEST_EAST, every=9)
    west = EVERYONE[WEST_EAST == 0]
    for index in range(2):
        alone.assign(index, west, np.full(3, 0.4))
        for device in west.tolist():
            alone.start(index, device)
            alone.finish(device)
        alone.aggregate(index, west)
    np.testing.assert_array_equal(np.split(two.state()["shared"], 2)[0], alone.state()["shared"])


def test_devices_are_tested_with_the_model_of_their_server(learner):
    two, plain = learner(2), learner(1)
    rounds(two, 2, WEST_EAST, every=9, ratio=0.0)
    both = two.evaluate(1)
    for index, shared in enumerate(np.split(two.state()["shared"], 2)):
        plain.restore({**plain.state(), "shared": shared, "personal": two.state()["personal"]})
        here = index == WEST_EAST
        np.testing.assert_array_equal(both.accuracy_full[here], plain.evaluate(1).accuracy_full[here])
    plain.restore({**plain.state(), "shared": average(two._servers), "personal": two.state()["personal"]})
    assert both.global_accuracy == plain.evaluate(1).global_accuracy


def test_the_average_weighs_each_parameter_by_who_kept_it():
    servers = [
        Server(np.array(u, np.float32), np.zeros(0), None, np.array(m)) for u, m in (([1, 5, 7], [1.0, 0, 0]), ([4, 9, 7], [3.0, 2.0, 0]))
    ]
    assert average(servers).tolist() == [3.25, 9.0, 7.0]
    join(servers)
    assert [server.shared.tolist() for server in servers] == [[3.25, 9.0, 7.0]] * 2
    assert not any(server.mass.any() for server in servers)


def test_a_state_goes_on_as_if_nothing_had_happened(learner):
    made, twin = (learner(2, pruner=Taylor()) for _ in range(2))
    rounds(made, 2, WEST_EAST, every=9)
    twin.restore(made.state())
    for one in (made, twin):
        one.assign(2, EVERYONE, np.full(6, 0.4), WEST_EAST)
        for device in EVERYONE.tolist():
            one.start(2, device)
    other = learner(2, pruner=Taylor())
    other.restore(twin.state())  # in the middle of a round
    for one in (made, other):
        for device in EVERYONE.tolist():
            one.finish(device)
        one.aggregate(2, EVERYONE)
        one.join_servers()
    for name, values in made.state().items():
        np.testing.assert_array_equal(values, other.state()[name], err_msg=name)
