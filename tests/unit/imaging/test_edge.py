"""Whatever a file or an argument contains, public functions raise only errors of this package."""

from __future__ import annotations

import importlib
import random
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from dcm_processor_service import Volume
from dcm_processor_service.errors import DcmProcessorError, DicomError, InvalidSeriesError, UnsupportedValueError
from dcm_processor_service.imaging.headers.instance_file import foreign_errors_as, read_dataset, read_header
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.pictures.series_sheet import preview_series
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.unit.imaging.refusals import packaged
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MUTATIONS = 30
VOLUME = Volume(np.zeros((4, 3, 2), np.int16), np.diag([0.5, 0.5, 2.0, 1.0]))


def sources(folder: Path) -> Iterator[bytes]:
    [path] = single_frame(Recipe(slices=1, rows=70, columns=66, rescale=("1", "-5")), folder)
    yield path.read_bytes()
    for uid in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        ds = dcmread(path)
        ds.compress(uid, generate_instance_uid=False)
        ds.save_as(folder / "c.dcm")
        yield (folder / "c.dcm").read_bytes()
    yield multi_frame(Recipe(slices=3, volumes=2), folder)[0].read_bytes()
    for name in ("JPEG-LL.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm", "image_dfl.dcm", "rtdose_rle.dcm", "ExplVR_BigEnd.dcm"):
        yield packaged(name).read_bytes()


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """Changes, removes or inserts a few bytes, in the header as often as in the pixels."""
    damaged = bytearray(whole)
    for _ in range(chance.randint(1, 6)):
        end = min(len(damaged), chance.choice((1500, len(damaged))))
        place = chance.randrange(132, end)
        damaged[place : place + chance.choice((0, 1, 1, 2, 30))] = chance.randbytes(chance.choice((0, 1, 1, 2, 7)))
    return bytes(damaged)


def doors(path: Path, out: Path) -> list[Callable[[], object]]:
    return [
        lambda: inspect_series([path]),
        lambda: read_header(path),
        lambda: read_dataset(path),
        lambda: read_volumes([path], "split"),
        lambda: preview_series([path]),
        lambda: AutoConverter().convert([path], out / "out.nii", engine="native", policy="largest"),
    ]


@pytest.mark.parametrize("source", range(10))
def test_damaged_files_raise_typed_errors_alone(tmp_path: Path, source: int) -> None:
    """Seeds are fixed, so that a fault that was found once is found again."""
    whole = list(sources(tmp_path))[source]
    chance = random.Random(source)
    path = tmp_path / "x.dcm"
    refused = 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(whole, chance))
        for door in doors(path, tmp_path):
            try:
                door()
            except DcmProcessorError:
                refused += 1
    assert refused


@pytest.mark.parametrize("what", [None, "abc", 5, object(), [[1, 2], [3]], np.array([["a"]]), np.zeros((2, 2), object)])
def test_arrays_that_make_no_volume_are_refused(what: Any) -> None:
    with pytest.raises(UnsupportedValueError):
        VOLUME.like(what)


@pytest.mark.parametrize("spacing", ["abc", None, (1, 2), (1, 2, "x"), -1, (1, 2, float("nan")), 1e-9])
def test_values_that_are_no_spacing_are_refused(spacing: Any) -> None:
    with pytest.raises(UnsupportedValueError):
        VOLUME.resample(spacing)


@pytest.mark.parametrize("axes", [None, 5, "", "RAR", "xyz", ["R", "A", "S"]])
def test_values_that_name_no_axes_are_refused(axes: Any) -> None:
    with pytest.raises(UnsupportedValueError):
        VOLUME.reorient(axes)


def test_an_image_whose_file_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii"
    nib.nifti1.Nifti1Image(np.zeros((4, 3, 2), np.uint8), VOLUME.affine("RAS")).to_filename(path)
    image = nib.nifti1.Nifti1Image.from_filename(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UnsupportedValueError, match="like") as caught:
        VOLUME.like(image)
    assert isinstance(caught.value.__cause__, (OSError, ValueError))


def test_more_memory_than_there_is_is_a_refusal(tmp_path: Path) -> None:
    big = Volume(np.lib.stride_tricks.as_strided(np.zeros(1), (1 << 20, 1 << 20, 1 << 5), (0, 0, 0)), np.eye(4))
    with pytest.raises(UnsupportedValueError, match="more memory") as caught:
        big.window(0, 1)
    assert isinstance(caught.value.__cause__, MemoryError)
    assert tmp_path.exists()


def test_a_panic_of_rust_is_a_foreign_error() -> None:
    decode_segment = importlib.import_module("rle.rle").decode_segment
    with pytest.raises(InvalidSeriesError, match="told"), foreign_errors_as(lambda: InvalidSeriesError("told")):
        decode_segment(b"")
    with pytest.raises(KeyboardInterrupt), foreign_errors_as(lambda: InvalidSeriesError("told")):
        raise KeyboardInterrupt


def test_the_cause_of_a_refusal_is_kept(tmp_path: Path) -> None:
    ds = dcmread(packaged("MR_small_RLE.dcm"))
    ds.PixelData = ds.PixelData[:16] + b"\xff" * (len(ds.PixelData) - 24) + ds.PixelData[-8:]
    ds["PixelData"].is_undefined_length = True
    ds.save_as(tmp_path / "x.dcm")
    with pytest.raises(DicomError, match="cannot be decoded"):
        read_volumes([tmp_path / "x.dcm"], "largest")
