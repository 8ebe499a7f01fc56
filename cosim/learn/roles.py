"""What the parts of federated learning promise each other: protocols of the roles and the records between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cosim.interfaces import FloatArray, IntArray
from cosim.learn.chain import Network
from cosim.learn.layers import Mask, Shape, Vector
from cosim.learn.rotation import Rotation
from cosim.learn.split import Parts
from cosim.rng import Streams

Images = NDArray[np.float32]
Bytes: TypeAlias = bytes | memoryview


@final
@dataclass(frozen=True, slots=True)
class ImageData:
    """Labelled images: float32 (n, channels, height, width), normalised; labels int64 (n,) from 0.

    Rows of a table are images of height 1: (n, 1, 1, features). ``train_groups``, ``test_groups``: to which group (a writer, a
    place) each belongs, where the data say so; int64 (n,).
    """

    train_images: Images
    train_labels: IntArray
    test_images: Images
    test_labels: IntArray
    train_groups: IntArray | None = None
    test_groups: IntArray | None = None


class Dataset(Protocol):
    """Role ``dataset``."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        ...

    @property
    def classes(self) -> int: ...
    def load(self) -> ImageData:
        """Raises ScenarioError where the data cannot be had."""
        ...


@runtime_checkable
class Downloaded(Dataset, Protocol):
    """A data set that is downloaded where it is not found."""

    @property
    def at_hand(self) -> bool:
        """Whether all files are here, so that ``load`` opens no connection."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Shares:
    """Who has what: for each device the indices of its training and of its test images.

    ``data``: the images that the indices mean, where devices do not see those of the data set as they are.
    """

    train: tuple[IntArray, ...]
    test: tuple[IntArray, ...]
    data: ImageData | None = None


class Partition(Protocol):
    """Role ``partition``."""

    def check(self, classes: int) -> None:
        """Raises ValueError if data with so many classes cannot be dealt this way."""
        ...

    def deal(self, data: ImageData, devices: int, streams: Streams) -> Shares:
        """The shares of devices 0 .. devices-1; a device's share does not depend on later devices."""
        ...


class Model(Protocol):
    """Role ``model``."""

    def network(self, input_shape: Shape, classes: int) -> Network:
        """The network for samples of this shape. Raises ValueError where it cannot take them."""
        ...


@final
@dataclass(frozen=True, slots=True)
class LocalTask:
    """What a device starts its local work from; nobody writes to these arrays.

    ``samples``: indices of the device's own training images. ``shared``: u (N + M,); ``mask``: m_k (N,), or (N + M,) where
    whole units are removed; ``personal``: v_k. ``round``: the one that this work belongs to. ``dense_gradient``: the gradient
    of pruned weights is wanted too. ``device``: whose work it is, of ``devices``.
    """

    parts: Parts
    images: Images
    labels: IntArray
    samples: IntArray
    shared: Vector
    mask: Mask
    personal: Vector
    round: int = 0
    dense_gradient: bool = False
    device: int = 0
    devices: int = 1


@final
@dataclass(frozen=True, slots=True)
class LocalResult:
    """What local work gave. ``finite``: no loss and no parameter became NaN or infinite.

    ``train_loss``: mean of the mini-batch losses over all steps. ``gradient``: mean of the dense gradient of the
    prunable weights over the global steps (N,), where it was wanted. ``examples``: as so many training samples the update
    counts; None: as those that the device has.
    """

    shared: Vector
    personal: Vector
    train_loss: float
    finite: bool
    gradient: Vector | None = None
    examples: int | None = None


class Codec(Protocol):
    """Role ``codec``: how the values of an upload are written. Lengths depend on how many there are, never on what they are.

    Values come in groups of ``counts`` values. They take ``group_bits`` for each group and ``value_bits`` for each value, whole
    bytes both. ``code``: the format's number in the upload's header, 0 to 255; 0 to 127 are cosim's.
    """

    @property
    def code(self) -> int: ...
    @property
    def value_bits(self) -> int: ...
    @property
    def group_bits(self) -> int: ...
    def write(self, values: Vector, counts: tuple[int, ...], rng: np.random.Generator) -> Bytes:
        """Raises ValueError for values that cannot be written, NaN and infinities among them."""
        ...

    def read(self, data: Bytes, counts: tuple[int, ...]) -> Vector:
        """The values that the receiver works with. Raises ValueError for what ``write`` does not write."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Steps:
    """How many steps of a round train the personal part alone, the shared part alone, and both at once; arrays (n,)."""

    personal: IntArray
    shared: IntArray
    joint: IntArray

    @property
    def total(self) -> IntArray:
        """All steps of each device."""
        return self.personal + self.shared + self.joint


class Trainer(Protocol):
    """Role ``trainer``: a device's local work. Costs are planned from its steps."""

    @property
    def batch_size(self) -> int: ...
    def check(self, parts: Parts, pruner: Pruner) -> None:
        """Raises ValueError where it cannot train such parts, or has not what the pruner needs; before any data are loaded."""
        ...

    def steps(self, samples: IntArray, *, personal: bool) -> Steps:
        """Steps of devices with so many training samples (n,), for a model with or without a ``personal`` part."""
        ...

    def together(self, parts: Parts) -> int:
        """How many devices' tasks ``train`` likes to get at once; 1 where it gains nothing by more."""
        ...

    def train(self, tasks: Sequence[LocalTask], rngs: Sequence[np.random.Generator]) -> list[LocalResult]:
        """Each task is one device's local work, with the device's own generator. Their networks may differ in width.

        A pure function of its arguments: called from several threads at once.
        """
        ...


class Pruner(Protocol):
    """Role ``pruner``: which weights matter, who decides it, and among which weights they compete.

    ``granularity``: whether single weights go or whole units; ``multiple``: of how many filters, see ``masking.Structured``. ``turning``:
    how the kept ones rotate. ``gradient_memory``: None where ``importance`` needs no gradient; else the share of the past in the running
    gradient, which the deciding side keeps.
    """

    @property
    def side(self) -> Literal["server", "device"]: ...
    @property
    def scope(self) -> Literal["layer", "global"]: ...
    @property
    def granularity(self) -> Literal["unstructured", "structured"]: ...
    @property
    def multiple(self) -> int: ...
    @property
    def turning(self) -> Rotation: ...
    @property
    def common(self) -> bool:
        """Whether importance is the same for all devices of a round: neither the device's own gradient nor drawn."""
        ...

    @property
    def gradient_memory(self) -> float | None: ...
    def importance(self, weights: Vector, gradient: Vector | None, rng: np.random.Generator) -> NDArray[np.floating]:
        """Importance (N,) of weights (N,): the least important are pruned. ``gradient``: NaN where not known yet."""
        ...


@final
@dataclass(frozen=True, slots=True)
class SharedUpdate:
    """An upload as its ``server`` sees it: u_k (N + M,), pruned entries zero, its mask as in ``LocalTask``, and its weight > 0."""

    shared: Vector
    mask: Mask
    weight: float
    server: int = 0


@final
@dataclass(frozen=True, slots=True)
class Merged:
    """The average (N + M,), and for each parameter how many of the devices kept it (N + M,)."""

    shared: Vector
    keepers: IntArray


class Aggregator(Protocol):
    """Role ``aggregator``."""

    def weights(self, samples: IntArray) -> FloatArray:
        """Weight of each device (n,) from its number of training samples; they sum to 1."""
        ...

    def merge(self, shared: Vector, updates: Iterable[SharedUpdate]) -> Merged:
        """The average of the updates, which come one by one in a fixed order; the old u where nobody kept a parameter."""
        ...


class ServerOptimizer(Protocol):
    """Role ``server_optimizer``: what the server makes of the average of the updates, and what it remembers from round to round."""

    def start(self, parameters: int) -> FloatArray:
        """The memory (k, N + M) before the first round; k may be 0."""
        ...

    def step(self, shared: Vector, merged: Merged, memory: FloatArray) -> tuple[Vector, FloatArray]:
        """The new u and the new memory; parameters that nobody kept stay."""
        ...
