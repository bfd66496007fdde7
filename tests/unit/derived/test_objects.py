"""Segmentations, parametric maps, reports, documents and pictures: what they hold, and that they read back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
import pytest
from PIL import Image

from dcm_processor_service.derived import (
    Code,
    DocumentOptions,
    Finding,
    MapOptions,
    Segment,
    SegmentationOptions,
    StudyIdentity,
    capture_pages,
    encapsulated_pdf,
    measurement_report,
    parametric_map,
    segmentation,
    text_report,
    validate,
)
from dcm_processor_service.derived.objects import highdicom_bridge
from dcm_processor_service.derived.objects.highdicom_bridge import released
from dcm_processor_service.derived.reading.segments import read_segments
from dcm_processor_service.errors import ConfigurationError, DerivedObjectError, UnsupportedValueError
from dcm_processor_service.imaging.volumes.volume import SliceSource, Volume
from tests.unit.derived.sources import PLAIN, make_recipe, make_source, stored
from tests.unit.derived.test_source import enhanced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset

SHAPE = (5, 4, 3)
WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")
MASK = np.zeros(SHAPE, bool)
MASK[1:3, 1, :2] = True
RAMP = np.linspace(0, 1, MASK.size, dtype=np.float32).reshape(SHAPE)


def mask_of(dataset: Dataset, number: int) -> np.ndarray[Any, Any]:
    """The mask on the source's slices, by highdicom's own reading: (columns, rows, slices)."""
    read = hd.seg.Segmentation.from_dataset(stored(dataset))
    uids = [f"1.2.3.1.{k}" for k in (1, 2, 3)]
    frames = read.get_pixels_by_source_instance(
        uids, segment_numbers=[number], assert_missing_frames_are_empty=True, rescale_fractional=True
    )
    released(read)
    turned: np.ndarray[Any, Any] = np.asarray(frames[..., 0]).transpose(2, 1, 0)
    return turned


def test_masks_lie_on_their_source_slices_and_may_overlap() -> None:
    made = segmentation({"liver": MASK, "left kidney": MASK[:, :, ::-1]}, make_source(), make_recipe())
    assert np.array_equal(mask_of(made, 1), MASK)
    assert np.array_equal(mask_of(made, 2), MASK[:, :, ::-1])
    liver, kidney = made.SegmentSequence
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    assert kidney.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Kidney"
    side = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Left"
    assert liver.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "1.4.0"
    assert (made.FrameOfReferenceUID, made.SpecificCharacterSet) == ("1.2.3.9", "ISO_IR 192")
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.0"


def test_a_turned_mask_finds_its_slices() -> None:
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[0, 3], flip[2, 3] = 4, 2
    made = segmentation({"liver": MASK[::-1, :, ::-1]}, make_source(), make_recipe(), PLAIN @ flip)
    assert np.array_equal(mask_of(made, 1), MASK)


def test_an_empty_mask_is_a_segment_that_is_nowhere() -> None:
    made = segmentation({"liver": np.zeros(SHAPE, bool)}, make_source(), make_recipe())
    assert validate(made) == ()
    assert [item.SegmentLabel for item in made.SegmentSequence] == ["liver"]
    assert not mask_of(made, 1).any()
    mixed = segmentation({"liver": MASK, "spleen": ~MASK & False}, make_source(), make_recipe())
    assert len(mixed.SegmentSequence) == 2


def test_fractions_make_a_fractional_object() -> None:
    made = segmentation({"lesion": Segment(RAMP, code="Tumor")}, make_source(), make_recipe())
    assert (made.SegmentationType, made.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert np.abs(mask_of(made, 1) - RAMP).max() <= 0.5 / 255 + 1e-6
    category = made.SegmentSequence[0].SegmentedPropertyCategoryCodeSequence[0]
    assert category.CodeValue == "49755003"
    with pytest.raises(DerivedObjectError, match="threshold it"):
        segmentation({"liver": RAMP}, make_source(), make_recipe(), options=SegmentationOptions(kind="binary"))


def test_fractions_too_small_to_be_stored_are_a_segment_that_is_nowhere() -> None:
    made = segmentation({"liver": MASK * 0.001}, make_source(), make_recipe())
    assert made.SegmentationType == "FRACTIONAL"
    assert not mask_of(made, 1).any()


def test_a_mask_on_its_own_grid_says_where_it_is() -> None:
    own = PLAIN.copy()
    own[:3, 3] = (0.2, 0.0, 1.0)
    made = segmentation({"liver": MASK}, make_source(), make_recipe(), own)
    heights = {
        float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        for groups in made.PerFrameFunctionalGroupsSequence
    }
    assert heights == {1.0, 3.5}
    assert len(made.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 3


def test_an_enhanced_source_is_segmented_frame_by_frame() -> None:
    from dcm_processor_service.derived import SourceSeries

    source = SourceSeries.from_headers([enhanced(volumes=1)])
    made = segmentation({"liver": MASK}, source, make_recipe())
    assert validate(made) == ()
    referred = {
        (
            float(groups.PlanePositionSequence[0].ImagePositionPatient[2]),
            int(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber),
        )
        for groups in made.PerFrameFunctionalGroupsSequence
    }
    assert referred == {(0.0, 3), (2.5, 2)}


def test_a_4d_source_is_segmented_at_its_positions() -> None:
    made = segmentation({"liver": MASK}, make_source(volumes=2), make_recipe())
    assert validate(made) == ()
    assert len(made.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 6
    heights = {
        float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        for groups in made.PerFrameFunctionalGroupsSequence
    }
    assert heights == {0.0, 2.5}


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ({}, "no segments"),
        ({"liver": MASK, "spleen": MASK[:2]}, "without an affine"),
        ({"liver": MASK.astype(int) * 3}, "other than 0 to 1"),
        ({"livr": MASK}, "'Liver'"),
        ({"liver": np.zeros((*SHAPE, 2), bool)}, "several volumes"),
    ],
)
def test_segments_that_cannot_be_are_refused(segments: dict[str, Any], words: str) -> None:
    with pytest.raises(DerivedObjectError, match=words):
        segmentation(segments, make_source(), make_recipe())


def test_a_retry_repeats_every_uid() -> None:
    def uids(dataset: Dataset) -> set[str]:
        return {str(element.value) for element in dataset.iterall() if element.VR == "UI"}

    makers: tuple[Callable[[], Dataset], ...] = (
        lambda: segmentation({"liver": MASK}, make_source(), make_recipe()),
        lambda: parametric_map(RAMP, make_source(), make_recipe()),
        lambda: measurement_report({"liver": {"Volume": (1.5, "ml")}}, make_source(), make_recipe()),
    )
    for maker in makers:
        assert uids(maker()) == uids(maker())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_a_map_keeps_every_bit(dtype: type[np.generic]) -> None:
    values = (RAMP * 1000).astype(dtype)
    options = MapOptions("mm2/s", "Apparent Diffusion Coefficient")
    made = stored(parametric_map(values, make_source(), make_recipe(), options=options))
    frames = {
        float(groups.PlanePositionSequence[0].ImagePositionPatient[2]): made.pixel_array[number].T
        for number, groups in enumerate(made.PerFrameFunctionalGroupsSequence)
    }
    assert np.array_equal(np.stack([frames[height] for height in (0.0, 2.5, 5.0)], axis=2), values)
    mapping = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "mm2/s"
    assert validate(made) == ()


def test_a_report_of_measurements_names_quantity_unit_and_segment() -> None:
    masks = segmentation({"liver": MASK}, make_source(), make_recipe("mask"))
    finding = Finding({"Volume": (1520.5, "ml"), "Mean": (55.0, "HU")}, segment=(masks, 1), site="Abdomen")
    made = stored(measurement_report({"liver": finding}, make_source(), make_recipe()))
    numbers = [item for item in _tree(made) if item.ValueType == "NUM"]
    values = [item.MeasuredValueSequence[0] for item in numbers]
    assert [float(value.NumericValue) for value in values] == [1520.5, 55.0]
    assert [value.MeasurementUnitsCodeSequence[0].CodeValue for value in values] == ["ml", "[hnsf'U]"]
    evidence = {
        each.ReferencedSOPInstanceUID
        for study in made.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for each in series.ReferencedSOPSequence
    }
    assert evidence == {"1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3", masks.SOPInstanceUID}
    with pytest.raises(DerivedObjectError, match="refers to segment 2"):
        measurement_report({"liver": Finding(segment=(masks, 2))}, make_source(), make_recipe())


def _tree(dataset: Dataset) -> list[Dataset]:
    return [each for item in dataset.get("ContentSequence", ()) for each in (item, *_tree(item))]


def test_a_report_without_findings_has_an_empty_list() -> None:
    made = measurement_report({}, make_source(), make_recipe())
    (measurements,) = [item for item in made.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010"]
    assert "ContentSequence" not in measurements
    assert validate(made) == ()


def test_unknown_quantities_take_a_code() -> None:
    own = Code("X7", "99LAB", "Wobbliness")
    finding = Finding({"wobble": (1.0, "1")}, finding="Liver", quantity_codes={"wobble": own})
    made = measurement_report({"a": finding}, make_source(), make_recipe())
    (number,) = [item for item in _tree(made) if item.ValueType == "NUM"]
    assert number.ConceptNameCodeSequence[0].CodeValue == "X7"


def test_text_is_kept_with_line_breaks_and_any_script() -> None:
    made = stored(text_report({"findings": "Zażółć\ngęślą", "impression": "肝臓"}, make_source(), make_recipe()))
    texts = [item.TextValue for item in _tree(made) if (item.ValueType, item.RelationshipType) == ("TEXT", "CONTAINS")]
    assert texts == ["Zażółć\r\ngęślą", "肝臓"]
    assert len(made.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence) == 3
    nothing = _tree(text_report({}, WHO, make_recipe()))
    assert [item.TextValue for item in nothing if item.ValueType == "TEXT"][-1] == "None."


def test_a_document_says_what_it_shows_and_is_about() -> None:
    made = stored(encapsulated_pdf(b"%PDF-1.7 x", make_source(), make_recipe(), DocumentOptions(title="Report")))
    assert (made.BurnedInAnnotation, made.DocumentTitle, made.Modality) == ("YES", "Report", "DOC")
    assert [each.ReferencedSOPInstanceUID for each in made.SourceInstanceSequence] == [
        f"1.2.3.1.{k}" for k in (1, 2, 3)
    ]


def png(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_pictures_come_back_pixel_by_pixel(tmp_path: Path) -> None:
    gray = np.arange(35, dtype=np.uint8).reshape(5, 7)
    color = np.arange(105, dtype=np.uint8).reshape(5, 7, 3)
    path = tmp_path / "page.png"
    path.write_bytes(png(color))
    pages: list[Any] = [gray, color, png(gray), path, gray[..., np.newaxis]]
    made = [stored(each) for each in capture_pages(pages, make_source(), make_recipe())]
    for dataset, expected in zip(made, (gray, color, gray, color, gray), strict=True):
        assert np.array_equal(dataset.pixel_array, expected)
    assert [int(each.InstanceNumber) for each in made] == [1, 2, 3, 4, 5]


def test_transparency_becomes_white() -> None:
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, 0] = (10, 20, 30, 255)
    made = capture_pages([clear], WHO, make_recipe())[0].pixel_array
    assert made[0, 0].tolist() == [10, 20, 30]
    assert (made[1:] == 255).all()


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_all_pages_in_one_instance(shape: tuple[int, ...]) -> None:
    pages = [np.full(shape, value, np.uint8) for value in (1, 2, 3)]
    made = stored(capture_pages(pages, make_source(), make_recipe(), multi_frame=True)[0])
    assert np.array_equal(made.pixel_array, np.stack(pages))
    assert validate(made) == ()


def test_pages_that_cannot_be_are_refused() -> None:
    with pytest.raises(DerivedObjectError, match="page 1 is an array of float64"):
        capture_pages([np.zeros((2, 2))], WHO, make_recipe())
    with pytest.raises(DerivedObjectError, match="page 1 is not a PNG"):
        capture_pages([b"nothing"], WHO, make_recipe())
    with pytest.raises(DerivedObjectError, match="no pages"):
        capture_pages([], WHO, make_recipe())
    with pytest.raises(DerivedObjectError, match="one size"):
        capture_pages([np.zeros((2, 2), np.uint8), np.zeros((3, 2), np.uint8)], WHO, make_recipe(), multi_frame=True)


def test_a_series_is_needed_where_the_object_refers_to_images() -> None:
    makers: tuple[Callable[[], Dataset], ...] = (
        lambda: segmentation({"liver": MASK}, WHO, make_recipe()),
        lambda: parametric_map(RAMP, WHO, make_recipe()),
        lambda: measurement_report({}, WHO, make_recipe()),
    )
    for maker in makers:
        with pytest.raises(DerivedObjectError, match="refers to the images"):
            maker()


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r'pip install "dcm-processor-service\[highdicom\]"'):
        highdicom_bridge.load_highdicom("highdicom_that_is_not_installed")


def test_pages_of_16_bits_show_their_upper_half() -> None:
    (made,) = capture_pages([png(np.array([[0, 255, 256, 32768, 65535]], np.uint16))], make_source(), make_recipe())
    assert stored(made).pixel_array.tolist() == [[0, 0, 1, 128, 255]]


def test_the_frames_of_a_map_ascend_along_their_normal_and_hold_the_values_of_their_place() -> None:
    # dcmqi puts frames in their order, whatever their positions say
    for affine in (PLAIN, PLAIN @ np.diag([1, 1, -1, 1]), PLAIN @ np.diag([-1, 1, 1, 1])):
        values = np.broadcast_to(np.arange(3, dtype=np.float64), (5, 4, 3))
        made = stored(parametric_map(values, make_source(affine), make_recipe(), affine))
        orientation = np.array(
            made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
        )
        normal = np.cross(orientation[:3], orientation[3:])
        frames = np.frombuffer(made.DoubleFloatPixelData).reshape(3, 4, 5)
        places = [
            group.PlanePositionSequence[0].ImagePositionPatient for group in made.PerFrameFunctionalGroupsSequence
        ]
        assert (np.diff([normal @ np.array(place, float) for place in places]) > 0).all()
        for frame, place in zip(frames, places, strict=True):
            assert (frame == np.rint((np.linalg.inv(affine) @ (*map(float, place), 1))[2])).all()
        indices = [
            group.FrameContentSequence[0].DimensionIndexValues for group in made.PerFrameFunctionalGroupsSequence
        ]
        assert indices == [1, 2, 3]


@pytest.mark.parametrize(
    ("header", "meaning", "side"),
    [
        ({"BodyPartExamined": "HEAD"}, "Head", "U"),
        ({"BodyPartExamined": "KNEE", "Laterality": "L"}, "Knee", "L"),
        ({"BodyPartExamined": "KNEE"}, "", ""),
        ({"BodyPartExamined": "SPECIALTHING"}, "", ""),
        ({}, "", ""),
    ],
)
def test_a_map_names_the_part_of_the_body_where_its_source_says_it(
    header: dict[str, Any], meaning: str, side: str
) -> None:
    made = parametric_map(np.zeros((5, 4, 3)), make_source(**header), make_recipe())
    groups = made.SharedFunctionalGroupsSequence[0]
    if not meaning:
        assert "FrameAnatomySequence" not in groups
        return
    anatomy = groups.FrameAnatomySequence[0]
    assert (anatomy.AnatomicRegionSequence[0].CodeMeaning, anatomy.FrameLaterality) == (meaning, side)
    assert "Laterality" not in made  # FrameLaterality says it (PS3.3, section C.7.3.1)


@pytest.mark.parametrize("kind", ["binary", "labelmap", None])
@pytest.mark.parametrize("with_sources", [False, True])
def test_masks_that_do_not_overlap_in_their_arrays_and_lie_elsewhere_are_not_put_together(
    kind: Any, *, with_sources: bool
) -> None:
    one, other = np.zeros((5, 4, 2), np.uint8), np.zeros((5, 4, 2), np.uint8)
    one[1, 1:3], other[3, 2] = 1, 1
    above = PLAIN.copy()
    above[2, 3] += 2.5
    lines = [tuple(SliceSource(f"1.2.3.1.{k}") for k in (first, first + 1)) for first in (1, 2)]
    given = {
        name: Volume(mask, place, sources=(line,) if with_sources else ())
        for name, mask, place, line in (("liver", one, PLAIN, lines[0]), ("spleen", other, above, lines[1]))
    }
    with pytest.raises(UnsupportedValueError, match="different grids"):
        segmentation(given, make_source(), make_recipe(), options=SegmentationOptions(kind=kind))


@pytest.mark.parametrize("kind", ["binary", "labelmap", "map"])
@pytest.mark.parametrize("form", ["series of one slice", "one slice of several", "slice elsewhere"])
def test_one_slice_is_as_thick_as_it_was(tmp_path: Path, kind: Any, form: str) -> None:
    shape = (5, 4, 1) if form == "series of one slice" else SHAPE
    place = None if form == "series of one slice" else PLAIN @ np.diag([1, 1, 1 if form[:3] == "one" else 2, 1])
    step = 5.0 if form == "slice elsewhere" else 2.5
    if kind == "map":
        values, options = MASK[:, :, :1] * np.float32(1.5), MapOptions(units="1")
        made = parametric_map(values, make_source(shape=shape), make_recipe(), place, options=options)
    else:
        how = SegmentationOptions(kind=kind)
        made = segmentation({"liver": MASK[:, :, :1]}, make_source(shape=shape), make_recipe(), place, options=how)
        path = tmp_path / "seg.dcm"
        made.save_as(path, enforce_file_format=True)
        [segment] = read_segments([path])
        np.testing.assert_allclose(segment.mask().spacing_mm, (0.5, 0.75, step))
    [measures] = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.SpacingBetweenSlices == step


def test_a_map_says_which_quantity_it_is_of() -> None:
    def definition(**more: Any) -> Any:
        made = parametric_map(RAMP, make_source(), make_recipe(), options=MapOptions(units="mm2/s", **more))
        [mapping] = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        return mapping.get("QuantityDefinitionSequence")

    [quantity] = definition(quantity=Code("113041", "DCM", "Apparent Diffusion Coefficient"))
    assert quantity.ConceptCodeSequence[0].CodeValue == "113041"
    assert not definition()


@pytest.mark.parametrize(("off_mm", "is_one"), [(0.0, True), (1e-5, True), (0.3, False)])
def test_masks_that_lie_a_rounding_apart_lie_on_one_grid(off_mm: float, *, is_one: bool) -> None:
    beside = PLAIN @ np.diag([2.0, 2.0, 1.0, 1.0])
    moved = beside.copy()
    moved[0, 3] += off_mm
    given = {"liver": Volume(MASK, beside), "spleen": Volume(MASK[::-1], moved)}
    if is_one:
        made = segmentation(given, make_source(), make_recipe())
        assert len(made.SegmentSequence) == 2
    else:
        with pytest.raises(UnsupportedValueError, match="different grids"):
            segmentation(given, make_source(), make_recipe())
