import numpy as np
import pytest
from pydantic import ValidationError

from cosim.net.pathloss import UrbanMacro
from cosim.net.shadowing import CorrelatedShadowing, NoShadowing
from cosim.rng import Streams

X, Y = np.random.default_rng(0).uniform(0, 1000, (2, 5, 8))
SIGMA = np.full((5, 8), 4.0)


def field(seed=1, site=0, **fields):
    return CorrelatedShadowing(**fields).start(UrbanMacro(), site, Streams(seed))


def test_none_is_zero():
    los = np.ones((5, 8), dtype=bool)
    assert not NoShadowing().start(UrbanMacro(), 0, Streams(1)).loss_db(X, Y, los, SIGMA).any()


def test_los_and_nlos_are_separate_fields_chosen_by_the_state():
    los = X > 500
    same = {"correlation_m": 40.0}  # for both states, so that one field would show
    mixed = field(**same).loss_db(X, Y, los, SIGMA)
    clear, blocked = (field(**same).loss_db(X, Y, np.full_like(los, state), SIGMA) for state in (True, False))
    np.testing.assert_array_equal(mixed, np.where(los, clear, blocked))
    assert not np.isclose(clear, blocked).any()


def test_seed_and_site_name_the_field():
    los = np.ones((5, 8), dtype=bool)
    one = field().loss_db(X, Y, los, SIGMA)
    np.testing.assert_array_equal(one, field().loss_db(X, Y, los, SIGMA))
    for other in (field(seed=2), field(site=1)):
        assert not np.isclose(one, other.loss_db(X, Y, los, SIGMA)).any()


def test_sigma_is_the_models_unless_given():
    los = np.ones((5, 8), dtype=bool)
    np.testing.assert_allclose(field(sigma_db=10.0).loss_db(X, Y, los, SIGMA), 2.5 * field().loss_db(X, Y, los, SIGMA))
    assert not field(sigma_db=0.0).loss_db(X, Y, los, SIGMA).any()


def test_correlation_distance_scales_space():
    # the default is UMa's 37 m in LOS: a field with twice that is the same field, seen at twice the coordinates
    los = np.ones((5, 8), dtype=bool)
    np.testing.assert_allclose(field(correlation_m=74.0).loss_db(2 * X, 2 * Y, los, SIGMA), field().loss_db(X, Y, los, SIGMA), atol=1e-4)


@pytest.mark.parametrize("fields", [{"sigma_db": -1.0}, {"correlation_m": 0.0}])
def test_bad_fields_are_refused(fields):
    with pytest.raises(ValidationError):
        CorrelatedShadowing(**fields)
