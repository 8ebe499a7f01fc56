import gzip
import hashlib
import http.server
import importlib.util
import struct
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cosim.errors import ScenarioError
from cosim.learn.data import DIGITS_FILE, FILES, MNIST, SMALL_FILE, SYSTEM_FOLDER, Digits, FashionMNIST, FashionMNISTSmall
from cosim.learn.data_download import download
from cosim.learn.idx import parse_idx, read_idx


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_set(folder, *, labels=6):
    rng = np.random.default_rng(0)
    for name in FILES:
        array = rng.integers(0, 256, (6, 28, 28), np.uint8) if "images" in name else rng.integers(0, 10, labels, np.uint8)
        (folder / name).write_bytes(gzip.compress(idx(array), mtime=0))


def test_idx_round_trip():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(parse_idx(idx(array), 3), array)


@pytest.mark.parametrize(
    ("data", "dimensions", "message"),
    [
        (b"\0\0\x08", 1, "shorter than its header of 8 bytes"),
        (b"\0\0\x0d\x01" + bytes(8), 1, "not an IDX file of unsigned bytes: begins with 00000d01"),
        (idx(np.zeros((2, 3), np.uint8)), 1, "has 2 dimensions, must have 1"),
        (idx(np.zeros(5, np.uint8))[:-1], 1, "must hold 5 bytes of data, holds 4"),
    ],
)
def test_idx_errors_say_what_is_wrong(data, dimensions, message):
    with pytest.raises(ValueError, match=message):
        parse_idx(data, dimensions)


@pytest.mark.parametrize(
    "data", [b"no gzip file", gzip.compress(bytes(1000))[:-9], b"\x1f\x8b\x08" + bytes(30)], ids=["none", "cut", "empty"]
)
def test_a_broken_gzip_file_is_named(tmp_path, data):
    path = tmp_path / "x.gz"
    path.write_bytes(data)
    with pytest.raises(ScenarioError, match=r"x\.gz"):
        read_idx(path, 1)


def test_small_set_is_balanced_and_normalised():
    data = FashionMNISTSmall().load()
    np.testing.assert_array_equal(np.bincount(data.train_labels), np.full(10, 1000))
    np.testing.assert_array_equal(np.bincount(data.test_labels), np.full(10, 200))
    assert data.train_images.shape == (10_000, 1, 28, 28)
    assert data.train_images.dtype == np.float32
    assert data.train_images.mean() == pytest.approx(0, abs=0.01)
    assert data.train_images.std() == pytest.approx(1, abs=0.01)
    assert "Zalando" in (SMALL_FILE.parent / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.skipif(not SYSTEM_FOLDER.is_dir(), reason="the full data set is not installed")
def test_the_shipped_subset_is_what_its_script_makes(tmp_path):
    path = Path(__file__).parents[3] / "scripts" / "make_fashion_mnist_small.py"
    spec = importlib.util.spec_from_file_location("make_fashion_mnist_small", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = script.subset(SYSTEM_FOLDER)
    with np.load(SMALL_FILE, allow_pickle=False) as shipped:
        assert set(shipped.files) == set(made)
        for name in made:
            np.testing.assert_array_equal(shipped[name], made[name])
    few = {name: array[:50] for name, array in made.items()}
    script.write(few, tmp_path / "a.npz")
    script.write(few, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_given_folder_is_read(tmp_path):
    write_set(tmp_path)
    data = FashionMNIST(folder=tmp_path).load()
    assert data.test_images.shape == (6, 1, 28, 28)
    assert data.train_labels.dtype == np.int64


def test_a_given_folder_without_the_files_is_an_error(tmp_path):
    with pytest.raises(ScenarioError, match="has no file train-images-idx3-ubyte"):
        FashionMNIST(folder=tmp_path).load()


def test_images_and_labels_must_belong_together(tmp_path):
    write_set(tmp_path, labels=5)
    with pytest.raises(ScenarioError, match="do not belong together"):
        FashionMNIST(folder=tmp_path).load()


@pytest.fixture
def server(tmp_path):
    """A loopback web server with a small fake data set: (its address, checksums)."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args):
            pass

    (tmp_path / "www").mkdir()
    write_set(tmp_path / "www")
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "www"))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    checksums = {name: "sha256:" + hashlib.sha256((tmp_path / "www" / name).read_bytes()).hexdigest() for name in FILES}
    yield f"http://127.0.0.1:{httpd.server_port}/", checksums
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_files_are_downloaded_once_and_checked(tmp_path, server):
    url, checksums = server
    paths = download("Set", url, checksums, tmp_path / "cache")
    assert [path.name for path in paths] == list(FILES)
    for path in (tmp_path / "www").iterdir():
        path.unlink()
    assert download("Set", url, checksums, tmp_path / "cache") == paths
    assert FashionMNIST(folder=tmp_path / "cache").load().train_images.shape == (6, 1, 28, 28)


def test_a_wrong_checksum_is_an_error(tmp_path, server):
    url, checksums = server
    with pytest.raises(ScenarioError, match=r"Set: train-labels.*checksum is wrong.*put them in a folder"):
        download("Set", url, {**checksums, FILES[1]: "md5:" + "0" * 32}, tmp_path / "cache")


def test_a_server_without_the_files_is_an_error(tmp_path, server):
    url, checksums = server
    with pytest.raises(ScenarioError, match=r"answers 404 .*or use dataset.kind fashion_mnist_small or digits"):
        download("Set", url + "nothing", checksums, tmp_path / "cache")


class Bad(http.server.BaseHTTPRequestHandler):
    """Promises 1000 bytes, sends ten, and then either hangs up or says nothing more until it is told to."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"0123456789")
        self.wfile.flush()
        if self.server.stalls:
            self.server.enough.wait(20)

    def log_message(self, *_args):
        pass


@pytest.mark.parametrize(("stalls", "message"), [(False, "broke off before the file was whole"), (True, "no answer for 0.2 s")])
def test_short_and_stalled_answers_are_told_and_leave_nothing(tmp_path, stalls, message):
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bad)
    httpd.stalls, httpd.enough = stalls, threading.Event()
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        with pytest.raises(ScenarioError, match=message) as caught:
            download("Set", f"http://127.0.0.1:{httpd.server_port}/", {"a.gz": "md5:" + "0" * 32}, tmp_path / "cache", timeout_s=0.2)
    finally:
        httpd.enough.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()
    assert "put them in a folder and name it in dataset.folder" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache" / "a.gz").exists()


def test_no_server_is_told(tmp_path):
    with pytest.raises(ScenarioError, match="no connection to the server"):
        download("Set", "http://127.0.0.1:9/", {"a.gz": "md5:" + "0" * 32}, tmp_path)


def test_mnist_is_read_from_plain_files_too(tmp_path):
    write_set(tmp_path)
    compressed = MNIST(folder=tmp_path).load()
    for name in FILES:
        (tmp_path / name.removesuffix(".gz")).write_bytes(gzip.decompress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    plain = MNIST(folder=tmp_path).load()
    np.testing.assert_array_equal(plain.train_images, compressed.train_images)
    images = read_idx(tmp_path / "t10k-images-idx3-ubyte", 3)
    np.testing.assert_allclose(plain.test_images[:, 0], (images / 255 - 0.1307) / 0.3081, atol=1e-5)


def test_digits_are_scikit_learns_and_normalised():
    data = Digits().load()
    assert data.train_images.shape == (1437, 1, 8, 8)
    assert data.train_images.mean() == pytest.approx(0, abs=0.002)
    assert data.train_images.std() == pytest.approx(1, abs=0.002)
    assert set(data.test_labels.tolist()) == set(range(10))
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    with np.load(DIGITS_FILE, allow_pickle=False) as shipped:
        np.testing.assert_array_equal(np.concatenate([shipped["train_images"], shipped["test_images"]]), theirs.images)
        np.testing.assert_array_equal(np.concatenate([shipped["train_labels"], shipped["test_labels"]]), theirs.target)
