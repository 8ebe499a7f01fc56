"""Models: what chain of layers a kind means for images of a given shape."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, final

from pydantic import Field

from cosim.component import Component, quantity
from cosim.learn.layers import Layer

Width = Annotated[int, Field(ge=1, le=65_536)]


@final
class CNN(Component):
    """LeNet-like network: two convolutions with 2 x 2 max pooling, then two dense layers.

    For 28 x 28 grey images and 10 classes the default has 80,330 parameters and takes 0.79 MFLOP per sample forward:
    8 x 24 x 24 -> pool -> 8 x 12 x 12 -> 16 x 8 x 8 -> pool -> 16 x 4 x 4 -> 288 -> 10.
    After LeCun et al., Proc. IEEE 86(11), 1998 (with max pooling and ReLU).
    """

    filters: tuple[Width, Width] = quantity((8, 16), "", "output channels of the two convolutions", strict=False)
    kernel: int = quantity(5, "", "height and width of the convolutions' kernels", ge=1, le=64)
    hidden: int = quantity(288, "", "units of the hidden dense layer", ge=1, le=65_536)

    def layers(self, image_shape: tuple[int, int, int], classes: int) -> tuple[Layer, ...]:
        """The chain for images (channels, height, width). Raises ValueError where they are too small for the kernel."""
        channels, height, width = image_shape
        chain: list[Layer] = []
        for filters in self.filters:
            height, width = height - self.kernel + 1, width - self.kernel + 1
            if min(height, width) < 2:
                raise ValueError(f"model.kernel = {self.kernel} is too large for images of {image_shape[1]} x {image_shape[2]} pixels")
            chain.append(Layer((filters, channels, self.kernel, self.kernel), positions=height * width, pool=2))
            channels, height, width = filters, height // 2, width // 2
        hidden = Layer((self.hidden, channels * height * width))
        return (*chain, hidden, Layer((classes, self.hidden), relu=False))


@final
class MLP(Component):
    """Dense layers with ReLU between them; no hidden layers: multinomial logistic regression."""

    hidden: tuple[Width, ...] = quantity((100,), "", "units of each hidden layer", strict=False)

    def layers(self, image_shape: tuple[int, int, int], classes: int) -> tuple[Layer, ...]:
        """The chain for images (channels, height, width)."""
        channels, height, width = image_shape
        widths = (channels * height * width, *self.hidden, classes)
        return tuple(
            Layer((after, before), relu=after_index < len(widths) - 1) for after_index, (before, after) in enumerate(pairwise(widths), 1)
        )
