from __future__ import annotations

import logging
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement

from dcm_processor_service.errors import InvalidSeriesError, UnreadableFileError
from dcm_processor_service.imaging.headers.instance_file import contained, read_dataset, read_header, read_instance
from dcm_processor_service.imaging.series.order.slice_order import order_files
from tests.unit.imaging.synthetic import Recipe, multi_frame, rotated, single_frame


def packaged(name: str) -> Path:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    return Path(found)


def boundaries(path: Path) -> set[int]:
    header = read_header(path)
    raw: list[Any] = [header.get_item(tag) for tag in header.keys()]  # noqa: SIM118 iterating parses the elements
    return {element.value_tell + element.length for element in raw if isinstance(element, RawDataElement)}


def positions(paths: list[Path]) -> list[float]:
    return [float(dcmread(path).ImagePositionPatient[2]) for path in paths]


def test_a_header_has_no_pixels_and_knows_where_they_are() -> None:
    instance = read_instance(packaged("CT_small.dcm"))
    assert "PixelData" not in instance.header
    assert instance.pixels is not None
    assert instance.pixels.size_bytes == 128 * 128 * 2
    whole = dcmread(instance.path)
    raw = instance.path.read_bytes()[instance.pixels.offset_bytes :][: instance.pixels.size_bytes]
    assert raw == whole.PixelData


@pytest.mark.parametrize("name", ["ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "meta_missing_tsyntax.dcm"])
def test_files_without_meta_information_are_read(name: str) -> None:
    header = read_header(packaged(name))
    assert header.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 4000, b"PK\x03\x04" * 99, b"\0" * 128 + b"DICM"])
def test_what_is_no_dicom_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidSeriesError, match=r"notes\.txt"):
        read_header(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "absent.dcm", r"unreadable \(FileNotFoundError\)"), (tmp_path, "a folder")):
        with pytest.raises(UnreadableFileError, match=reason):
            read_header(path)


def test_a_file_cut_off_anywhere_is_refused_and_names_no_patient(tmp_path: Path) -> None:
    path = single_frame(Recipe(slices=2), tmp_path)[0]
    whole = path.read_bytes()
    end_of_header = read_instance(path).pixels
    assert end_of_header is not None
    between = boundaries(path)
    random.seed(5)
    for length in [140, end_of_header.offset_bytes - 30, len(whole) - 1, *random.sample(range(400, len(whole)), 20)]:
        if length in between:
            continue  # a file that ends between two elements looks complete, unless it is an image
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidSeriesError, match=r"cut off|damaged|no DICOM") as caught:
            read_dataset(path)
        assert "SECRET" not in str(caught.value).upper()


def test_compressed_pixels_that_end_early_are_seen() -> None:
    instance = read_instance(packaged("JPEG2000.dcm"))
    assert instance.pixels is not None
    assert instance.pixels.size_bytes is None
    assert not instance.is_cut_off


def test_pydicoms_truncated_scan_has_a_header_but_is_cut_off() -> None:
    path = packaged("MR_truncated.dcm")
    assert read_header(path).Modality == "MR"
    with pytest.raises(InvalidSeriesError, match="inside its pixel data"):
        read_dataset(path)


def test_no_warning_and_no_log_line_leaves_a_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "bad.dcm"
    dataset = dcmread(packaged("CT_small.dcm"))
    dataset["PatientBirthDate"]._value = "not-a-date-of-Mr-Secret"
    dataset.save_as(path)
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_header(path)
        read_dataset(path)
    assert not caught
    assert "Secret" not in caplog.text


def test_containment_ends_with_its_block() -> None:
    with contained(), contained():
        warnings.warn("inside", UserWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="outside"):
        warnings.warn("outside", UserWarning, stacklevel=1)


@pytest.mark.parametrize("reversed_numbers", [False, True])
def test_order_is_along_the_normal_whatever_the_numbers_say(tmp_path: Path, *, reversed_numbers: bool) -> None:
    paths = single_frame(Recipe(reversed_numbers=reversed_numbers, slices=8), tmp_path)
    ordered = order_files(paths)
    assert sorted(ordered) == sorted(paths)
    assert positions(ordered) == sorted(positions(paths))


def test_order_in_an_oblique_stack_with_several_times(tmp_path: Path) -> None:
    recipe = Recipe(orientation=rotated((1, 0, 0, 0, 1, 0), (31, -20, 8)), volumes=3, slices=4)
    ordered = [dcmread(path) for path in order_files(single_frame(recipe, tmp_path))]
    times = [int(ds.TemporalPositionIdentifier) for ds in ordered]
    assert times == [1, 2, 3] * 4
    origins = [list(map(float, ds.ImagePositionPatient)) for ds in ordered[::3]]
    assert origins == recipe.positions.tolist()


def test_rounding_of_positions_does_not_decide_about_time(tmp_path: Path) -> None:
    paths = single_frame(Recipe(volumes=2, slices=3), tmp_path)
    for path in paths:
        ds = dcmread(path)
        if ds.TemporalPositionIdentifier == 1:
            ds.ImagePositionPatient[2] += 0.00002
            ds.save_as(path)
    times = [int(dcmread(path).TemporalPositionIdentifier) for path in order_files(paths)]
    assert times == [1, 2] * 3


def test_order_without_geometry_is_by_instance_number_then_uid(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=4), tmp_path)
    numbered: list[Dataset] = []
    for path in paths:
        ds = dcmread(path)
        del ds.ImagePositionPatient
        ds.save_as(path)
        numbered.append(ds)
    ordered = [int(dcmread(path).InstanceNumber) for path in order_files(paths)]
    assert ordered == sorted(int(ds.InstanceNumber) for ds in numbered)


def test_all_positions_are_ordered_by_the_same_attributes(tmp_path: Path) -> None:
    """The instance numbers run against the times, and one file has no time."""
    paths = single_frame(Recipe(slices=3, volumes=3), tmp_path)
    for path in paths:
        ds = dcmread(path)
        time = int(ds.TemporalPositionIdentifier)
        del ds.TemporalPositionIdentifier
        ds.InstanceNumber = 10 - time
        if (time, ds.ImagePositionPatient[2]) != (2, min(float(dcmread(one).ImagePositionPatient[2]) for one in paths)):
            ds.TriggerTime = 100 * time
        ds.save_as(path)
    numbers = [int(dcmread(path).InstanceNumber) for path in order_files(paths)]
    assert numbers == [7, 8, 9] * 3


def test_of_images_without_a_place_the_one_without_a_number_comes_first(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=8), tmp_path)
    for path in paths:
        ds = dcmread(path)
        del ds.ImagePositionPatient
        if ds.InstanceNumber == 3:
            ds.InstanceNumber = None
        ds.save_as(path)
    numbers = [dcmread(path).InstanceNumber for path in order_files(paths)]
    assert numbers == [None, 1, 2, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("keyword", ["TemporalPositionIdentifier", "TriggerTime", "EchoTime", "AcquisitionNumber"])
def test_an_attribute_that_some_files_lack_does_not_order_those_at_one_position(tmp_path: Path, keyword: str) -> None:
    for path in single_frame(Recipe(volumes=4, slices=3), tmp_path):
        ds = dcmread(path)
        t = int(ds.TemporalPositionIdentifier)
        del ds.TemporalPositionIdentifier
        ds.AcquisitionNumber = 1
        setattr(ds, keyword, t)
        if t == 3:
            delattr(ds, keyword)
        ds.save_as(path)
    ordered = [int(dcmread(path).InstanceNumber) for path in order_files(sorted(tmp_path.iterdir()))]
    assert ordered == [1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12]


def test_order_keeps_both_of_two_equal_files(tmp_path: Path) -> None:
    first = single_frame(Recipe(slices=2), tmp_path)[0]
    copy = tmp_path / "copy.dcm"
    shutil.copy(first, copy)
    assert sorted(order_files([copy, first])) == sorted([first, copy])


def test_a_dataset_is_read_whole(tmp_path: Path) -> None:
    for path in multi_frame(Recipe(volumes=2), tmp_path) + single_frame(Recipe(), tmp_path):
        assert read_dataset(path) == dcmread(path)


@pytest.mark.parametrize("wrong", [[1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0, 0], [1, 0, 0]])
@pytest.mark.parametrize("keyword", ["ImageOrientationPatient", "ImagePositionPatient"])
def test_a_file_whose_place_cannot_be_read_has_one_in_the_order_all_the_same(
    tmp_path: Path, wrong: list[int], keyword: str
) -> None:
    paths = single_frame(Recipe(slices=5), tmp_path)
    ds = dcmread(paths[2])
    setattr(ds, keyword, wrong if keyword == "ImageOrientationPatient" else wrong[:2])
    ds.save_as(paths[2])
    placed = [path for path in paths if path != paths[2]]
    ordered = order_files(paths)
    assert [path for path in ordered if path != paths[2]] == order_files(placed)
    assert paths[2] in {ordered[0], ordered[-1]}


@pytest.mark.parametrize("jitter", [0.0, 1e-5, 4e-4])
def test_orientations_that_jitter_are_one_in_the_order(tmp_path: Path, jitter: float) -> None:
    paths = single_frame(Recipe(slices=8), tmp_path)
    for number, path in enumerate(paths):
        ds = dcmread(path)
        ds.ImageOrientationPatient = [1, jitter * (number % 3), 0, -jitter * (number % 3), 1, 0]
        ds.save_as(path)
    heights = [float(dcmread(path).ImagePositionPatient[2]) for path in order_files(paths)]
    assert heights == sorted(heights)


IN_TIME = (
    "TemporalPositionIdentifier",
    "TriggerTime",
    "EchoTime",
    "AcquisitionNumber",
    "InstanceNumber",
    "SOPInstanceUID",
)


@pytest.mark.parametrize("keyword", IN_TIME)
@pytest.mark.parametrize("is_absent", [False, True])
def test_order_at_one_place_is_by_the_first_that_differs(tmp_path: Path, keyword: str, *, is_absent: bool) -> None:
    """Less important attributes contradict it, and decide only if one file lacks it; a missing number comes first."""
    paths = single_frame(Recipe(slices=1, volumes=2), tmp_path)
    for path, own in zip(paths, (1, 2), strict=True):
        ds = dcmread(path)
        for number, name in enumerate(IN_TIME):
            place = number - IN_TIME.index(keyword)
            value = 5 if place < 0 else own if place == 0 else 3 - own
            setattr(ds, name, f"1.2.{value}" if name == "SOPInstanceUID" else value)
        if is_absent and own == 1 and keyword != "SOPInstanceUID":
            delattr(ds, keyword)
        ds.save_as(path)
    is_left_out = is_absent and keyword not in {"InstanceNumber", "SOPInstanceUID"}
    assert order_files(paths) == order_files(paths[::-1]) == (paths[::-1] if is_left_out else paths)


def test_order_of_several_planes_is_one_after_the_other_and_without_a_place_at_the_end(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    across = single_frame(Recipe(slices=3), tmp_path / "a")
    along = single_frame(Recipe(slices=4, orientation=(1, 0, 0, 0, 0, -1), origin=(0, -90, 0)), tmp_path / "b")
    nowhere = single_frame(Recipe(slices=2, extra={"ImagePositionPatient": None}), tmp_path / "c")
    for paths in ([*nowhere, *across, *along], [along[0], *across, *nowhere, *along[1:]]):
        ordered = order_files(paths)
        first, second = (across, along) if paths[0] in nowhere else (along, across)
        assert set(ordered[: len(first)]) == set(first)
        assert set(ordered[len(first) : -2]) == set(second)
        assert set(ordered[-2:]) == set(nowhere)
        heights = [float(dcmread(path).ImagePositionPatient[2]) for path in ordered if path in across]
        assert heights == sorted(heights)
        depths = [float(dcmread(path).ImagePositionPatient[1]) for path in ordered if path in along]
        assert depths == sorted(depths)
