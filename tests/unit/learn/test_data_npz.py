import numpy as np
import pytest
from pydantic import ValidationError

from cosim.errors import ScenarioError
from cosim.learn.data_npz import NPZ

RNG = np.random.default_rng(0)


def arrays(shape=(3, 6, 5), **changes):
    made = {
        "train_images": RNG.integers(0, 256, (12, *shape)).astype(np.uint8),
        "train_labels": np.arange(12) % 4,
        "test_images": RNG.integers(0, 256, (5, *shape)).astype(np.uint8),
        "test_labels": np.arange(5)[:, None] % 5,
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def npz(tmp_path, made, **fields):
    np.savez_compressed(tmp_path / "x.npz", **made)
    return NPZ(file=tmp_path / "x.npz", **fields)


@pytest.mark.parametrize(
    ("shape", "channels", "expected"),
    [((7,), "first", (1, 1, 7)), ((6, 5), "first", (1, 6, 5)), ((3, 6, 5), "first", (3, 6, 5)), ((6, 5, 3), "last", (3, 6, 5))],
)
def test_shapes_are_known_beforehand_and_images_normalised(tmp_path, shape, channels, expected):
    made = arrays(shape)
    dataset = npz(tmp_path, made, channels=channels)
    assert dataset.image_shape == expected
    assert dataset.classes == 5
    data = dataset.load()
    assert data.train_images.shape == (12, *expected)
    axes = 0 if len(shape) == 1 else (0, 2, 3)
    np.testing.assert_allclose(data.train_images.mean(axis=axes), 0, atol=1e-5)
    np.testing.assert_allclose(data.train_images.std(axis=axes), 1, atol=1e-5)
    np.testing.assert_array_equal(data.test_labels, np.arange(5))
    assert data.train_groups is None
    if channels == "last":
        first = npz(tmp_path, {**made, **{f"{w}_images": np.moveaxis(made[f"{w}_images"], 3, 1) for w in ("train", "test")}}).load()
        np.testing.assert_array_equal(first.test_images, data.test_images)


def test_groups_come_along_and_constant_features_are_no_trouble(tmp_path):
    made = arrays((4,), train_groups=np.arange(12) // 3, test_groups=np.array([0, 1, 2, 3, 3]))
    made["train_images"][:, 2] = made["test_images"][:, 2] = 7
    data = npz(tmp_path, made).load()
    np.testing.assert_array_equal(data.test_groups, [0, 1, 2, 3, 3])
    assert (data.train_images[..., 2] == 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_labels": None}, "has no array test_labels; needed: train_images"),
        ({"train_labels": np.arange(11)}, r"train_labels has shape \(11,\), must be \(12,\)"),
        ({"train_labels": np.arange(12) / 2}, "train_labels .float64. must be whole numbers"),
        ({"train_labels": np.arange(12) - 1}, "must be whole numbers from 0"),
        ({"train_labels": np.full(12, 10**9)}, "largest label is 1000000000"),
        ({"test_images": np.zeros((5, 6, 5))}, "train_images are .3, 6, 5."),
        ({"train_images": np.zeros((12, 1, 2, 3, 4))}, "must be .n, features."),
        ({"train_images": np.array(["x"] * 12)}, "must hold numbers"),
        ({"train_images": np.array([{}] * 12, object)}, "train_images holds object, must hold numbers"),
        ({"train_groups": np.arange(12)}, "both train_groups and test_groups"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_loaded(tmp_path, changes, message):
    with pytest.raises(ValidationError, match=message):
        npz(tmp_path, arrays(**changes))


def test_what_is_no_npz_file_is_told(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(ValidationError, match=r"cannot be read as an .npz file"):
        NPZ(file=tmp_path / "x.npz")


def test_values_that_are_not_finite_are_told(tmp_path):
    bad = np.zeros((5, 3, 6, 5))
    bad[2, 0, 0, 0] = np.nan
    with pytest.raises(ScenarioError, match="test_images contains NaN"):
        npz(tmp_path, arrays(test_images=bad)).load()


def test_a_file_that_changes_is_looked_at_again(tmp_path):
    assert npz(tmp_path, arrays((4,))).image_shape == (1, 1, 4)
    assert npz(tmp_path, arrays((9, 9))).image_shape == (1, 9, 9)


def test_digits_that_all_have_in_common_take_none_of_the_others(tmp_path):
    """Times in seconds since 1970, 20 s apart: float32 tells steps of 128 s."""
    times = 1.7e9 + 20.0 * RNG.standard_normal((12, 1))
    data = npz(tmp_path, arrays((1,), train_images=times, test_images=times[:5])).load()
    np.testing.assert_allclose(data.train_images.ravel(), ((times - times.mean()) / times.std()).ravel(), rtol=1e-4)
