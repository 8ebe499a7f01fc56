"""Tensors of several devices side by side, so that what becomes of one does not depend on who else is there.

Matrix libraries sum a product in another order where a matrix begins elsewhere in a cache line. So all devices' parts of a tensor begin at
the same place of a line, however many they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

_LINE_BYTES: Final = 64


def side_by_side(shape: Sequence[int], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor (devices, ...) that is not filled yet; each device's part is contiguous and begins with a cache line."""
    size, line = math.prod(shape[1:]), _LINE_BYTES // dtype.itemsize
    return torch.empty((shape[0], -(-size // line) * line), dtype=dtype, device=device)[:, :size].view(*shape)


def placed(tensor: Tensor) -> Tensor:
    """The tensor, copied if its devices' parts lie otherwise."""
    line = _LINE_BYTES // tensor.element_size()
    if tensor.stride(0) % line == 0 and tensor.data_ptr() % _LINE_BYTES == 0:
        return tensor
    return side_by_side(tensor.shape, tensor.device, tensor.dtype).copy_(tensor)
