"""What stored values mean: if the header does not say so, nothing is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless

from dcm_processor_service import Volume
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.pictures.contact_sheet import preview_volume
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.refusals import change, put, refused
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service.models.images.nifti import Engine

ENGINES: tuple[Engine, ...] = ("auto", "native", "dcm2niix", "dicom2nifti")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [None, "absent", 2, 65535])
@pytest.mark.parametrize("write", [single_frame, multi_frame])
def test_integers_whose_sign_nobody_knows_are_refused(
    tmp_path: Path, write: Callable[..., list[Path]], value: Any, engine: Engine
) -> None:
    def edit(ds: Dataset, _index: int = 0) -> None:
        if value == "absent":
            del ds.PixelRepresentation
        else:
            ds.PixelRepresentation = value

    paths = write(Recipe(), tmp_path)
    for path in paths:
        ds = dcmread(path)
        edit(ds)
        ds.save_as(path)
    refused(paths, "UNKNOWN_SIGN", "split")
    with pytest.raises(InvalidSeriesError, match="UNKNOWN_SIGN"):
        AutoConverter().convert(paths, tmp_path / "out.nii", engine=engine, policy="largest")


def test_floating_point_pixels_need_no_sign(tmp_path: Path) -> None:
    def edit(ds: Dataset, index: int) -> None:
        del ds.PixelRepresentation, ds.PixelData
        ds.BitsAllocated = 32
        ds.FloatPixelData = np.full((4, 5), index + 0.5, np.float32).tobytes()

    volume = read_volume(change(single_frame(Recipe(), tmp_path), edit))
    assert volume.array[0, 0].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


def test_rescales_beyond_64_bits_do_not_overflow(tmp_path: Path) -> None:
    slopes = tuple((f"{k + 1}e16", "0") for k in range(6))
    recipe = Recipe(rescale_per_slice=slopes)
    volume = read_volume(single_frame(recipe, tmp_path))
    np.testing.assert_allclose(volume.array, recipe.values[..., 0], rtol=1e-6)
    assert volume.array.dtype == np.float32


def test_rescales_beyond_32_bits_do_not_overflow(tmp_path: Path) -> None:
    recipe = Recipe(rescale_per_slice=tuple((str(100_000 * (k + 1)), "1") for k in range(6)))
    np.testing.assert_allclose(read_volume(single_frame(recipe, tmp_path)).array, recipe.values[..., 0], rtol=1e-6)


def test_bits_beyond_those_declared_that_count_in_other_slices_are_refused(tmp_path: Path) -> None:
    def fewer(ds: Dataset, index: int) -> None:
        if index == 2:
            ds.BitsStored, ds.HighBit = 12, 11

    paths = change(single_frame(Recipe(signed=False), tmp_path), fewer)
    uid = dcmread(paths[2]).SOPInstanceUID
    with pytest.raises(InvalidSeriesError, match=f"{uid} declares 12 bits of a value, but uses more"):
        read_volume(paths)


@pytest.mark.parametrize("signed", [True, False])
def test_fewer_bits_in_one_slice_are_right_where_its_values_fit(tmp_path: Path, *, signed: bool) -> None:
    recipe = Recipe(bits_stored=12, signed=signed)

    def more(ds: Dataset, index: int) -> None:
        if index != 2:
            ds.BitsStored, ds.HighBit = 16, 15
            values = recipe.stored[0, index].astype(recipe.dtype)
            ds.PixelData = values.tobytes()

    paths = change(single_frame(recipe, tmp_path), more)
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


def test_overlays_in_spare_bits_are_still_taken_away(tmp_path: Path) -> None:
    recipe = Recipe(bits_stored=12, signed=False)

    def overlay(ds: Dataset, _index: int) -> None:
        ds.PixelData = (np.frombuffer(ds.PixelData, "<u2") | 0xF000).astype("<u2").tobytes()

    paths = change(single_frame(recipe, tmp_path), overlay)
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


@pytest.mark.parametrize("engine", ENGINES)
def test_twice_the_pixels_that_are_declared_are_refused(tmp_path: Path, engine: Engine) -> None:
    def halve(ds: Dataset, _index: int) -> None:
        ds.Rows //= 2

    paths = change(single_frame(Recipe(), tmp_path), halve)
    refused(paths, "SURPLUS_PIXELS", "split")
    with pytest.raises(InvalidSeriesError, match="SURPLUS_PIXELS"):
        AutoConverter().convert(paths, tmp_path / "out.nii", engine=engine)


@pytest.mark.parametrize(("part", "is_one"), [(0.04, True), (0.06, False)])
def test_a_twentieth_more_than_the_pixels_is_padding(tmp_path: Path, part: float, *, is_one: bool) -> None:
    recipe = Recipe(columns=20, rows=20, slices=3)
    surplus = b"\0" * round(part * 20 * 20 * 2)
    paths = change(single_frame(recipe, tmp_path), lambda ds, _: setattr(ds, "PixelData", ds.PixelData + surplus))
    if is_one:
        np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])
    else:
        refused(paths, "SURPLUS_PIXELS", "largest")


@pytest.mark.parametrize("lost", [{"Rows": 63}, {"Columns": 47}, {"Rows": 62}, {"Columns": 46}], ids=repr)
def test_a_row_or_column_more_than_declared_is_no_padding(tmp_path: Path, lost: dict[str, int]) -> None:
    recipe = Recipe(columns=48, rows=64, slices=3)
    paths = single_frame(recipe, tmp_path)
    padded = change(paths, lambda ds, _: setattr(ds, "PixelData", ds.PixelData + bytes(2 * 48)))
    np.testing.assert_array_equal(read_volume(padded).array, recipe.values[..., 0])
    cut = change(padded, lambda ds, _: put(ds, {**lost, "PixelData": ds.PixelData[: -2 * 48]}))
    refused(cut, "SURPLUS_PIXELS", "largest")


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("bits", [12, 13])
def test_compressed_values_of_more_bits_than_declared_are_refused(tmp_path: Path, syntax: str, bits: int) -> None:
    def edit(ds: Dataset, index: int) -> None:
        values = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns).copy()
        values[1, 1] |= (index == 2) << (bits - 1)
        ds.BitsStored, ds.HighBit = 16, 15
        ds.compress(syntax, values, generate_instance_uid=False)
        ds.BitsStored, ds.HighBit = 12, 11

    recipe = Recipe(columns=70, rows=66, slices=3, bits_stored=11, signed=False)
    paths = change(single_frame(recipe, tmp_path), edit)
    if bits == 12:
        assert read_volume(paths).array[1, 1, 2] == recipe.values[1, 1, 2, 0] + 2048
    else:
        with pytest.raises(InvalidSeriesError, match="declares 12 bits of a value and uses more"):
            read_volume(paths)


def test_a_byte_of_padding_is_no_pixel(tmp_path: Path) -> None:
    recipe = Recipe(rows=3, columns=3, bits_allocated=8, bits_stored=8, signed=False)
    assert read_volume(single_frame(recipe, tmp_path)).shape == (3, 3, 6)


def philips(ds: Dataset, frame_block: int, scale_block: int) -> None:
    """Puts the scale slope where Philips does, in the blocks that this dataset reserves for it."""
    ds.Manufacturer = "Philips"
    item = Dataset()
    scaling = item.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    scaling.add_new(0x0D, "FL", 0.0)
    scaling.add_new(0x0E, "FL", 0.05)
    for block in range(0x10, frame_block):
        ds.add_new(0x20050000 | block, "LO", f"Philips Imaging DD {block:03}")
    ds.add_new(0x20050000 | frame_block, "LO", "Philips MR Imaging DD 005")
    ds.add_new(0x2005000F | frame_block << 8, "SQ", [item])
    assert scale_block


@pytest.mark.parametrize("block", [0x10, 0x11, 0x14, 0x20])
def test_philips_scaling_is_found_in_whatever_block_its_creator_reserved(tmp_path: Path, block: int) -> None:
    recipe = Recipe(modality="MR", signed=False, bits_stored=12, rescale=("1.5", "0"))
    paths = change(single_frame(recipe, tmp_path), lambda ds, _index: philips(ds, block, 0x10))
    volume = read_volume(paths)
    np.testing.assert_allclose(volume.array, recipe.stored[0].transpose(2, 1, 0) / 0.05, rtol=1e-5)
    assert "PHILIPS_SCALING" in inspect_series(paths).codes


def test_a_window_in_the_block_of_another_creator_is_no_frame_of_philips(tmp_path: Path) -> None:
    def edit(ds: Dataset, _index: int) -> None:
        ds.Manufacturer = "Philips"
        block = ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0F, "DS", "40")

    recipe = Recipe(modality="MR", rescale=("2", "0"))
    paths = change(single_frame(recipe, tmp_path), edit)
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


def nuclear(folder: Path, *, rescale: tuple[str, str] | None = None, **mapping: Any) -> Path:
    [path] = multi_frame(Recipe(slices=5, signed=False, modality="NM", rescale=None), folder)
    ds = dcmread(path)
    del ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.20")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    detector = Dataset()
    detector.ImageOrientationPatient, detector.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    ds.DetectorInformationSequence = [detector]
    ds.PixelSpacing, ds.SpacingBetweenSlices, ds.SliceVector = [1, 1], 2, [1, 2, 3, 4, 5]
    values, unit = Dataset(), Dataset()
    values.RealWorldValueSlope, values.RealWorldValueIntercept = 0.25, 0.0
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "{counts}/s", "UCUM", "counts per second"
    values.MeasurementUnitsCodeSequence = [unit]
    for keyword, value in mapping.items():
        setattr(values, keyword, value)
    ds.RealWorldValueMappingSequence = [values]
    if rescale:
        ds.RescaleSlope, ds.RescaleIntercept = rescale
    ds.save_as(path)
    return path


def test_nuclear_medicine_has_its_values_and_their_unit_from_the_real_world_mapping(tmp_path: Path) -> None:
    path = nuclear(tmp_path)
    volume = read_volume([path])
    np.testing.assert_allclose(volume.array, dcmread(path).pixel_array.transpose(2, 1, 0) * 0.25)
    assert (volume.rescale.slope, volume.rescale.unit) == (0.25, "{counts}/s")
    [finding] = [one for one in inspect_series([path]).findings if one.code == "REAL_WORLD_VALUES"]
    assert (finding.blocking, finding.count) == (False, 1)
    assert finding.message.endswith("has its values in a real world mapping, which the engine native applies")
    for engine in ("dcm2niix", "dicom2nifti"):  # these engines do not apply it
        with pytest.raises(InvalidSeriesError, match="REAL_WORLD_VALUES"):
            AutoConverter().convert([path], tmp_path / "out.nii", engine=engine)


def test_a_mapping_beside_a_rescale_is_left_and_said(tmp_path: Path) -> None:
    path = nuclear(tmp_path, rescale=("2", "0"))
    volume = read_volume([path])
    np.testing.assert_array_equal(volume.array, dcmread(path).pixel_array.astype(np.int64).transpose(2, 1, 0) * 2)
    assert volume.rescale.unit == ""
    assert {"REAL_WORLD_VALUES_LEFT"} & inspect_series([path]).codes


def test_a_mapping_that_is_a_table_is_left_and_said(tmp_path: Path) -> None:
    path = nuclear(tmp_path, RealWorldValueSlope=None, RealWorldValueLUTData=[0.0, 1.0])
    np.testing.assert_array_equal(read_volume([path]).array, dcmread(path).pixel_array.transpose(2, 1, 0))
    assert "REAL_WORLD_VALUES_LEFT" in inspect_series([path]).codes


def test_a_mapping_of_mr_is_not_looked_at(tmp_path: Path) -> None:
    """Philips and Siemens write a mapping that only repeats the rescale."""

    def edit(ds: Dataset, _index: int) -> None:
        values = Dataset()
        values.RealWorldValueSlope, values.RealWorldValueIntercept = 0.25, 0.0
        ds.RealWorldValueMappingSequence = [values]

    recipe = Recipe(modality="MR")
    paths = change(single_frame(recipe, tmp_path), edit)
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


def test_what_is_stored_as_a_negative_is_shown_as_it_is_meant(tmp_path: Path) -> None:
    recipe = Recipe(signed=False)
    plain = read_volume(single_frame(recipe, tmp_path))

    def invert(ds: Dataset, _index: int) -> None:
        ds.PhotometricInterpretation = "MONOCHROME1"
        ds.PixelData = (65535 - np.frombuffer(ds.PixelData, "<u2")).tobytes()

    (tmp_path / "n").mkdir()
    negative = read_volume(change(single_frame(recipe, tmp_path / "n"), invert))
    assert negative.is_monochrome1
    shown = negative.window(32767.5, 65535).astype(int)
    assert np.abs(shown - plain.window(32767.5, 65535)).max() <= 1
    assert shown.min() == 0
    assert negative.window(32767.5, 65535)[negative.array == 65535].max() == 0
    assert not negative.like(negative.array > 1).is_monochrome1
    assert negative.reorient("RAS").is_monochrome1


def test_a_contact_sheet_of_a_negative_is_that_of_the_positive() -> None:
    values = np.arange(64 * 64 * 8, dtype=np.int16).reshape(8, 64, 64).T % 256
    positive = Volume(values, np.eye(4))
    negative = Volume(255 - values, np.eye(4), is_monochrome1=True)
    assert preview_volume(negative, layout="grid") != preview_volume(Volume(255 - values, np.eye(4)), layout="grid")
    assert len(preview_volume(negative)) == pytest.approx(len(preview_volume(positive)), rel=0.1)
