"""Wrap-around: seven hexagonal cells repeated over the plane, so that no cell is at an edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cosim.interfaces import FloatArray
    from cosim.net.geometry import Site

_TOLERANCE: Final = 0.01
"""How far a site may lie from its place in the hexagon, as a share of the distance between sites."""
_SIXTH: Final = np.pi / 3


@final
@dataclass(frozen=True, slots=True)
class Torus:
    """The plane modulo the lattice of a cluster of seven hexagonal cells: a point and its images are one place.

    With e the vector from the middle site to a neighbour and e' the same turned by 60 degrees, the lattice is spanned by 2 e + e' and
    that vector turned by 60 degrees: clusters of size i^2 + i j + j^2 = 7, i = 2, j = 1 (MacDonald, "The Cellular Concept", Bell Syst.
    Tech. J. 58, 1979). ``centre_m`` (2,): the middle site; ``periods_m`` (2, 2): the two vectors, as rows.
    """

    centre_m: FloatArray
    periods_m: FloatArray

    @staticmethod
    def of(sites: Sequence[Site]) -> Torus:
        """The torus of these sites. Raises ValueError unless they are one site and six around it, every 60 degrees."""
        places = np.array([(site.x_m, site.y_m) for site in sites])
        if len(places) != 7:
            raise ValueError(f"needs 7 sites, one in the middle and then six around it, not {len(places)}")
        first = complex(*(places[1] - places[0]))
        around = np.array([complex(*offset) for offset in places[1:] - places[0]])
        wanted = first * np.exp(1j * _SIXTH * np.arange(6))
        off = np.abs(around[:, None] - wanted).min(axis=1)
        if abs(first) == 0 or (off > _TOLERANCE * abs(first)).any() or len(set(np.abs(around[:, None] - wanted).argmin(axis=1))) < 6:
            raise ValueError(
                f"needs one site in the middle and six around it at one distance, every 60 degrees; as sites.1 is {abs(first):.6g} m from "
                f"sites.0, the others belong at {', '.join(f'({x:.6g}, {y:.6g})' for x, y in _places(places[0], wanted[1:]))}"
            )
        period = first * (2.0 + np.exp(1j * _SIXTH))
        return Torus(places[0], np.array([[z.real, z.imag] for z in (period, period * np.exp(1j * _SIXTH))]))

    def folded(self, x_m: FloatArray, y_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The image nearest to the middle site; arrays of one shape."""
        return self.seen(x_m, y_m, self.centre_m)

    def seen(self, x_m: FloatArray, y_m: FloatArray, from_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The image nearest to a point (2,), which is to say the point's nearest image, seen from here."""
        dx, dy = x_m - from_m[0], y_m - from_m[1]
        inverse = np.linalg.inv(self.periods_m)
        turns = [np.rint(dx * inverse[0, i] + dy * inverse[1, i]) for i in (0, 1)]
        dx, dy = (d - turns[0] * self.periods_m[0, i] - turns[1] * self.periods_m[1, i] for i, d in enumerate((dx, dy)))
        shifts = self._images()
        best = np.argmin((dx[..., None] - shifts[:, 0]) ** 2 + (dy[..., None] - shifts[:, 1]) ** 2, axis=-1)
        return from_m[0] + dx - shifts[best, 0], from_m[1] + dy - shifts[best, 1]

    def _images(self) -> FloatArray:
        """Nothing and the six shortest vectors of the lattice (7, 2): no other image of a point near the origin can be nearest to it."""
        one, two = self.periods_m
        return np.array([0 * one, one, two, two - one, -one, -two, one - two])


def _places(middle: FloatArray, offsets: FloatArray) -> FloatArray:
    return np.column_stack([middle[0] + offsets.real, middle[1] + offsets.imag])
