import numpy as np
import pytest
from pydantic import ValidationError

from cosim.net.availability import Always, OnOff
from cosim.rng import Streams

IDS = np.arange(30)


def test_always_is_always():
    process = Always().start(30, Streams(1))
    assert process.online(1e9, IDS).all()
    assert np.isinf(process.next_change_s(0.0, IDS)).all()


def test_the_state_changes_at_the_next_change_and_not_before():
    process = OnOff(mean_on_s=10.0, mean_off_s=5.0).start(30, Streams(1))
    for device in range(10):
        one, now = np.array([device]), 0.0
        for _ in range(40):
            change = process.next_change_s(now, one)[0]
            assert change > now
            before = process.online((now + change) / 2, one)
            assert process.online(now, one) == before
            assert process.online(change, one) != before
            now = change


def test_neither_order_nor_horizon_nor_company_moves_a_bit():
    model = OnOff(mean_on_s=10.0, mean_off_s=5.0)
    asked, fresh = model.start(30, Streams(1)), model.start(200, Streams(1))
    asked.online(10_000.0, np.array([3, 29]))
    for now in (900.0, 0.0, 17.5):
        np.testing.assert_array_equal(asked.online(now, IDS[::-1]), fresh.online(now, IDS)[::-1])
        np.testing.assert_array_equal(asked.next_change_s(now, IDS), fresh.next_change_s(now, IDS))


def test_means_must_be_positive():
    with pytest.raises(ValidationError):
        OnOff(mean_on_s=0.0)
