"""Models: what network a kind means for samples of a given shape."""

from __future__ import annotations

import importlib
from dataclasses import replace
from math import prod
from typing import Annotated, Any, final

from pydantic import Field

from cosim.component import Component, quantity
from cosim.errors import ScenarioError
from cosim.learn.chain import Chain, Network
from cosim.learn.layers import Layer, Shape, convolution, dense

Width = Annotated[int, Field(ge=1, le=65_536)]


@final
class CNN(Component):
    """LeNet-like network: two convolutions with 2 x 2 max pooling, then two dense layers: conv1, conv2, fc1, fc2.

    For 28 x 28 grey images and 10 classes the default has 80,330 parameters and takes 0.79 MFLOP per sample forward:
    8 x 24 x 24 -> pool -> 8 x 12 x 12 -> 16 x 8 x 8 -> pool -> 16 x 4 x 4 -> 288 -> 10.
    After LeCun et al., Proc. IEEE 86(11), 1998 (with max pooling and ReLU).
    """

    filters: tuple[Width, Width] = quantity((8, 16), "", "output channels of the two convolutions", strict=False)
    kernel: int = quantity(5, "", "height and width of the convolutions' kernels", ge=1, le=64)
    hidden: int = quantity(288, "", "units of the hidden dense layer", ge=1, le=65_536)

    def network(self, input_shape: Shape, classes: int) -> Chain:
        """For images (channels, height, width). Raises ValueError where they are too small for the kernel."""
        first = convolution("conv1", _image(input_shape), self.filters[0], self.kernel, pool=2)
        second = convolution("conv2", first.output_shape, self.filters[1], self.kernel, pool=2)
        hidden = dense("fc1", second.output_shape, self.hidden)
        return Chain((first, second, hidden, dense("fc2", hidden.output_shape, classes, relu=False)))


@final
class MLP(Component):
    """Dense layers fc1, fc2, ... with ReLU between them; no hidden layers: multinomial logistic regression."""

    hidden: tuple[Width, ...] = quantity((100,), "", "units of each hidden layer", strict=False)

    def network(self, input_shape: Shape, classes: int) -> Chain:
        """For samples of any shape."""
        widths = (*self.hidden, classes)
        shapes = (input_shape, *((width,) for width in self.hidden))
        return Chain(tuple(dense(f"fc{i}", shapes[i - 1], width, relu=i < len(widths)) for i, width in enumerate(widths, 1)))


@final
class ResNet(Component):
    """Residual network with 6 n + 2 layers: conv1, then three stages of n blocks of two 3 x 3 convolutions, then ``fc``.

    Stages have ``width``, 2 ``width`` and 4 ``width`` channels, the second and third at half and a quarter of the resolution; shortcuts
    have no parameters (option A); then global average pooling. Layers: stage2.block1.conv1 and so on. With width 16 and 3-channel
    32 x 32 images depth 20 has 0.27 million parameters. Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
    sec. 4.2; group normalisation in place of batch normalisation, whose running averages do not suit federated data (Hsieh et al., "The
    Non-IID Data Quagmire of Decentralized Machine Learning", ICML 2020).
    """

    depth: int = quantity(8, "", "layers: 8, 14, 20, ... = 6 n + 2", ge=8, le=1202)
    width: int = quantity(16, "", "channels of the first stage", ge=1, le=4096)
    groups: int = quantity(8, "", "groups of channels that are normalised together; must divide the width", ge=1, le=4096)

    def network(self, input_shape: Shape, classes: int) -> Chain:
        """For images (channels, height, width)."""
        if self.depth % 6 != 2:
            raise ValueError(f"model.depth = {self.depth}: a residual network has 6 n + 2 layers: 8, 14, 20, ...")
        if self.width % self.groups:
            raise ValueError(f"model.groups = {self.groups}: must divide model.width = {self.width}")
        layers = [convolution("conv1", _image(input_shape), self.width, 3, padding=1, groups=self.groups)]
        for stage in (1, 2, 3):
            for block in range(1, self.depth // 6 + 1):
                name, filters = f"stage{stage}.block{block}", self.width * 2 ** (stage - 1)
                layers += self._block(name, layers[-1], filters, 2 if stage > 1 and block == 1 else 1, source=len(layers) - 1)
        last = replace(layers[-1], average=0)
        return Chain((*layers[:-1], last, dense("fc", last.output_shape, classes, relu=False)))

    def _block(self, name: str, before: Layer, filters: int, stride: int, *, source: int) -> tuple[Layer, Layer]:
        first = convolution(f"{name}.conv1", before.output_shape, filters, 3, stride=stride, padding=1, groups=self.groups)
        second = convolution(f"{name}.conv2", first.output_shape, filters, 3, padding=1, groups=self.groups, residual=source)
        return first, second


@final
class CNN1D(Component):
    """Small network for series: two convolutions conv1, conv2 with max pooling in time, the average over time, then ``fc``."""

    filters: tuple[Width, Width] = quantity((16, 32), "", "output channels of the two convolutions", strict=False)
    kernel: int = quantity(5, "", "length of the convolutions' kernels, in samples", ge=1, le=4096)
    pool: int = quantity(2, "", "samples that max pooling after each convolution joins", ge=1, le=4096)

    def network(self, input_shape: Shape, classes: int) -> Chain:
        """For series (channels, length); samples of any other shape are read as one channel. Raises ValueError where they are too short."""
        first = convolution("conv1", _series(input_shape), self.filters[0], self.kernel, pool=self.pool)
        second = convolution("conv2", first.output_shape, self.filters[1], self.kernel, pool=self.pool, average=0)
        return Chain((first, second, dense("fc", second.output_shape, classes, relu=False)))


@final
class TorchModule(Component):
    """Any ``torch.nn.Module`` of yours: ``factory: "my_package.module:make"`` names a function of (input_shape, classes) that makes it.

    That module is imported, and so its code runs. Its parameters with two or more dimensions can be pruned. Modules that change
    buffers in training (batch normalisation) or draw random numbers (dropout) are refused.
    """

    factory: str = quantity(..., "", 'function that makes the module: "my_package.module:make"', pattern=r"^[\w.]+:\w+$")

    def network(self, input_shape: Shape, classes: int) -> Network:
        """Make it and measure it. Raises ValueError where it cannot be imported, made or used."""
        from cosim.learn.modules import ModuleNetwork

        place, _, name = self.factory.partition(":")
        try:
            make: Any = getattr(importlib.import_module(place), name)
        except Exception as error:
            raise ValueError(f"model.factory = {self.factory}: {type(error).__name__}: {error}") from error
        try:
            return ModuleNetwork(lambda: make(input_shape, classes), input_shape, classes)
        except ScenarioError as error:
            raise ValueError(f"model.factory = {self.factory}: {error}") from error


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError(f"this model takes images (channels, height, width); the data's samples have shape {shape}: use mlp or cnn1d")
    return shape


def _series(shape: Shape) -> Shape:
    return shape if len(shape) == 2 else (1, prod(shape))
