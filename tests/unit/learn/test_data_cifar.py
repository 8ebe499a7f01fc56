import io
import tarfile

import numpy as np
import pytest

from cosim.errors import ScenarioError
from cosim.learn.data_cifar import ARCHIVE, CIFAR10, TEST_FILE, TRAIN_FILES

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3, 32, 32), np.uint8)
FILES = {
    name: b"".join(bytes([(k + number) % 10]) + PIXELS[number, k].tobytes() for k in range(4))
    for number, name in enumerate((*TRAIN_FILES, TEST_FILE))
}


def write(folder):
    folder.mkdir(exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


def test_all_forms_of_a_folder_are_read_alike(tmp_path):
    write(tmp_path / "plain")
    write_inside = tmp_path / "outer" / "cifar-10-batches-bin"
    write_inside.parent.mkdir()
    write(write_inside)
    (tmp_path / "archive").mkdir()
    with tarfile.open(tmp_path / "archive" / ARCHIVE, "w:gz") as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for folder in ("plain", "outer", "archive"):
        data = CIFAR10(folder=tmp_path / folder).load()
        assert data.train_images.shape == (20, 3, 32, 32)
        assert data.train_images.dtype == np.float32
        np.testing.assert_array_equal(data.train_labels, [(k + number) % 10 for number in range(5) for k in range(4)])
        mean, deviation = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])
        expected = (PIXELS[5] / 255 - mean[:, None, None]) / deviation[:, None, None]
        np.testing.assert_allclose(data.test_images, expected, atol=1e-5)


def test_a_folder_without_the_files_is_told_about_the_binary_version(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"a pickle")
    with pytest.raises(ScenarioError, match=r"has neither cifar-10-binary.*binary version; the Python version holds pickles"):
        CIFAR10(folder=tmp_path).load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (FILES[TEST_FILE][:-1], "test_batch.bin has 12291 bytes"),
        (b"", "has 0 bytes"),
        (b"\x0a" + FILES[TEST_FILE][1:], "label 10, must be 0 to 9"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    write(tmp_path)
    (tmp_path / TEST_FILE).write_bytes(content)
    with pytest.raises(ScenarioError, match=message):
        CIFAR10(folder=tmp_path).load()


@pytest.mark.parametrize("content", [b"no archive", b"\x1f\x8b\x08" + bytes(40)])
def test_a_damaged_archive_is_named(tmp_path, content):
    (tmp_path / ARCHIVE).write_bytes(content)
    with pytest.raises(ScenarioError, match=r"cifar-10-binary.tar.gz: data_batch_1.bin cannot be read"):
        CIFAR10(folder=tmp_path).load()
