"""Slices of one volume with different rescales, and mappings that are not applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ParametricMapStorage

from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from tests.unit.imaging.refusals import change, put, refused
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.models.images.nifti import Policy

POLICIES = ("strict", "split", "largest", "resample")


def mapping(slope: float = 0.25, unit: str = "Bq/ml") -> Dataset:
    made, code = Dataset(), Dataset()
    made.RealWorldValueSlope, made.RealWorldValueIntercept, made.LUTLabel = slope, 0.0, "LABEL"
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    made.MeasurementUnitsCodeSequence = [code]
    return made


def philips(ds: Dataset, scale: float) -> None:
    ds.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
    ds.add_new(0x2005100E, "FL", scale)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("lost", ["scale", "maker", "number"])
def test_slices_with_and_without_the_precise_scale_are_refused(tmp_path: Path, policy: Policy, lost: str) -> None:
    def edit(ds: Dataset, index: int) -> None:
        put(ds, {"Manufacturer": "Philips Medical Systems", "RescaleSlope": "2", "RescaleIntercept": "0"})
        if index != 2 or lost != "scale":
            philips(ds, float("nan") if index == 2 and lost == "number" else 0.05)
        if index == 2 and lost == "maker":
            ds.Manufacturer = "ANOTHER"

    report = refused(change(single_frame(Recipe(modality="MR"), tmp_path), edit), "MISSING_RESCALE", policy)
    [finding] = [one for one in report.findings if one.code == "MISSING_RESCALE"]
    assert finding.message == (
        "1 of 6 slices without the precise scale of Philips that the others have, so the values cannot be compared: "
        "get them again"
    )
    assert (finding.count, len(finding.sop_instance_uids)) == (1, 1)


@pytest.mark.parametrize("policy", POLICIES)
def test_slices_with_and_without_the_mapping_that_is_applied_are_refused(tmp_path: Path, policy: Policy) -> None:
    def edit(ds: Dataset, index: int) -> None:
        if index != 2:
            ds.RealWorldValueMappingSequence = [mapping()]

    refused(change(single_frame(Recipe(modality="PT"), tmp_path), edit), "MISSING_RESCALE", policy)


def test_frames_of_a_map_with_and_without_a_mapping_are_refused(tmp_path: Path) -> None:
    [path] = multi_frame(Recipe(modality="MR"), tmp_path)
    ds = dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = ParametricMapStorage
    for index, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        if index != 2:
            group.RealWorldValueMappingSequence = [mapping(2.0)]
    ds.save_as(path)
    refused([path], "MISSING_RESCALE")


def test_slices_of_two_mapped_units_are_two_volumes(tmp_path: Path) -> None:
    def edit(ds: Dataset, index: int) -> None:
        ds.RealWorldValueMappingSequence = [mapping(unit="Bq/ml" if index < 3 else "{SUVbw}g/ml")]

    paths = change(single_frame(Recipe(modality="PT"), tmp_path), edit)
    refused(paths, "MIXED_UNITS")
    parts = read_volumes(paths, "split")
    assert sorted((part.name, part.rescale.unit, part.shape[2]) for part in parts) == [
        ("unit-1", "Bq/ml", 3),
        ("unit-2", "{SUVbw}g/ml", 3),
    ]


@pytest.mark.parametrize("place", ["frame", "shared", "top"])
def test_an_enhanced_pet_without_a_rescale_means_what_its_mapping_says(tmp_path: Path, place: str) -> None:
    [path] = multi_frame(Recipe(modality="PT"), tmp_path)
    ds = dcmread(path)
    shared, frames = [*ds.SharedFunctionalGroupsSequence], [*ds.PerFrameFunctionalGroupsSequence]
    for where in {"frame": frames, "shared": shared, "top": [ds]}[place]:
        where.RealWorldValueMappingSequence = [mapping()]
    ds.save_as(path)
    volume = read_volume([path])
    np.testing.assert_allclose(volume.array, Recipe(modality="PT").values[..., 0] * 0.25)
    assert volume.rescale.unit == "Bq/ml"
    assert "REAL_WORLD_VALUES" in inspect_series([path]).codes


@pytest.mark.parametrize(
    ("modality", "slope", "is_said"), [("MR", 0.25, True), ("CT", 0.25, True), ("MR", 1.0, False), ("CT", 1.0, False)]
)
@pytest.mark.parametrize("is_enhanced", [False, True])
def test_a_mapping_to_other_values_that_is_not_applied_is_reported(
    tmp_path: Path, modality: str, slope: float, *, is_said: bool, is_enhanced: bool
) -> None:
    recipe = Recipe(modality=modality)
    paths = (multi_frame if is_enhanced else single_frame)(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        place = ds.SharedFunctionalGroupsSequence[0] if is_enhanced else ds
        place.RealWorldValueMappingSequence = [mapping(slope, "ms")]
        ds.save_as(path)
    found = [one for one in inspect_series(paths).findings if one.code == "REAL_WORLD_VALUES_LEFT"]
    assert [(one.blocking, one.count) for one in found] == ([(False, len(paths))] if is_said else [])
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


@pytest.mark.parametrize(
    ("stated", "unit"),
    [
        ({"RescaleType": "US", "Units": "BQML"}, "BQML"),
        ({"RescaleType": "BQML", "Units": "CNTS"}, "CNTS"),
        ({"RescaleType": "BQML"}, "BQML"),
        ({"RescaleType": "US"}, ""),
    ],
    ids=["unspecified", "unlike", "alone", "none"],
)
def test_units_of_pet_count_more_than_its_type_of_rescale(tmp_path: Path, stated: dict[str, Any], unit: str) -> None:
    paths = change(single_frame(Recipe(modality="PT", rescale=("2", "0")), tmp_path), lambda ds, _: put(ds, stated))
    assert read_volume(paths).rescale.unit == unit


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize(
    ("modality", "stated", "lost", "unit"),
    [
        ("CT", {}, [], "HU"),
        ("CT", {}, ["RescaleSlope", "RescaleIntercept"], ""),
        ("CT", {"RescaleType": "HU"}, ["RescaleSlope", "RescaleIntercept"], ""),
        ("CT", {}, ["RescaleIntercept"], ""),
        ("PT", {"Units": "BQML"}, ["RescaleIntercept"], "BQML"),
        ("PT", {"Units": "BQML"}, ["RescaleSlope", "RescaleIntercept"], ""),
        ("MR", {"RescaleType": "Hz"}, ["RescaleSlope", "RescaleIntercept"], "Hz"),
    ],
)
def test_a_ct_or_pet_without_its_rescale_has_no_unit(
    tmp_path: Path, modality: str, stated: dict[str, str], lost: list[str], unit: str, *, frames: bool
) -> None:
    recipe = Recipe(modality=modality, rescale=("2", "0"), extra=stated)
    paths = (multi_frame if frames else single_frame)(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        groups = [ds, *ds.get("SharedFunctionalGroupsSequence", ()), *ds.get("PerFrameFunctionalGroupsSequence", ())]
        for place in [*groups, *(one for ds in groups for one in ds.get("PixelValueTransformationSequence", ()))]:
            for keyword in lost:
                place.pop(keyword, None)
            if place is not ds and "RescaleType" in place:
                del place.RescaleType
        ds.save_as(path)
    volume = read_volume(paths)
    assert volume.rescale.unit == unit
    slope = 1 if "RescaleSlope" in lost else 2
    np.testing.assert_array_equal(volume.array, recipe.stored[0].transpose(2, 1, 0) * slope)


@pytest.mark.parametrize(("slopes", "is_refused"), [("1\\2", True), ("1\\1", False)])
def test_a_slope_of_two_values_is_refused(tmp_path: Path, slopes: str, *, is_refused: bool) -> None:
    def edit(ds: Dataset, _index: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = slopes.split("\\"), "0"

    paths = change(single_frame(Recipe(), tmp_path), edit)
    assert ("INVALID_RESCALE" in inspect_series(paths).codes) is is_refused


def halves(slope: str | None = None, intercept: str | None = None) -> list[Dataset]:
    """A sequence of one item, with a slope, an intercept or both."""
    made = Dataset()
    if slope is not None:
        made.RescaleSlope = slope
    if intercept is not None:
        made.RescaleIntercept = intercept
    return [made]


@pytest.mark.parametrize(
    ("frame", "shared", "top", "expected"),
    [
        (halves("2", "5"), [], [], (2, 5)),
        ([], halves("2", "5"), [], (2, 5)),
        ([], [], halves("2", "5"), (2, 5)),
        (halves("2", "5"), halves("3", "7"), halves("1", "-1024"), (2, 5)),
        (halves("2"), [], [], (2, 0)),
        (halves("2"), [], halves("1", "0"), (2, 0)),
        (halves("2"), [], halves("1", "-1024"), None),
        (halves(None, "5"), halves("2"), [], None),
        (halves(None, "5"), [], halves("2", "0"), None),
        (halves(None, "5"), [], [], None),
        ([*halves("2", "5"), *halves("3", "5")], [], [], None),
        ([*halves("2", "5"), *halves("2", "5")], [], [], (2, 5)),
    ],
)
def test_a_rescale_is_whole_in_one_place_or_refused(
    tmp_path: Path, frame: list[Dataset], shared: list[Dataset], top: list[Dataset], expected: tuple[int, int] | None
) -> None:
    recipe = Recipe(modality="MR", bits_stored=12, signed=False)
    [path] = multi_frame(recipe, tmp_path)
    ds = dcmread(path)
    for groups, items in ((ds.PerFrameFunctionalGroupsSequence, frame), (ds.SharedFunctionalGroupsSequence, shared)):
        for group in groups if items else ():
            group.PixelValueTransformationSequence = items
    for item in top:
        ds.update(item)
    ds.save_as(path)
    if expected is None:
        refused([path], "INVALID_RESCALE", "largest")
    else:
        np.testing.assert_array_equal(read_volume([path]).array, recipe.values[..., 0] * expected[0] + expected[1])


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_single_frame_may_share_all_its_groups(tmp_path: Path, *, is_declared: bool) -> None:
    recipe = Recipe(modality="MR", slices=2, bits_stored=12, signed=False)
    [path] = multi_frame(recipe, tmp_path)
    ds = dcmread(path)
    [shared], first = ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence[0]
    shared.PlanePositionSequence, shared.PixelValueTransformationSequence = (
        first.PlanePositionSequence,
        halves("2", "5"),
    )
    del ds.PerFrameFunctionalGroupsSequence, ds.NumberOfFrames
    if is_declared:
        ds.NumberOfFrames = 1
    ds.ImageOrientationPatient, ds.ImagePositionPatient, ds.PixelSpacing = [0, 1, 0, 0, 0, 1], [0, 0, 0], [9, 9]
    ds.PixelData = ds.PixelData[: 2 * ds.Rows * ds.Columns]
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
    ds.save_as(path)
    volume = read_volume([path], "largest")
    np.testing.assert_array_equal(volume.array[..., 0], stored.T * 2 + 5)
    assert volume.spacing_mm[:2] == pytest.approx((recipe.column_distance, recipe.row_distance))


def ranged(slope: float | None, first: int = 0, last: int = 65535, **more: Any) -> Dataset:
    made = mapping() if slope is None else mapping(slope)
    made.add_new("RealWorldValueFirstValueMapped", "US", first)
    made.add_new("RealWorldValueLastValueMapped", "US", last)
    if slope is None:
        del made.RealWorldValueSlope
    return put(made, more)


@pytest.mark.parametrize("place", ["frame", "shared", "top"])
@pytest.mark.parametrize(
    ("mappings", "slope"),
    [
        ([ranged(2)], 2),
        ([ranged(2), ranged(3)], 2),
        ([], None),
        ([ranged(None)], None),
        ([ranged(None, RealWorldValueLUTData=[float(one) for one in range(9)])], None),
        ([ranged(2, 0, 99), ranged(3, 100)], None),
    ],
    ids=["one", "two units", "none", "half", "table", "ranges"],
)
def test_integers_of_a_map_mean_what_one_mapping_says_or_nothing(
    tmp_path: Path, place: str, mappings: list[Dataset], slope: float | None
) -> None:
    recipe = Recipe(modality="MR", signed=False)
    [path] = multi_frame(recipe, tmp_path)
    ds = dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = ParametricMapStorage
    shared, frames = [*ds.SharedFunctionalGroupsSequence], [*ds.PerFrameFunctionalGroupsSequence]
    for where in {"frame": frames, "shared": shared, "top": [ds]}[place]:
        where.RealWorldValueMappingSequence = mappings
    ds.RescaleSlope, ds.RescaleIntercept = "7", "1"  # which a map does not have
    ds.save_as(path)
    if slope is None:
        refused([path], "INVALID_RESCALE", "split")
    else:
        volume = read_volume([path])
        np.testing.assert_array_equal(volume.array, recipe.values[..., 0] * slope)
        assert volume.rescale.unit == "Bq/ml"
