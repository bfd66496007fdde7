"""Headers of a series are read in slice order, equal those that are read singly, and each file is opened once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom.data
import pytest
from pydicom import Dataset, dcmread

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.instance_file import open_regular, read_header
from dcm_processor_service.imaging.series.heads import SeriesHeads, read_headers
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.series.order.slice_order import order_files
from tests.unit.imaging.refusals import change, put, together
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom import FileDataset

SAMPLES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "image_dfl.dcm",
    "rtplan.dcm",
    "US1_J2KR.dcm",
    "color-pl.dcm",
    "emri_small.dcm",
]


def everything(header: FileDataset) -> tuple[Any, ...]:
    return (
        str(header.file_meta),
        str(header),
        header.preamble,
        str(header.filename),
        header.original_encoding,
        header.original_character_set,
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_a_header_is_the_same_as_that_which_is_read_alone(name: str) -> None:
    path = Path(str(pydicom.data.get_testdata_file(name)))
    (header,) = read_headers([path])
    assert everything(header) == everything(read_header(path))


def test_headers_come_in_slice_order_and_no_file_is_opened_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = single_frame(Recipe(slices=9, orientation=(0, 1, 0, 0, 0, -1)), tmp_path)
    opened: list[Path] = []

    def counted(path: Path, buffering: int = -1) -> Any:
        opened.append(path)
        return open_regular(path, buffering)

    monkeypatch.setattr("dcm_processor_service.imaging.headers.fast_scan.open_regular", counted)
    headers = read_headers(paths[4:] + paths[:4])
    assert sorted(opened) == sorted(paths)
    assert [Path(str(header.filename)) for header in headers] == order_files(paths)


def test_a_file_that_is_no_dicom_or_is_cut_off_in_its_header_is_refused(tmp_path: Path) -> None:
    whole = single_frame(Recipe(slices=2), tmp_path)
    for content in (b"text", whole[0].read_bytes()[:500]):
        bad = tmp_path / "bad.dcm"
        bad.write_bytes(content)
        with pytest.raises(InvalidSeriesError, match=r"bad\.dcm"):
            read_headers([*whole, bad])


def test_a_beginning_that_stops_before_the_pixels_is_not_enough(tmp_path: Path) -> None:
    (path,) = single_frame(Recipe(slices=1), tmp_path)
    content = path.read_bytes()
    pixels = content.index(b"\xe0\x7f\x10\x00OW") + 12
    for length in range(0, pixels, 7):
        assert not SeriesHeads(keeps_datasets=True).add(path, content[:length], len(content)), length
    heads = SeriesHeads(keeps_datasets=True)
    assert heads.add(path, content[:pixels], len(content))
    (header,) = heads.headers()
    assert header == read_header(path)
    header.save_as(io.BytesIO())  # complete enough to be written


def heads_of(paths: list[Path]) -> SeriesHeads:
    heads = SeriesHeads(keeps_datasets=False)
    for path in paths:
        assert heads.add(path, path.read_bytes(), path.stat().st_size)
    return heads


def test_the_report_is_that_of_the_files_in_any_order(tmp_path: Path) -> None:
    paths = together(tmp_path, (Recipe(), "a"), (Recipe(rows=5, columns=4), "b"))
    for path in (tmp_path / "a").iterdir():
        ds = dcmread(path)
        ds.InstanceNumber += 100
        ds.save_as(path)
    report = heads_of(paths).report()
    assert report is not None
    assert [part.name for part in report.parts] == ["4x5", "5x4"]
    assert report == heads_of(paths[::-1]).report()
    # what differs is known only from pixels
    assert report == inspect_series(paths)


def _with_coils(ds: Dataset, index: int) -> None:
    ds.ReceiveCoilName = ("HEAD", "NECK")[index % 2]


def _with_mapping(ds: Dataset, _index: int) -> None:
    ds.RealWorldValueMappingSequence = [
        put(Dataset(), {"RealWorldValueSlope": 2.0, "RealWorldValueIntercept": 0.0, "LUTLabel": "T2"})
    ]


@pytest.mark.parametrize(
    ("edit", "code"),
    [(_with_coils, "INTERLEAVED_VOLUMES"), (_with_mapping, "REAL_WORLD_VALUES_LEFT")],
    ids=["turns", "mapping"],
)
def test_first_bytes_are_reported_on_as_files_are_and_no_file_of_their_name_is_opened(
    tmp_path: Path, edit: Callable[[Dataset, int], None], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = change(single_frame(Recipe(slices=8, modality="MR"), tmp_path), edit)
    expected = inspect_series(paths)
    assert code in expected.codes
    heads = SeriesHeads(keeps_datasets=False)
    for path in paths:
        content = path.read_bytes()
        assert heads.add(Path(path.name), content[: content.index(b"\xe0\x7f\x10\x00OW") + 12], len(content))
        path.write_bytes(b"another file")
    monkeypatch.chdir(tmp_path)
    assert heads.report() == expected


@pytest.mark.parametrize("uid", ["", "1.2.3"])
def test_there_is_no_report_of_instances_that_cannot_be_told_apart(tmp_path: Path, uid: str) -> None:
    paths = single_frame(Recipe(slices=3), tmp_path)
    for path in paths[: 1 if uid == "" else 2]:
        ds = dcmread(path)
        ds.SOPInstanceUID = uid
        ds.save_as(path, enforce_file_format=False)
    assert heads_of(paths).report() is None
