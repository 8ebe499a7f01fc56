"""Settings of torch that belong to the process: full precision inside, the caller's own afterwards."""

import threading

import pytest
import torch

from cosim.learn.threads import training_threads


@pytest.fixture(autouse=True)
def loose():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def settings():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def test_products_have_all_bits_whatever_a_caller_allows():
    with training_threads(1):
        assert settings() == ("highest", False)
    assert settings() == ("medium", True)


def test_the_last_of_several_simulations_gives_the_settings_back():
    """The first leaves while the second is still at work."""
    come, go = threading.Event(), threading.Event()

    def second():
        with training_threads(1):
            come.set()
            go.wait()

    other = threading.Thread(target=second)
    with training_threads(1):
        other.start()
        come.wait()
    assert settings() == ("highest", False)
    go.set()
    other.join()
    assert settings() == ("medium", True)
