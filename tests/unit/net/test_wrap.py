"""Wrap-around: a torus of seven hexagonal cells."""

import numpy as np
import pytest

from cosim.net.geometry import Site
from cosim.net.wrap import Torus

D = 500.0


def cluster(turn_degrees=0.0, d=D, order=range(6)):
    angles = np.deg2rad(turn_degrees + 60.0 * np.array(list(order)))
    return [Site(x_m=1000.0, y_m=700.0), *(Site(x_m=1000.0 + d * np.cos(a), y_m=700.0 + d * np.sin(a)) for a in angles)]


@pytest.mark.parametrize("turn", [0.0, 17.0, 90.0])
def test_the_nearest_image_is_the_nearest_of_very_many(turn):
    sites = cluster(turn)
    torus, rng = Torus.of(sites), np.random.default_rng(2)
    x, y = rng.uniform(-4000, 4000, (2, 300))
    n = np.arange(-12, 13)
    shifts = (n[:, None, None] * torus.periods_m[0] + n[None, :, None] * torus.periods_m[1]).reshape(-1, 2)
    for site in sites:
        place = np.array([site.x_m, site.y_m])
        near_x, near_y = torus.seen(x, y, place)
        brute = np.hypot(x[:, None] - shifts[:, 0] - place[0], y[:, None] - shifts[:, 1] - place[1]).min(axis=1)
        np.testing.assert_allclose(np.hypot(near_x - place[0], near_y - place[1]), brute, atol=1e-9)


def test_every_cell_is_in_the_middle():
    """All seven sites see the other six at the same distances as the middle one does, so no cell is at an edge."""
    sites = cluster(30.0)
    torus = Torus.of(sites)
    x, y = np.array([[s.x_m, s.y_m] for s in sites]).T
    for site in sites:
        near = torus.seen(x, y, np.array([site.x_m, site.y_m]))
        np.testing.assert_allclose(sorted(np.hypot(near[0] - site.x_m, near[1] - site.y_m)), [0.0] + [D] * 6, atol=1e-6)


def test_the_area_that_the_docstring_names_folds_evenly():
    torus = Torus.of(cluster())
    rng = np.random.default_rng(3)
    x, y = torus.folded(*(rng.random((2, 70_000)) * np.array([[7 * D], [7 * np.sqrt(3) / 2 * D]])))
    places = np.array([[s.x_m, s.y_m] for s in cluster()])
    nearest = np.stack([np.hypot(*(np.array(torus.seen(x, y, p)) - p[:, None])) for p in places]).argmin(axis=0)
    counts = np.bincount(nearest, minlength=7)
    assert ((counts - 1e4) ** 2 / 1e4).sum() < 22.5  # chi-squared, 6 degrees of freedom, 0.1 %
    assert np.hypot(x - 1000.0, y - 700.0).max() <= np.sqrt(7 / 3) * D + 1e-6


def test_a_path_across_the_edge_is_seen_without_a_jump():
    sites = cluster()
    torus, x = Torus.of(sites), np.linspace(0, 5000, 5001)
    distance = np.stack([np.hypot(*(np.array(torus.seen(x, 0 * x, p)) - p[:, None])) for p in np.array([[s.x_m, s.y_m] for s in sites])])
    assert np.abs(np.diff(distance, axis=1)).max() <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (cluster()[:6], "needs 7 sites, one in the middle and then six around it, not 6"),
        ([*cluster()[:6], Site(x_m=1000.0, y_m=0.0)], "the others belong at .*1250, 266.987"),
        ([cluster()[0]] * 7, "needs one site in the middle"),
        ([*cluster()[:6], cluster()[1]], "every 60 degrees"),
    ],
)
def test_what_is_no_cluster_is_refused(sites, message):
    with pytest.raises(ValueError, match=message):
        Torus.of(sites)


def test_the_six_may_come_in_any_order():
    np.testing.assert_allclose(Torus.of(cluster(order=[0, 3, 1, 5, 2, 4])).periods_m, Torus.of(cluster()).periods_m)
