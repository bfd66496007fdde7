"""Segments are read where their frames say, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from dcm_processor_service import Code, StructureMask, Volume
from dcm_processor_service.derived import Segment, SegmentationOptions, SourceSeries, segmentation
from dcm_processor_service.derived.objects.highdicom_bridge import released
from dcm_processor_service.derived.reading.grids import MaskGrid
from dcm_processor_service.derived.reading.names import rgb_of_lab
from dcm_processor_service.derived.reading.seg_placing import frame_places_on
from dcm_processor_service.derived.reading.segments import read_segments
from dcm_processor_service.derived.source import frames_of_header
from dcm_processor_service.errors import InvalidSeriesError, UnsupportedTransferSyntaxError
from dcm_processor_service.models.images.limits import Limits
from tests.desk import examples
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source
from tests.unit.derived.volumes import ORIENTATIONS, affines, turned

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SHAPE = (5, 4, 6)
TILTED = np.array([[0.5, 0, 0.4, 3.0], [0, 0.75, 0, -7.0], [0, 0, 2.5, 11.0], [0, 0, 0, 1]])
DOWNWARD = np.array([[0.5, 0, 0, 3.0], [0, 0.75, 0, -7.0], [0, 0, -2.5, 11.0], [0, 0, 0, 1]])
SAGITTAL = np.array([[0, 0, 2.5, 3.0], [0.5, 0, 0, -7.0], [0, -0.75, 0, 11.0], [0, 0, 0, 1]])
OBLIQUE = np.array([[0.48, -0.21, 0, 3.0], [0.14, 0.72, 0, -7.0], [0, 0, 2.5, 11.0], [0, 0, 0, 1]])
GRIDS = {"plain": PLAIN, "tilted": TILTED, "downward": DOWNWARD, "sagittal": SAGITTAL, "oblique": OBLIQUE}


def blob(*, first: int = 1, last: int = 4) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[1:4, 1:3, first:last] = True
    mask[3, 2, first] = False
    return mask


def written(dataset: Dataset, folder: Path) -> list[Path]:
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return [path]


def files(headers: list[Dataset], folder: Path) -> list[Path]:
    """Headers as files, with the pixels that they declare."""
    paths = []
    for header in headers:
        header.BitsAllocated = header.BitsStored = 16
        header.HighBit, header.PixelRepresentation, header.SamplesPerPixel = 15, 0, 1
        header.PhotometricInterpretation = "MONOCHROME2"
        header.PixelData = bytes(2 * header.Rows * header.Columns)
        header.ensure_file_meta()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        paths += written(header, folder)
    return paths


def fill(header: Dataset) -> None:
    """Adds what highdicom asks a source for."""
    for keyword in ("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "PatientSex", "PatientBirthDate"):
        setattr(header, keyword, "")
    header.ReferringPhysicianName = ""


def made(
    masks: Any, affine: NDArray[np.float64] = PLAIN, shape: tuple[int, int, int] = SHAPE, **options: Any
) -> Dataset:
    source = make_source(affine, shape)
    return segmentation(masks, source, make_recipe(), affine, SegmentationOptions(**options))


def places(volume: Volume) -> list[tuple[float, ...]]:
    """Where each voxel of a mask lies, LPS mm."""
    indices = np.argwhere(volume.array > 0)
    found = indices @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    return sorted(tuple(float(part) for part in place) for place in found.round(3) + 0.0)


def expected(mask: NDArray[Any], affine: NDArray[np.float64]) -> list[tuple[float, ...]]:
    return places(Volume(mask, affine))


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("on_images", [False, True], ids=["own grid", "like"])
def test_every_voxel_is_read_at_its_place(name: str, tmp_path: Path, *, on_images: bool) -> None:
    affine, mask = GRIDS[name], blob()
    paths = written(made({"liver": mask, "spleen": np.flip(mask)}, affine), tmp_path)
    like = files(make_headers(affine, SHAPE), tmp_path) if on_images else None
    liver, spleen = (segment.mask() for segment in read_segments(paths, like))
    assert liver.array.dtype == bool
    assert places(liver) == expected(mask, affine)
    assert places(spleen) == expected(np.flip(mask), affine)
    assert liver.frame_of_reference_uid == "1.2.3.9"
    if on_images:
        assert liver.shape == SHAPE
        assert liver.source(0).sop_instance_uid in {"1.2.3.1.1", "1.2.3.1.6"}
        assert liver.series_instance_uid == "1.2.3.0"


@settings(max_examples=examples(12), deadline=None)
@given(
    mask=hnp.arrays(bool, st.sampled_from([(4, 3, 5), (3, 4, 2), (5, 5, 1)])).filter(np.any),
    affine=affines(),
    orientation=st.sampled_from(ORIENTATIONS),
)
def test_any_mask_in_any_orientation_is_read_at_its_place(
    mask: NDArray[np.bool_], affine: NDArray[np.float64], orientation: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given_mask, given_affine = turned(mask, affine, *orientation)
    dataset = segmentation({"liver": given_mask}, make_source(affine, mask.shape), make_recipe(), given_affine)
    (liver,) = read_segments(written(dataset, tmp_path_factory.mktemp("any")))
    found = liver.mask()
    assert int(found.array.sum()) == int(mask.sum())
    lands = (np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]) - found.affine_lps[:3, 3]
    voxels = lands @ np.linalg.inv(found.affine_lps[:3, :3]).T
    assert np.abs(voxels - np.rint(voxels)).max() < 0.01
    assert found.array[tuple(np.rint(voxels).astype(int).T)].all()


def test_a_volume_of_several_times_takes_the_mask_of_its_place(tmp_path: Path) -> None:
    (liver,) = read_segments(written(made({"liver": blob()}), tmp_path), volume(PLAIN, (*SHAPE, 2)))
    assert np.array_equal(liver.mask().array, blob())


def test_a_mask_on_the_grid_of_its_images_is_a_segmentation_of_them_again(tmp_path: Path) -> None:
    paths = written(made({"liver": blob()}, TILTED), tmp_path)
    like = files(make_headers(TILTED, SHAPE), tmp_path)
    (liver,) = read_segments(paths, like)
    again = segmentation({"liver": liver.mask()}, make_source(TILTED, SHAPE), make_recipe("again"))
    (second,) = read_segments(written(again, tmp_path), like)
    assert np.array_equal(second.mask().array, liver.mask().array)


def test_what_a_segment_is_comes_back(tmp_path: Path) -> None:
    given = {
        "left kidney": Segment(blob(), color_rgb=(200, 30, 90)),
        "odd thing": Segment(blob(), code=Code("X-1", "99LAB", "Odd")),
    }
    dataset = made(given, algorithm_type="SEMIAUTOMATIC", algorithm_name="snake")
    kidney, odd = read_segments(written(dataset, tmp_path))
    assert (kidney.number, kidney.name, kidney.code) == (1, "left kidney", Code("64033007", "SCT", "Kidney"))
    assert kidney.laterality == Code("7771000", "SCT", "Left")
    assert kidney.category == Code("123037004", "SCT", "Anatomical Structure")
    assert (kidney.algorithm_type, kidney.algorithm_name) == ("SEMIAUTOMATIC", "snake")
    assert kidney.color_rgb is not None
    assert np.abs(np.subtract(kidney.color_rgb, (200, 30, 90))).max() <= 1
    assert kidney.tracking_uid == dataset.SegmentSequence[0].TrackingUID
    assert (kidney.sop_instance_uid, kidney.series_instance_uid) == (dataset.SOPInstanceUID, dataset.SeriesInstanceUID)
    assert (kidney.referenced_series_uids, kidney.frame_of_reference_uid) == (("1.2.3.0",), "1.2.3.9")
    assert (odd.code, odd.laterality) == (Code("X-1", "99LAB", "Odd"), None)


def test_overlapping_and_empty_segments_are_read_each_by_itself(tmp_path: Path) -> None:
    masks = {"liver": blob(), "mass": blob(first=2, last=3), "spleen": np.zeros(SHAPE, bool)}
    found = [segment.mask().array for segment in read_segments(written(made(masks), tmp_path))]
    assert [int(array.sum()) for array in found] == [int(mask.sum()) for mask in masks.values()]
    assert (found[0] & found[1]).sum() == masks["mass"].sum()
    assert {array.shape for array in found} == {(5, 4, 3)}


def test_fractions_are_read_as_fractions(tmp_path: Path) -> None:
    mask = np.linspace(0, 1, np.prod(SHAPE)).reshape(SHAPE)
    (liver,) = read_segments(written(made({"liver": mask}), tmp_path))
    assert liver.is_fractional
    assert np.abs(liver.mask().array - mask).max() <= 0.5 / 255 + 1e-6
    assert liver.mask().array.dtype == np.float32


@pytest.mark.parametrize("bits", [8, 16])
def test_a_label_map_is_read_by_the_numbers_in_its_pixels(bits: int, tmp_path: Path) -> None:
    headers = [dcmread(path) for path in files(make_headers(PLAIN, SHAPE), tmp_path)]
    for header in headers:
        fill(header)
    mask = blob()
    labels = mask.astype(np.uint8) + 2 * np.flip(mask, 2) * ~mask
    wanted = 300 if bits == 16 else 7
    seg = hd.seg.Segmentation(
        source_images=headers,
        pixel_array=np.ascontiguousarray(labels.transpose(2, 1, 0)).astype(np.uint8),
        segmentation_type="LABELMAP",
        segment_descriptions=[
            hd.seg.SegmentDescription(number, name, codes.SCT.Organ, codes.SCT.Liver, "MANUAL")
            for number, name in ((1, "one"), (2, "two"))
        ],
        series_instance_uid="1.2.3.77", series_number=1, sop_instance_uid="1.2.3.77.1", instance_number=1,
        manufacturer="m", manufacturer_model_name="m", software_versions="1", device_serial_number="1",
    )  # fmt: skip
    if bits == 16:  # as a writer of many segments does
        stored = np.frombuffer(seg.PixelData, np.uint8).astype(np.uint16)
        seg.PixelData = np.where(stored == 2, wanted, stored).astype("<u2").tobytes()
        seg.BitsAllocated, seg.BitsStored, seg.HighBit = 16, 16, 15
        seg.SegmentSequence[-1].SegmentNumber = wanted
    one, two = read_segments(written(released(seg), tmp_path))
    assert (one.number, two.number) == (1, wanted if bits == 16 else 2)
    assert places(one.mask()) == expected(labels == 1, PLAIN)
    assert places(two.mask()) == expected(labels == 2, PLAIN)


def packaged(name: str) -> Path:
    path = get_testdata_file(name)
    assert path is not None
    return Path(path)


@pytest.mark.parametrize("name", ["liver.dcm", "liver_expb.dcm"])
def test_a_real_segmentation_is_read_as_highdicom_reads_it(name: str) -> None:
    (liver,) = read_segments([packaged(name)])
    read = hd.seg.segread(packaged("liver.dcm"))
    other = read.get_volume(combine_segments=False)
    released(read)
    array = np.asarray(other.array)[..., 0]  # slices, rows, columns
    mask = liver.mask()
    assert np.array_equal(mask.array.transpose(2, 1, 0)[:: 1 if _same_way(mask, other) else -1], array.astype(bool))
    assert (liver.name, liver.code, liver.color_rgb) == ("Liver", Code("T-62000", "SRT", "Liver"), (221, 130, 101))
    assert liver.category == Code("T-D0050", "SRT", "Tissue")
    assert liver.algorithm_name == "SlicerEditor"


def test_a_real_segmentation_that_describes_more_frames_than_it_has_is_refused() -> None:
    with pytest.raises(InvalidSeriesError, match="declares 1 frame and describes 3"):
        read_segments([packaged("liver_1frame.dcm")])


def _same_way(mask: Volume, other: Any) -> bool:
    """Whether slices ascend alike, and every corner lies at the same place."""
    affine = np.asarray(other.affine)[:, [2, 1, 0, 3]]
    first = np.allclose(affine[:3, 3], mask.affine_lps[:3, 3], atol=1e-3)
    last = mask.affine_lps @ (0, 0, mask.shape[2] - 1, 1)
    assert first or np.allclose(affine[:3, 3], last[:3], atol=1e-3)
    assert np.allclose(affine[:3, :2], mask.affine_lps[:3, :2], atol=1e-5)
    return bool(first)


def with_gap(step: float | None) -> Dataset:
    """A SEG whose frames lie in slices 1 and 4 of 6 alone."""
    mask = np.zeros(SHAPE, bool)
    mask[1:3, 1:3, 1] = mask[1:3, 1:3, 4] = True
    return spaced(made({"liver": mask}), step)


def spaced(dataset: Dataset, step: float | None) -> Dataset:
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.pop("SpacingBetweenSlices", None)
    if step is not None:
        measures.SpacingBetweenSlices = step
    return dataset


def test_slices_that_were_left_out_are_empty_slices(tmp_path: Path) -> None:
    (liver,) = read_segments(written(with_gap(2.5), tmp_path))
    mask = liver.mask()
    assert mask.array.any(axis=(0, 1)).tolist() == [True, False, False, True]
    assert mask.spacing_mm == (0.5, 0.75, 2.5)


def test_a_step_that_is_not_stated_is_the_least_distance(tmp_path: Path) -> None:
    mask = blob(first=0, last=2)
    mask[1, 1, 4] = True
    (liver,) = read_segments(written(spaced(made({"liver": mask}), None), tmp_path))
    assert liver.mask().spacing_mm[2] == 2.5
    assert places(liver.mask()) == expected(mask, PLAIN)


def positions(dataset: Dataset) -> list[Any]:
    return [group.PlanePositionSequence[0] for group in dataset.PerFrameFunctionalGroupsSequence]


def moved(dataset: Dataset, frame: int, *by: float) -> None:
    place = positions(dataset)[frame]
    place.ImagePositionPatient = [a + b for a, b in zip(place.ImagePositionPatient, by, strict=True)]


def _contradict(dataset: Dataset) -> None:
    spaced(dataset, 1.0)


def _uneven(dataset: Dataset) -> None:
    moved(dataset, 2, 0, 0, 1.1)


def _aside(dataset: Dataset) -> None:
    moved(dataset, 1, 0.3, 0, 0)


def _same_place(dataset: Dataset) -> None:
    moved(dataset, 1, 0, 0, -2.5)


def _turned(dataset: Dataset) -> None:
    orientation = dataset.SharedFunctionalGroupsSequence[0].pop("PlaneOrientationSequence").value
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.PlaneOrientationSequence = orientation
    turned = Dataset()
    turned.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    dataset.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [turned]


def _nowhere(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence


def _unknown_segment(dataset: Dataset) -> None:
    groups = dataset.SharedFunctionalGroupsSequence[0]  # one segment is said once for all frames
    groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 5


def _no_segment(dataset: Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence


def _twice(dataset: Dataset) -> None:
    dataset.SegmentSequence.append(dataset.SegmentSequence[0])


def _fewer_groups(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[-1]


def _few_pixels(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:2]


def _other_type(dataset: Dataset) -> None:
    dataset.SegmentationType = "SURFACE"


def _other_bits(dataset: Dataset) -> None:
    dataset.BitsAllocated = 32


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_contradict, "says that its slices are 1 mm apart, and they lie 2.5 mm"),
        (_uneven, "lie 1.4, 2.5, 3.6 mm apart"),
        (_aside, "lie beside each other"),
        (_same_place, "2 frames at one place"),
        (_turned, "turned or scaled against each other"),
        (_nowhere, "does not say of every frame where"),
        (_unknown_segment, r"frames of the segments \[5\], which it does not describe"),
        (_no_segment, "frame 1 of instance .* does not say which segment"),
        (_twice, "two of one"),
        (_fewer_groups, "declares 4 frames and describes 3"),
        (_few_pixels, "declares 10 bytes of pixels and holds 2"),
        (_other_type, "unknown type 'SURFACE'"),
        (_other_bits, "which no segmentation has"),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_what_is_not_clear_is_refused(spoil: Callable[[Dataset], None], message: str, tmp_path: Path) -> None:
    dataset = made({"liver": blob(last=5)})
    spoil(dataset)
    with pytest.raises(InvalidSeriesError, match=message):
        [segment.mask() for segment in read_segments(written(dataset, tmp_path))]


def test_one_slice_without_a_thickness_needs_its_images(tmp_path: Path) -> None:
    dataset = spaced(made({"liver": blob(last=2)}), None)
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness
    paths = written(dataset, tmp_path)
    with pytest.raises(InvalidSeriesError, match=r"does not say how thick it is.*give the images"):
        read_segments(paths)
    (liver,) = read_segments(paths, files(make_headers(PLAIN, SHAPE), tmp_path))
    assert places(liver.mask()) == expected(blob(last=2), PLAIN)
    assert np.array_equal(liver.pixels(), liver.mask().array)


def test_frames_at_uneven_distances_lie_on_images_that_have_them(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1, 1, [0, 2, 5]] = True
    dataset = spaced(made({"liver": mask}), None)
    paths = written(dataset, tmp_path)
    with pytest.raises(InvalidSeriesError, match="no regular grid"):
        read_segments(paths)
    (liver,) = read_segments(paths, files(make_headers(PLAIN, SHAPE), tmp_path))
    assert np.array_equal(liver.mask().array, mask)


def test_compressed_bits_are_refused_with_their_syntax(tmp_path: Path) -> None:
    dataset = made({"liver": blob()})
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = encapsulate([b"\0" * 64] * 3)
    dataset["PixelData"].VR = "OB"
    with pytest.raises(UnsupportedTransferSyntaxError, match="single bits compressed as RLE"):
        read_segments(written(dataset, tmp_path))


def test_a_mask_beyond_the_limits_is_refused_before_it_is_made(tmp_path: Path) -> None:
    paths = written(made({"liver": blob()}), tmp_path)
    with pytest.raises(InvalidSeriesError, match="declares a mask"):
        read_segments(paths, limits=Limits(volume_bytes=50))


def test_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    paths = written(made({"liver": blob()}), tmp_path)
    like = files(make_headers(PLAIN, SHAPE, FrameOfReferenceUID="1.2.3.10"), tmp_path)
    with pytest.raises(InvalidSeriesError, match="another frame of reference"):
        read_segments(paths, like)


def test_an_unknown_frame_of_reference_is_refused_unless_the_images_are_those_of_the_object(tmp_path: Path) -> None:
    paths = written(made({"liver": blob()}), tmp_path)
    array = np.zeros(SHAPE, np.int16)
    with pytest.raises(InvalidSeriesError, match="nothing says that the structures and the images"):
        read_segments(paths, Volume(array, PLAIN))
    (liver,) = read_segments(paths, Volume(array, PLAIN, series_instance_uid="1.2.3.0"))
    assert np.array_equal(liver.mask().array, blob())


def volume(affine: NDArray[np.float64], shape: tuple[int, ...] = SHAPE) -> Volume:
    return Volume(np.zeros(shape, np.int16), affine, frame_of_reference_uid="1.2.3.9")


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SRA", "PIL"])
def test_a_volume_that_was_turned_takes_masks_along_its_axes(axes: str, tmp_path: Path) -> None:
    like = volume(PLAIN).reorient(axes)
    (liver,) = read_segments(written(made({"liver": blob()}), tmp_path), like)
    assert liver.mask().shape == like.shape
    assert places(liver.mask()) == expected(blob(), PLAIN)


def test_on_another_grid_the_nearest_voxel_counts(tmp_path: Path) -> None:
    fine = PLAIN.copy()
    fine[:3, :3] /= 2
    fine[:3, 3] -= [0.125, 0.1875, 0.625]  # the outer faces stay where they are
    like = volume(fine, tuple(2 * size for size in SHAPE))
    (liver,) = read_segments(written(made({"liver": blob()}), tmp_path), like)
    assert np.array_equal(liver.mask().array, blob().repeat(2, 0).repeat(2, 1).repeat(2, 2))


def test_slices_between_those_of_the_segmentation_are_filled_from_the_nearest(tmp_path: Path) -> None:
    thin = PLAIN @ np.diag([1, 1, 0.5, 1])  # its pixels are those of the segmentation, every second slice too
    (liver,) = read_segments(written(made({"liver": blob()}), tmp_path), volume(thin, (5, 4, 12)))
    mask = liver.mask().array
    assert all(np.array_equal(mask[:, :, k], blob()[:, :, (k + 1) // 2]) for k in range(10))


def test_on_a_grid_that_is_turned_by_an_odd_angle_the_nearest_voxel_counts(tmp_path: Path) -> None:
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * 0.2
    affine[2, 2] = 2.5
    affine[:2, 3] = (-1.0, -1.5)
    like = volume(affine, (40, 40, 6))
    (liver,) = read_segments(written(made({"liver": blob()}), tmp_path), like)
    mask = liver.mask()
    world = np.argwhere(np.ones(like.shape, bool)) @ affine[:3, :3].T + affine[:3, 3]
    nearest = np.rint(world / PLAIN.diagonal()[:3]).astype(int)
    inside = ((nearest >= 0) & (nearest < SHAPE)).all(axis=1)
    wanted = np.zeros(len(world), bool)
    wanted[inside] = blob()[tuple(nearest[inside].T)]
    assert (mask.array.ravel() != wanted).mean() < 1e-3  # a tie may fall to either side


def test_images_that_show_a_part_get_that_part(tmp_path: Path) -> None:
    crop = PLAIN.copy()
    crop[:3, 3] = PLAIN[:3, :3] @ (2, 1, 2)
    (liver,) = read_segments(written(made({"liver": blob()}), tmp_path), volume(crop, (3, 2, 4)))
    assert np.array_equal(liver.mask().array, blob()[2:, 1:3, 2:])


@pytest.mark.parametrize("shift", [100.0, 101.3])
def test_images_that_show_nothing_of_a_segment_are_refused(shift: float, tmp_path: Path) -> None:
    away = PLAIN.copy()
    away[0, 3] += shift
    masks = {"liver": blob(), "spleen": np.zeros(SHAPE, bool)}
    liver, spleen = read_segments(written(made(masks), tmp_path), volume(away))
    assert not spleen.mask().array.any()
    with pytest.raises(InvalidSeriesError, match=r"segment 1 of .* has no voxel on the images"):
        liver.mask()


def test_a_segmentation_of_a_radiograph_says_that_it_has_no_place(tmp_path: Path) -> None:
    header = make_headers(PLAIN, (5, 4, 1))[0]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        del header[keyword]
    header.SOPClassUID, header.Modality = "1.2.840.10008.5.1.4.1.1.1.1", "DX"
    dataset = segmentation({"lung": blob()[:, :, 1:2]}, SourceSeries.from_headers([header]), make_recipe())
    (lung,) = read_segments(written(dataset, tmp_path))
    assert lung.name == "lung"
    assert np.array_equal(lung.pixels(), blob()[:, :, 1])
    with pytest.raises(InvalidSeriesError, match=r"has no place in the patient.*call pixels\(\)"):
        lung.mask()
    with pytest.raises(InvalidSeriesError, match=r"have no place in the patient \(they may be radiographs"):
        read_segments(written(dataset, tmp_path), files([header], tmp_path))


def test_a_series_without_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSeriesError, match="holds no segments"):
        read_segments(files(make_headers(PLAIN, (5, 4, 1)), tmp_path))


def test_structures_are_compared_without_their_pixels() -> None:
    def read() -> Volume:
        raise AssertionError

    assert StructureMask(1, "liver", read) == StructureMask(1, "liver", lambda: volume(PLAIN))


@pytest.mark.parametrize("wrong", [[65535, 32896], [65535, 32896, 32896, 32896], []])
def test_a_colour_of_another_number_of_parts_is_none(wrong: list[int]) -> None:
    segment = Dataset()
    segment.RecommendedDisplayCIELabValue = wrong
    assert rgb_of_lab(segment) is None


@pytest.mark.parametrize(("part", "is_pixel_grid"), [(1.0, True), (1.0001, True), (1.01, False), (0.99, False)])
def test_pixels_of_almost_the_size_of_the_grids_are_its_pixels_where_the_far_edge_is_too(
    part: float, *, is_pixel_grid: bool
) -> None:
    shape = (64, 48, 3)
    grid = MaskGrid(shape, PLAIN)
    [header, *_] = make_headers(PLAIN, shape, PixelSpacing=[0.75 * part, 0.5 * part])
    header.BitsAllocated = header.BitsStored = 16
    places = frame_places_on(frames_of_header(header), grid)
    assert (places is not None) == is_pixel_grid
