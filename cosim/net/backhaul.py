"""What lies between the sites and the server: a graph of sites, edge servers and the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Final, Self, final

import numpy as np
from pydantic import Field, model_validator

from cosim.component import Component, quantity
from cosim.errors import did_you_mean

if TYPE_CHECKING:
    import networkx as nx

    from cosim.interfaces import FloatArray, IntArray

CLOUD: Final = "cloud"
_HOP_S: Final = 1e-9
"""Of routes with equal delays, the one with fewer links."""


@final
class Link(Component):
    """A line of the backhaul, full duplex: what is sent over it waits for what was sent before, takes bits / capacity, and the delay."""

    between: Annotated[tuple[str, str], Field(strict=False)] = quantity(..., "", "the two ends: siteN, an edge server, cloud")
    delay_s: float = quantity(0.0, "s", "one-way delay", ge=0)
    capacity_bps: float | None = quantity(None, "bit/s", "capacity in each direction; null: no limit", gt=0)


@final
class Network(Component):
    """The backhaul: a graph with a delay and a capacity on each link, or a constant delay between every site and the server.

    Nodes are ``site0``, ``site1``, ... in the order of ``sites``, the ``edge_servers``, and ``cloud``. Routes are the shortest by delay.
    The server is the cloud. With edge servers, each site belongs to the nearest of them; they aggregate every round, the cloud after every
    ``edge_rounds``.
    """

    backhaul_delay_s: float = quantity(0.0, "s", "one-way delay between a site and the server, where there are no links", ge=0)
    edge_servers: Annotated[tuple[str, ...], Field(strict=False)] = quantity((), "", "names of the edge servers")
    edge_rounds: int = quantity(1, "", "tau_edge: rounds of the edge servers for each round of the cloud", ge=1, le=1_000_000)
    links: Annotated[tuple[Link, ...], Field(strict=False)] | None = Field(None, description="the graph; null: every site has its own line")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        names = self.edge_servers
        if len(set(names)) < len(names) or any(not name or name == CLOUD or name.startswith("site") for name in names):
            raise ValueError(f"edge_servers {list(names)}: names must differ, and not be {CLOUD} or begin with site")
        if names and self.links is None:
            raise ValueError("edge_servers need links: which sites do they serve?")
        if self.edge_rounds > 1 and not names:
            raise ValueError(f"edge_rounds {self.edge_rounds}: rounds of edge servers, but edge_servers names none")
        if self.links is not None and self.backhaul_delay_s > 0:
            raise ValueError(f"backhaul_delay_s {self.backhaul_delay_s:g} s is for a network without links; delays stand in links")
        return self

    def check(self, sites: int) -> None:
        """Raises ValueError for links to nowhere and for what cannot be reached."""
        if self.links is not None:
            self.start(sites)

    def start(self, sites: int) -> Backhaul:
        """The routes of so many sites. Raises ValueError for links to nowhere and for what cannot be reached."""
        if self.links is None:
            return Backhaul.star(sites, self.backhaul_delay_s)
        import networkx as nx

        graph = self._graph(sites, self.links)
        number = {edge: index for index, edge in enumerate(graph.edges)}
        servers = self.edge_servers or (CLOUD,)

        def route(origin: str, target: str) -> tuple[int, ...]:
            try:
                path = nx.shortest_path(graph, origin, target, weight="cost")
            except nx.NetworkXNoPath:
                raise ValueError(f"links: no way leads from {origin} to {target}") from None
            return tuple(number[ends] for ends in pairwise(path))

        delay_s = np.array([graph.edges[edge]["delay_s"] for edge in graph.edges])
        capacity_bps = np.array([graph.edges[edge]["capacity_bps"] for edge in graph.edges])
        names = [f"site{index}" for index in range(sites)]
        for name in (*names, *self.edge_servers):
            route(name, CLOUD)
        up = tuple(tuple(route(name, server) for server in servers) for name in names)
        cost = np.array([[delay_s[list(way)].sum() + _HOP_S * len(way) for way in ways] for ways in up])
        server_of = cost.argmin(axis=1)
        return Backhaul(
            delay_s=delay_s,
            capacity_bps=capacity_bps,
            up=up,
            server_of=server_of,
            down=tuple(route(servers[server], name) for name, server in zip(names, server_of, strict=True)),
            to_cloud=tuple(route(server, CLOUD) for server in self.edge_servers),
            from_cloud=tuple(route(CLOUD, server) for server in self.edge_servers),
        )

    def _graph(self, sites: int, links: tuple[Link, ...]) -> nx.DiGraph[str]:
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph()
        names = [f"site{index}" for index in range(sites)]
        graph.add_nodes_from([*names, *self.edge_servers, CLOUD])
        for place, link in enumerate(links):
            for end in link.between:
                if end not in graph:
                    known = f"site0{f' to site{sites - 1}' if sites > 1 else ''}, {', '.join([*self.edge_servers, CLOUD])}"
                    raise ValueError(f"links.{place}.between: there is no {end!r}; nodes are {known}{did_you_mean(end, list(graph.nodes))}")
            one, two = link.between
            if one == two or graph.has_edge(one, two):
                what = "joins a node with itself" if one == two else "is there twice"
                raise ValueError(f"links.{place}.between: the link between {one} and {two} {what}")
            capacity = np.inf if link.capacity_bps is None else link.capacity_bps
            for ends in ((one, two), (two, one)):
                graph.add_edge(*ends, delay_s=link.delay_s, capacity_bps=capacity, cost=link.delay_s + _HOP_S)
        return graph


@final
@dataclass(frozen=True, slots=True)
class Backhaul:
    """Routes through the graph, as numbers of directed links. Servers are the edge servers, or the cloud alone.

    ``delay_s``, ``capacity_bps`` (L,). ``up[site][server]``; ``server_of`` (sites,): the one that each site belongs to, and ``down[site]``
    from there; ``to_cloud[server]``, ``from_cloud[server]``: none where the cloud is the server.
    """

    delay_s: FloatArray
    capacity_bps: FloatArray
    up: tuple[tuple[tuple[int, ...], ...], ...]
    server_of: IntArray
    down: tuple[tuple[int, ...], ...]
    to_cloud: tuple[tuple[int, ...], ...]
    from_cloud: tuple[tuple[int, ...], ...]

    @staticmethod
    def star(sites: int, delay_s: float) -> Backhaul:
        """A line of its own between each site and the cloud."""
        return Backhaul(
            delay_s=np.full(2 * sites, delay_s),
            capacity_bps=np.full(2 * sites, np.inf),
            up=tuple(((2 * site,),) for site in range(sites)),
            server_of=np.zeros(sites, np.int64),
            down=tuple((2 * site + 1,) for site in range(sites)),
            to_cloud=(),
            from_cloud=(),
        )

    @property
    def servers(self) -> int:
        """Number of servers."""
        return len(self.up[0])

    def pass_link(self, free_s: FloatArray, link: int, bits: float, now_s: float) -> tuple[FloatArray, float]:
        """Send something over a link, after all for which that was asked before; ``free_s`` (L,): when each link has sent these.

        Returns the new ``free_s``, and when everything is at the other end [s].
        """
        free_s = free_s.copy()
        if np.isfinite(self.capacity_bps[link]):
            now_s = free_s[link] = max(now_s, float(free_s[link])) + bits / float(self.capacity_bps[link])
        return free_s, float(now_s + self.delay_s[link])

    def send_all(self, free_s: FloatArray, routes: tuple[tuple[int, ...], ...], bits: float, now_s: float) -> tuple[FloatArray, float]:
        """The same at once over several routes, of which each link serves what comes first; when the last has arrived."""
        on_the_way, last_s = [(now_s, index, 0) for index in range(len(routes))], now_s
        while on_the_way:
            at_s, index, passed = heappop(on_the_way)
            if passed == len(routes[index]):
                last_s = max(last_s, at_s)
                continue
            free_s, at_s = self.pass_link(free_s, routes[index][passed], bits, at_s)
            heappush(on_the_way, (at_s, index, passed + 1))
        return free_s, last_s

    def takes_s(self, route: tuple[int, ...], bits: FloatArray) -> FloatArray:
        """How long that takes where nothing waits [s]; arrays of one shape."""
        taken = np.zeros_like(bits)
        for link in route:
            taken = taken + bits / self.capacity_bps[link] + self.delay_s[link]
        return taken
