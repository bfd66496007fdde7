"""Tables instead of slope and intercept (PS3.3, section C.11.1), compared with pydicom's results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.refusals import change, in_slice_order, packaged, refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from pathlib import Path

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def table(ds: Dataset, first: int, entries: Any, bits: int = 16, vr: str = "US", size: int | None = None) -> None:
    item = Dataset()
    item.add_new(
        "LUTDescriptor", "SS" if ds.PixelRepresentation else "US", [len(entries) if size is None else size, first, bits]
    )
    item.ModalityLUTType = "HU"
    order = ">" if ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else "<"
    item.add_new("LUTData", vr, np.array(entries, f"{order}u2").tobytes() if vr == "OW" else list(map(int, entries)))
    ds.ModalityLUTSequence = [item]


def by_pydicom(paths: list[Path]) -> np.ndarray[Any, Any]:
    slices = [dcmread(path) for path in in_slice_order(paths)]
    return np.stack([apply_modality_lut(ds.pixel_array, ds).T for ds in slices], axis=2)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize(("signed", "first"), [(True, -2048), (True, -100), (True, 50), (False, 0), (False, 4000)])
def test_values_are_those_of_the_table(tmp_path: Path, syntax: str, vr: str, *, signed: bool, first: int) -> None:
    recipe = Recipe(bits_stored=12, signed=signed, syntax=syntax)
    entries = np.random.default_rng(1).integers(0, 65536, 3000)
    paths = change(single_frame(recipe, tmp_path), lambda ds, _: table(ds, first, entries, vr=vr))
    volume = read_volume(paths)
    index = np.clip(recipe.values[..., 0].astype(int) - first, 0, 2999)
    np.testing.assert_array_equal(volume.array, entries[index])
    np.testing.assert_array_equal(volume.array, by_pydicom(paths))
    assert (volume.rescale.unit, volume.rescale.by_table, volume.rescale.slope) == ("HU", True, 1.0)
    assert str(volume.array.dtype) == inspect_series(paths).parts[0].voxel_type == "uint16"


def test_sixteen_bits_have_as_many_entries_as_zero_says(tmp_path: Path) -> None:
    recipe = Recipe(bits_stored=16, signed=False)
    entries = np.arange(65536)[::-1]
    paths = change(single_frame(recipe, tmp_path), lambda ds, _: table(ds, 0, entries, vr="OW", size=0))
    np.testing.assert_array_equal(read_volume(paths).array, 65535 - recipe.values[..., 0])


@pytest.mark.parametrize("packed", [True, False])
def test_eight_bits_alone_or_in_sixteen(tmp_path: Path, *, packed: bool) -> None:
    recipe = Recipe(bits_stored=8, bits_allocated=8, signed=False)
    entries = np.arange(255)[::-1].astype(np.uint8)

    def edit(ds: Dataset, _: int) -> None:
        table(ds, 0, entries, bits=8, vr="OW")
        if packed:
            ds.ModalityLUTSequence[0].LUTData = entries.tobytes() + b"\0"

    paths = change(single_frame(recipe, tmp_path), edit)
    expected = 254 - np.minimum(recipe.values[..., 0], 254)
    volume = read_volume(paths)
    np.testing.assert_array_equal(volume.array, expected)
    assert volume.array.dtype == np.uint8


def test_the_real_table_of_pydicoms_test_file(tmp_path: Path) -> None:
    original = dcmread(packaged("mlut_18.dcm"))
    paths = []
    for k in range(3):
        original.ImageOrientationPatient, original.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, k]
        original.PixelSpacing, original.SOPInstanceUID = [1, 1], f"1.2.{k}"
        original.save_as(tmp_path / f"{k}.dcm")
        paths.append(tmp_path / f"{k}.dcm")
    np.testing.assert_array_equal(read_volume(paths).array, by_pydicom(paths))


def test_tables_of_their_own_and_rescales_may_mix(tmp_path: Path) -> None:
    def edit(ds: Dataset, index: int) -> None:
        if index < 4:
            table(ds, -2048, np.arange(4096) // (index + 1))
        else:
            ds.RescaleSlope, ds.RescaleIntercept = "0.5", "-3"

    recipe = Recipe(bits_stored=12)
    paths = change(single_frame(recipe, tmp_path), edit)
    volume = read_volume(paths)
    for k in range(4):
        np.testing.assert_array_equal(volume.array[:, :, k], (recipe.values[:, :, k, 0] + 2048) // (k + 1))
    np.testing.assert_array_equal(volume.array[:, :, 5], recipe.values[:, :, 5, 0] * 0.5 - 3)
    assert volume.rescale.varies
    assert "MIXED_RESCALE" in inspect_series(paths).codes


@pytest.mark.parametrize("fault", ["both", "two tables", "short", "depth", "spare bits", "descriptor", "no data"])
def test_tables_that_contradict_or_cannot_be_read(tmp_path: Path, fault: str) -> None:
    def edit(ds: Dataset, _: int) -> None:
        table(ds, 0, range(4096), bits=32 if fault == "depth" else 16, size=5000 if fault == "short" else None)
        item = ds.ModalityLUTSequence[0]
        if fault == "both":
            ds.RescaleSlope, ds.RescaleIntercept = "2", "0"
        elif fault == "spare bits":
            item.LUTDescriptor = [4096, 0, 11]
        elif fault == "two tables":
            ds.ModalityLUTSequence = [item, item]
        elif fault == "descriptor":
            item.LUTDescriptor = [4096, 0]
        elif fault == "no data":
            del item.LUTData

    refused(change(single_frame(Recipe(signed=False), tmp_path), edit), "INVALID_MODALITY_LUT", "split")


def test_a_rescale_that_changes_nothing_contradicts_nothing(tmp_path: Path) -> None:
    def edit(ds: Dataset, _: int) -> None:
        table(ds, 0, range(100))
        ds.RescaleSlope, ds.RescaleIntercept = "1", "0"

    recipe = Recipe(signed=False)
    paths = change(single_frame(recipe, tmp_path), edit)
    np.testing.assert_array_equal(read_volume(paths).array, np.minimum(recipe.values[..., 0], 99))


@pytest.mark.parametrize("engine", ["dcm2niix", "dicom2nifti"])
def test_engines_that_leave_tables_out_are_not_run(tmp_path: Path, engine: Any) -> None:
    paths = change(single_frame(Recipe(signed=False), tmp_path), lambda ds, _: table(ds, 0, range(100)))
    with pytest.raises(InvalidSeriesError, match=r"MODALITY_LUT: .* native"):
        AutoConverter().convert(paths, tmp_path / "x.nii", engine=engine)
    assert AutoConverter().convert(paths, tmp_path / "out" / "x.nii").engine == "native"
