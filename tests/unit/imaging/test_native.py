"""Encoded frames of a dataset are replaced by decoded ones."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from dcm_processor_service.imaging.decoding import native
from dcm_processor_service.imaging.decoding.native import put_frames


def encoded(bits: int, samples: int = 1) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.BitsAllocated, dataset.SamplesPerPixel = bits, samples
    if samples > 1:
        dataset.PlanarConfiguration = 1
    dataset.ExtendedOffsetTable = dataset.ExtendedOffsetTableLengths = b"\0" * 8
    dataset.PixelData = b"encoded"
    dataset["PixelData"].is_undefined_length = True
    return dataset


@pytest.mark.parametrize(("bits", "samples", "vr"), [(8, 1, "OB"), (16, 1, "OW"), (8, 3, "OB")])
def test_a_dataset_says_that_its_pixels_are_native(bits: int, samples: int, vr: str) -> None:
    shape = (3, 3, 3) if samples > 1 else (3, 3)
    frames = [np.full(shape, value, np.dtype(f"u{bits // 8}")) for value in (1, 2, 3)]
    dataset = encoded(bits, samples)
    put_frames(dataset, iter(frames))
    element = dataset["PixelData"]
    assert (element.VR, element.is_undefined_length) == (vr, False)
    assert element.value == b"".join(frame.tobytes() for frame in frames) + b"\0" * (bits == 8)
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert dataset.get("PlanarConfiguration", 0) == 0
    assert "ExtendedOffsetTable" not in dataset
    assert "ExtendedOffsetTableLengths" not in dataset


def test_more_than_native_pixel_data_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_MOST_BYTES", 8)
    dataset = encoded(8)
    with pytest.raises(ValueError, match="4 GB"):
        put_frames(dataset, [np.zeros((3, 3), np.uint8)])
    assert dataset.PixelData == b"encoded"
