"""Siemens mosaics: every slice is cut out and lies where the private elements say; other values of the CSA header."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.acquisition.mr_acquisition import mr_acquisition
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.volumes.mosaic import mosaic_layout, mosaic_stack, untiled
from dcm_processor_service.imaging.volumes.read import read_stack, read_volume
from dcm_processor_service.models import SeriesKind
from dcm_processor_service.models.images.limits import Limits
from tests.unit.imaging.csa import add_csa, tiled
from tests.unit.imaging.refusals import put, refused
from tests.unit.imaging.synthetic import Recipe, all_orientations, rotated, single_frame

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS, ROWS = 6, 4
MOSAIC = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"], "Manufacturer": "SIEMENS"}
OBLIQUE = rotated((1, 0, 0, 0, 1, 0), (12.5, -7.25, 3.0))
SLICES = 5
"""Which fill five of nine tiles."""


def mosaics(
    folder: Path,
    orientation: tuple[float, ...] = OBLIQUE,
    *,
    upside_down: bool = False,
    times: int = 3,
    off_ms: int = 0,
    **changes: Any,
) -> list[Path]:
    """Writes one file for each time, of 5 slices of 6 columns and 4 rows, 2.5 mm apart."""
    recipe = Recipe(
        columns=COLUMNS * 3,
        rows=ROWS * 3,
        slices=1,
        volumes=times,
        orientation=orientation,
        modality="MR",
        extra={**MOSAIC, "SpacingBetweenSlices": 2.5, "SliceThickness": 2.0, **changes},
    )
    normal = np.cross(orientation[:3], orientation[3:]) * (-1 if upside_down else 1)
    paths = sorted(single_frame(recipe, folder), key=lambda path: int(dcmread(path).InstanceNumber))
    for time, path in enumerate(paths):
        ds = dcmread(path)
        late_ms = off_ms if time == times - 1 else 0
        add_csa(
            ds,
            AcquisitionMatrixText=("SH", [f"{ROWS}*{COLUMNS}"]),
            NumberOfImagesInMosaic=("US", [SLICES]),
            SliceNormalVector=("FD", [float(part) for part in normal]),
            MosaicRefAcqTimes=("FD", [1000 + own + late_ms for own in (0, 500, 250, 750, 0)]),
        )
        ds.PixelData = tiled(voxels()[..., time], 3).T.astype("<i2").tobytes()
        ds.save_as(path)
    return paths


def voxels() -> np.ndarray[Any, Any]:
    return np.random.default_rng(4).integers(-900, 900, (COLUMNS, ROWS, SLICES, 3)).astype(np.int16)


@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize("orientation", [*all_orientations()[::5], OBLIQUE], ids=str)
def test_slices_are_cut_out_of_mosaics_and_lie_in_the_middle_of_their_frame(
    tmp_path: Path, orientation: tuple[float, ...], *, upside_down: bool
) -> None:
    paths = mosaics(tmp_path, orientation, upside_down=upside_down)
    inspection = examine(paths)
    stack = mosaic_stack(inspection, "strict")
    assert inspection.report.kind is SeriesKind.MOSAIC
    volume = untiled(read_stack(stack, inspection.report, Limits()), "a file")
    np.testing.assert_array_equal(volume.array, voxels())
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column) * (-1 if upside_down else 1)
    # the position in the header is for the whole mosaic, as if it were a single slice with all its pixels
    corner = np.array([-12.5, 40.25, -7.0]) + row * 0.6 * (COLUMNS * 3 - COLUMNS) / 2 + column * 0.8 * ROWS
    expected = np.column_stack([row * 0.6, column * 0.8, normal * 2.5, corner])
    np.testing.assert_allclose(volume.affine_lps[:3], expected, atol=1e-5)
    assert [[len({source.sop_instance_uid for source in line}), len(line)] for line in volume.sources] == [
        [1, SLICES]
    ] * 3
    assert [line[0].sop_instance_uid for line in volume.sources] == [
        str(dcmread(path).SOPInstanceUID) for path in paths
    ]


def test_a_mosaic_that_does_not_say_how_its_slices_lie_is_refused(tmp_path: Path) -> None:
    header = dcmread(mosaics(tmp_path)[0])
    assert mosaic_layout(header, "a file").tiles_per_side == 3
    for lacking in (0x00291010, 0x00290010, 0x00280030):
        less = Dataset(header)
        del less[lacking]
        with pytest.raises(InvalidSeriesError, match="a file is a mosaic whose private elements do not say"):
            mosaic_layout(less, "a file")


@pytest.mark.parametrize(("count", "is_right"), [(SLICES, True), (SLICES - 1, False), (9, False)])
def test_two_counts_of_slices_that_contradict_each_other_are_refused(
    tmp_path: Path, count: int, *, is_right: bool
) -> None:
    paths = mosaics(tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
        ds.add_new(0x0019100A, "US", count)
        ds.save_as(path)
    if is_right:
        np.testing.assert_array_equal(read_volume(paths).array, voxels())
    else:
        for policy in ("strict", "split", "largest", "resample"):
            report = refused(paths, "MOSAIC_LAYOUT", policy)
            assert [one.blocking for one in report.findings if one.code == "MOSAIC_LAYOUT"] == [True]


@pytest.mark.parametrize("changes", [{"SpacingBetweenSlices": 0}, {"PixelSpacing": [0.8, 0]}], ids=str)
def test_a_mosaic_without_a_distance_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    header = put(dcmread(mosaics(tmp_path, times=1)[0]), changes)
    with pytest.raises(InvalidSeriesError, match="a file is a mosaic whose private elements do not say"):
        mosaic_layout(header, "a file")


def test_mosaics_of_another_size_than_their_slices_need_are_refused(tmp_path: Path) -> None:
    paths = mosaics(tmp_path, times=2)
    for path in paths:
        ds = dcmread(path)
        ds.Columns -= 1
        ds.PixelData = ds.PixelData[: ds.Columns * ds.Rows * 2]
        ds.save_as(path)
    with pytest.raises(InvalidSeriesError, match="private elements do not say where its slices lie"):
        read_volume(paths)


def test_mosaics_at_several_places_are_no_volumes_of_one_grid(tmp_path: Path) -> None:
    paths = mosaics(tmp_path)
    ds = dcmread(paths[0])
    ds.ImagePositionPatient = [0, 0, 90]
    ds.save_as(paths[0])
    with pytest.raises(InvalidSeriesError, match="is refused"):
        mosaic_stack(examine(paths), "strict")


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PhaseEncodingDirectionPositive": ("IS", [1])}, {"PhaseEncodingDirection": "j"}),
        ({"PhaseEncodingDirectionPositive": ("IS", [0])}, {"PhaseEncodingDirection": "j-"}),
        ({"PhaseEncodingDirectionPositive": ("IS", [2])}, {"PhaseEncodingAxis": "j"}),
        (
            {"BandwidthPerPixelPhaseEncode": ("FD", [25.0])},
            {"EffectiveEchoSpacing": 1 / (25 * 4), "TotalReadoutTime": 3 / (25 * 4), "PhaseEncodingAxis": "j"},
        ),
        ({"BandwidthPerPixelPhaseEncode": ("FD", [0.0])}, {"PhaseEncodingAxis": "j"}),
    ],
)
def test_the_csa_header_tells_polarity_and_bandwidth(
    tmp_path: Path, elements: dict[str, Any], expected: dict[str, Any]
) -> None:
    extra = {"Manufacturer": "SIEMENS", "InPlanePhaseEncodingDirection": "COL"}
    paths = single_frame(Recipe(modality="MR", extra=extra), tmp_path)
    for path in paths:
        ds = dcmread(path)
        add_csa(ds, **elements)
        ds.save_as(path)
    read_volume(paths).to_nifti(tmp_path / "x.nii")
    fields = json.loads((tmp_path / "x.json").read_text())
    told = {"PhaseEncodingDirection", "PhaseEncodingAxis", "EffectiveEchoSpacing", "TotalReadoutTime"} & fields.keys()
    found = {name: fields[name] for name in told}
    flipped = {"j": "j-", "j-": "j"}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name == "PhaseEncodingDirection":
            assert found[name] in {value, flipped[value]}
        else:
            assert found[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (0.0, 0.5, 0.25, 0.75, 0.0)),
        ({"off_ms": 70}, (0.0, 0.5, 0.25, 0.75, 0.0)),
        ({"RepetitionTime": "700"}, ()),
        ({"ScanningSequence": "GR"}, ()),
        ({"MRAcquisitionType": "3D"}, ()),
    ],
)
def test_slices_of_a_mosaic_have_the_times_of_the_csa_header(
    tmp_path: Path, changes: dict[str, Any], expected: tuple[float, ...]
) -> None:
    paths = mosaics(tmp_path, **{"ScanningSequence": "EP", "RepetitionTime": "1000", **changes})
    inspection = examine(paths)
    stack = mosaic_stack(inspection, "strict")
    volume = untiled(read_stack(stack, inspection.report, Limits()), "a file")
    assert volume.header is not None
    found = mr_acquisition(volume.header, stack, volume.shape, volume.affine_lps)
    assert found is not None
    assert found.slice_times_s == expected
    assert (found.slices_lps is None) == (not expected)


@pytest.mark.parametrize(("columns", "is_known"), [(4, True), (6, False)])
def test_lines_of_phase_encoding_are_known_of_a_square_where_no_direction_is_said(
    tmp_path: Path, columns: int, *, is_known: bool
) -> None:
    paths = single_frame(Recipe(modality="MR", columns=columns, rows=4, extra={"Manufacturer": "SIEMENS"}), tmp_path)
    for path in paths:
        ds = dcmread(path)
        add_csa(ds, BandwidthPerPixelPhaseEncode=("FD", [25.0]))
        ds.save_as(path)
    acquisition = read_volume(paths).acquisition
    assert acquisition is not None
    assert acquisition.echo_spacing_s == (pytest.approx(1 / 100) if is_known else None)
