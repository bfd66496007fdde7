"""Volumes as tensors and back, with stand-ins for torch and MONAI, which are too large for this environment.

``tests/integration/monai`` has the same with the real libraries.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.volumes.volume import SliceSource, Volume

AFFINE = np.array([[0.0, 0.5, 0.0, 10.0], [0.8, 0.0, 0.0, -20.0], [0.0, 0.0, -2.0, 30.0], [0.0, 0.0, 0.0, 1.0]])
RAS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
SHAPE = (6, 5, 4)


class Tensor:
    """The part of torch's tensor that is used; its numbers are available only on the CPU and without gradient."""

    def __init__(self, array: Any, dtype: str = "", stage: int = 0) -> None:
        self.array, self.stage, self.dtype = np.asarray(array), stage, dtype or f"torch.{np.asarray(array).dtype}"
        self.shape = self.array.shape

    def detach(self) -> Tensor:
        return Tensor(self.array, self.dtype, 1)

    def cpu(self) -> Tensor:
        return Tensor(self.array, self.dtype, self.stage and 2)

    def float(self) -> Tensor:
        return Tensor(self.array.astype(np.float32), "torch.float32", self.stage)

    def numpy(self) -> np.ndarray[Any, Any]:
        assert self.stage == 2
        assert self.dtype != "torch.bfloat16"
        return self.array


class MetaTensor(Tensor):
    """A tensor with an affine, like MONAI's."""

    def __init__(self, tensor: Tensor, affine: Tensor, meta: dict[str, Any]) -> None:
        super().__init__(tensor.array)
        self.affine, self.meta = affine, meta


Tensor.__module__, MetaTensor.__module__ = "torch", "monai.data.meta_tensor"


@pytest.fixture(autouse=True)
def _libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(from_numpy=Tensor))
    monkeypatch.setitem(sys.modules, "monai", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "monai.data", SimpleNamespace(MetaTensor=MetaTensor))


def volume(volumes: int = 0, dtype: str = "int16") -> Volume:
    shape = (*SHAPE, volumes) if volumes else SHAPE
    sources = tuple(tuple(SliceSource(f"1.{t}.{k}") for k in range(4)) for t in range(volumes or 1))
    return Volume(np.arange(np.prod(shape)).reshape(shape).astype(dtype), AFFINE, sources=sources)


@pytest.mark.parametrize("volumes", [0, 3])
def test_a_tensor_has_its_channels_first_and_a_place_in_ras(volumes: int) -> None:
    one = volume(volumes)
    tensor: Any = one.to_monai()
    assert tensor.array.dtype == np.float32
    expected = np.stack([one.array[..., t] for t in range(volumes)]) if volumes else one.array[None]
    np.testing.assert_array_equal(tensor.array, expected)
    np.testing.assert_allclose(tensor.affine.array, RAS)
    np.testing.assert_allclose(tensor.meta["original_affine"], RAS)
    assert tensor.meta["spatial_shape"].tolist() == list(SHAPE)
    assert (tensor.meta["space"], tensor.meta["original_channel_dim"]) == ("RAS", 0)


@pytest.mark.parametrize("dtype", ["int16", ">i2", "float64"])
def test_a_tensor_is_a_copy_in_the_type_that_is_asked_for(dtype: str) -> None:
    one = volume(dtype=dtype)
    tensor: Any = one.to_monai(dtype=None)
    assert tensor.array.dtype == np.dtype(dtype).newbyteorder("=")
    assert tensor.array.flags.c_contiguous
    assert not np.shares_memory(tensor.array, one.array)
    assert one.to_monai(dtype="float64").array.dtype == np.float64


@pytest.mark.parametrize("dtype", ["", "torch.bfloat16"])
def test_a_plain_tensor_takes_the_place_of_the_volume(dtype: str) -> None:
    one = volume()
    mask = (one.array > 7).astype(np.float32)
    made = one.like(Tensor(mask[None], dtype))
    np.testing.assert_array_equal(made.array, mask)
    assert (made.sources, made.affine_lps.tolist()) == (one.sources, AFFINE.tolist())
    several = one.like(Tensor(np.stack([mask, 1 - mask]), dtype))
    np.testing.assert_array_equal(several.array, np.stack([mask, 1 - mask], axis=-1))
    with pytest.raises(UnsupportedValueError, match="axes"):
        one.like(Tensor(mask[None, None], dtype))


@pytest.mark.parametrize(("space", "affine"), [("RAS", RAS), ("", RAS), ("lps", AFFINE)])
@pytest.mark.parametrize("moved", [False, True])
def test_a_tensor_with_a_place_lies_where_it_says(space: str, affine: Any, *, moved: bool) -> None:
    one = volume()
    shift = np.eye(4)
    shift[2, 3] = 1.5 * moved
    meta = {"space": space} if space else {}
    made = one.like(MetaTensor(Tensor(one.array[None]), Tensor(shift @ affine), meta))
    np.testing.assert_allclose(made.affine_lps, shift @ AFFINE)
    assert made.sources == (() if moved else one.sources)
    with pytest.raises(UnsupportedValueError, match=r"the affine of volume.to_monai\(\)"):
        one.like(MetaTensor(Tensor(one.array[None]), Tensor(np.eye(4)), {"space": "RAS"}))
