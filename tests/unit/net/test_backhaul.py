"""The graph of the backhaul: routes, times, queues, and what is refused."""

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.net.backhaul import Link, Network


def link(one, two, delay_s=0.0, capacity_bps=None):
    return Link(between=(one, two), delay_s=delay_s, capacity_bps=capacity_bps)


TREE = Network(
    edge_servers=("west", "east"),
    links=(
        link("site0", "west", 0.001, 1e6),
        link("site1", "west", 0.002, 1e6),
        link("site2", "east", 0.003),
        link("west", "cloud", 0.010, 2e6),
        link("east", "cloud", 0.020),
        link("site1", "east", 0.5),
    ),
)


def test_without_links_every_site_has_a_line_of_its_own():
    net = Network(backhaul_delay_s=0.25).start(3)
    assert net.servers == 1
    assert not net.to_cloud
    free_s, at_s = net.pass_link(np.zeros(6), net.up[1][0][0], 1e9, 2.0)
    assert (at_s, free_s.tolist()) == (2.25, [0.0] * 6)
    assert net.takes_s(net.down[2], np.array([1e9])).tolist() == [0.25]


def test_sites_belong_to_the_nearest_edge_server():
    net = TREE.start(3)
    assert net.server_of.tolist() == [0, 0, 1]
    assert [len(route) for route in net.up[0]] == [1, 3]  # to the other edge server by way of the cloud
    assert net.takes_s(net.up[0][0], np.array([5e5])) == pytest.approx([0.001 + 0.5])
    assert net.takes_s(net.up[0][1], np.array([5e5])) == pytest.approx([0.001 + 0.5 + 0.010 + 0.25 + 0.020])


def test_a_link_serves_one_after_the_other_and_its_directions_do_not_meet():
    net = TREE.start(3)
    up, down = net.up[0][0][0], net.down[0][0]
    free_s, first = net.pass_link(np.zeros(net.delay_s.size), up, 1e6, 0.0)
    free_s, second = net.pass_link(free_s, up, 1e6, 0.5)
    assert (first, second) == (pytest.approx(1.001), pytest.approx(2.001))
    assert net.pass_link(free_s, down, 1e6, 0.5)[1] == pytest.approx(1.501)


def test_a_shared_link_serves_what_comes_first():
    """Route 0 has a slow first link, so its load comes to the shared link last, though it was sent first."""
    net = Network(links=(link("site0", "site2", 0.0, 1e5), link("site1", "site2", 0.0, 1e6), link("site2", "cloud", 0.0, 1e6))).start(3)
    _, last_s = net.send_all(np.zeros(net.delay_s.size), (net.up[0][0], net.up[1][0]), 1e6, 0.0)
    assert last_s == pytest.approx(11.0)
    both = net.send_all(np.zeros(net.delay_s.size), (net.up[1][0], net.up[1][0]), 1e6, 0.0)[1]
    assert both == pytest.approx(3.0)  # each waits once, for the link before


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Network(links=(link("site0", "cloud"), link("sit1", "cloud"))),
            r"links.1.between: there is no 'sit1'; nodes are site0 to site1, cloud; did",
        ),
        (Network(links=(link("site0", "cloud"),)), "no way leads from site1 to cloud"),
        (Network(edge_servers=("e",), links=(link("site0", "cloud"), link("site1", "cloud"))), "no way leads from e to cloud"),
        (
            Network(links=(link("site0", "cloud"), link("cloud", "site0"))),
            "links.1.between: the link between cloud and site0 is there twice",
        ),
        (Network(links=(link("site0", "site0"),)), "joins a node with itself"),
    ],
)
def test_graphs_that_lead_nowhere_are_refused(network, message):
    with pytest.raises(ValueError, match=message):
        network.check(2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"edge_servers": ("cloud",), "links": ()}, "names must differ, and not be cloud or begin with site"),
        ({"edge_servers": ("a", "a"), "links": ()}, "names must differ"),
        ({"edge_servers": ("a",)}, "edge_servers need links"),
        ({"backhaul_delay_s": 0.1, "links": ()}, "delays stand in links"),
    ],
)
def test_contradictions_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Network(**wrong)


def test_a_capacity_is_positive():
    with pytest.raises(ValidationError):
        link("site0", "cloud", 0.0, -1.0)
