"""Names and texts that DICOM cannot hold are refused where they are given, without repeating them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dcm_processor_service import Code, Finding, Marker, PersonObserver, Region, Segment
from dcm_processor_service.errors import DcmProcessorError, DerivedObjectError
from dcm_processor_service.testing import fake_context, synthetic_series
from tests.unit.derived.sources import stored
from tests.unit.derived.test_reports import items_of

if TYPE_CHECKING:
    from collections.abc import Callable

LIVER = Code("10200004", "SCT", "Liver")
MASK = np.zeros((16, 16, 3), bool)
MASK[5:9, 5:9] = True
PDF = b"%PDF-1.4\n"

LINES: dict[str, Callable[[Any, Any, str], Any]] = {
    "name of a segment": lambda d, like, odd: d.segmentation({odd: Segment(MASK, code=LIVER)}, like=like),
    "algorithm": lambda d, like, odd: d.segmentation({"liver": MASK}, like=like, algorithm_name=odd),
    "keyword of a segmentation": lambda d, like, odd: d.segmentation({"liver": MASK}, like=like, content_label=odd),
    "meaning of a code": lambda d, like, odd: d.segmentation(
        {"liver": Segment(MASK, code=Code("1", "99LAB", odd))}, like=like
    ),
    "name of a structure": lambda d, like, odd: d.rtstruct({odd: Segment(MASK, code=LIVER)}, like=like),
    "name of a layer": lambda d, like, odd: d.presentation({odd: MASK}, like=like),
    "keyword of a state": lambda d, like, odd: d.presentation({"liver": MASK}, like=like, content_label=odd),
    "name of a finding": lambda d, like, odd: d.measurement_report({odd: Finding(finding=LIVER)}, like=like),
    "label of a map": lambda d, like, odd: d.parametric_map(MASK * 1.0, like=like, role="map", label=odd),
    "organization": lambda d, like, odd: d.text_report("x", like=like, observer=PersonObserver("A^B", odd)),
}
TEXTS: dict[str, Callable[[Any, Any, str], Any]] = {
    "section": lambda d, like, odd: d.text_report(odd, like=like),
    "evaluation": lambda d, like, odd: d.measurement_report({"liver": Finding(evaluations={"Mood": odd})}, like=like),
    "text of a state": lambda d, like, odd: d.presentation({"liver": MASK}, like=like, text=odd),
    "text of a marker": lambda d, like, odd: d.presentation(like=like, markers=[Marker((0.0, 0.0, 0.0), odd)]),
    "title": lambda d, like, odd: d.pdf(PDF, like=like, title=odd),
}


@pytest.mark.parametrize("odd", ["a\0secret", "a\nsecret", "a\x1bsecret", "a\tsecret"], ids=repr)
@pytest.mark.parametrize("where", LINES)
def test_a_name_is_one_line_without_control_characters(where: str, odd: str) -> None:
    with pytest.raises(DcmProcessorError) as caught:
        LINES[where](fake_context().session.dicom.derive, synthetic_series(slices=3), odd)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("where", [name for name in LINES if name != "organization"])
def test_a_name_has_no_backslash_which_would_make_two_of_it(where: str) -> None:
    with pytest.raises(DcmProcessorError):
        LINES[where](fake_context().session.dicom.derive, synthetic_series(slices=3), "a\\b")


@pytest.mark.parametrize("where", ["name of a segment", "name of a structure", "name of a layer", "name of a finding"])
def test_a_name_is_not_empty(where: str) -> None:
    for empty in ("", "  "):
        with pytest.raises(DcmProcessorError, match="is not a line of text"):
            LINES[where](fake_context().session.dicom.derive, synthetic_series(slices=3), empty)


@pytest.mark.parametrize("odd", ["a\0secret", "a\x1bsecret", "a\x7fsecret"], ids=repr)
@pytest.mark.parametrize("where", TEXTS)
def test_a_text_has_no_control_characters_but_line_breaks(where: str, odd: str) -> None:
    with pytest.raises(DcmProcessorError, match="without control characters") as caught:
        TEXTS[where](fake_context().session.dicom.derive, synthetic_series(slices=3), odd)
    assert "secret" not in str(caught.value)


def test_tabs_of_a_report_become_spaces() -> None:
    made = fake_context().session.dicom.derive.text_report("size:\t6 mm\nside:\tleft", like=synthetic_series(slices=3))
    assert items_of(stored(made), "TEXT")[-1].TextValue == "size:   6 mm\r\nside:   left"


@pytest.mark.parametrize(
    "code", [Code("1", "99LAB", "x" * 65), Code("", "99LAB", "x"), Code("1", "", "x"), Code("1", "9" * 17, "x")]
)
def test_a_code_that_dicom_cannot_write_is_refused(code: Code) -> None:
    derive = fake_context().session.dicom.derive
    with pytest.raises(DcmProcessorError, match="of a code is not a line of text"):
        derive.segmentation({"liver": Segment(MASK, code=code)}, like=synthetic_series(slices=3))
    with pytest.raises(DcmProcessorError, match="of a code is not a line of text"):
        derive.measurement_report({"liver": Finding({"Volume": (1.0, code)})}, like=synthetic_series(slices=3))


@pytest.mark.parametrize("part", ["KNEE", "CHEST"])
def test_the_side_of_the_source_is_not_that_of_a_segmentation_or_report(part: str) -> None:
    headers = synthetic_series(slices=3)
    for header in headers:
        header.Laterality, header.BodyPartExamined = "R", part
    derive = fake_context().session.dicom.derive
    for made in (
        derive.segmentation({"liver": MASK}, like=headers),
        derive.segmentation({"liver": MASK}, like=headers, kind="labelmap", role="labels"),
        derive.measurement_report({}, like=headers),
    ):
        assert "Laterality" not in made
        assert made.BodyPartExamined == part


def test_a_source_of_a_retired_class_has_a_segmentation_that_refers_to_it() -> None:
    path = get_testdata_file("color-px.dcm")
    assert isinstance(path, str)
    header = dcmread(path, stop_before_pixels=True)
    mask = np.zeros((header.Columns, header.Rows), bool)
    mask[4:9, 4:9] = True
    derive = fake_context().session.dicom.derive
    made = stored(derive.segmentation({"liver": mask}, like=[header]))
    reference = made.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
    assert header.SOPClassUID.is_retired
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (
        header.SOPClassUID, header.SOPInstanceUID
    )  # fmt: skip
    frames = made.PerFrameFunctionalGroupsSequence
    source = frames[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert source.ReferencedSOPClassUID == header.SOPClassUID


def test_the_frame_of_an_image_that_counts_one_is_not_named() -> None:
    headers = synthetic_series(slices=3)
    for header in headers:
        header.NumberOfFrames = 1
    (page,) = fake_context().session.dicom.derive([np.zeros((5, 6), np.uint8)], like=headers, role="page")
    assert not [item for item in page.SourceImageSequence if "ReferencedFrameNumber" in item]


ODD = Code("1", "99LAB", "a\\b")
LABELS = MASK.astype(np.uint8)
MISTAKES: dict[str, Callable[[Any, Any], Any]] = {
    "labels by name": lambda d, like: d.segmentation(MASK.astype(np.uint8), like=like, labels={"liver": 1}),
    "labels as a list": lambda d, like: d.segmentation(MASK.astype(np.uint8), like=like, labels=["liver"]),
    "fractions of labels": lambda d, like: d.segmentation(MASK.astype(np.uint8), like=like, labels={1.0: "liver"}),
    "a label without a name": lambda d, like: d.segmentation(MASK.astype(np.uint8), like=like, labels={1: None}),
    "a name that is a number": lambda d, like: d.segmentation({5: MASK}, like=like),
    "too red": lambda d, like: d.segmentation({"liver": Segment(MASK, color_rgb=(300, 0, 0))}, like=like),
    "too light": lambda d, like: d.segmentation({"liver": Segment(MASK, color_lab=(300.0, 0.0, 0.0))}, like=like),
    "a window of nothing": lambda d, like: d.parametric_map(MASK * 1.0, like=like, role="m", window=(1.0, -1.0)),
    "a window nowhere": lambda d, like: d(MASK * 1.0, like=like, role="i", units="1", window=(float("nan"), 5.0)),
    "a number of eleven digits": lambda d, like: d.text_report("x", like=like, recipe={"series_number": 10**10}),
    "no unit": lambda d, like: d.measurement_report({"liver": {"Volume": 1.5}}, like=like),
    "no keyword": lambda d, like: d.segmentation({"liver": MASK}, like=like, content_label=5),
    "a title that is a number": lambda d, like: d.pdf(PDF, like=like, title=5),
    "a text of a marker that is a number": lambda d, like: d.presentation(
        like=like,
        markers=[Marker((0.0, 0.0, 0.0), 5)],  # type: ignore[arg-type]  # a mistake
    ),
    "no report": lambda d, like: d.text_report(None, like=like),
    "a section without a name": lambda d, like: d.text_report({None: "x"}, like=like),
    "a number as a language": lambda d, like: d.text_report("x", like=like, language=5),
    "a number as a title": lambda d, like: d.text_report("x", like=like, title=5),
    "an observer in words": lambda d, like: d.text_report("x", like=like, observer="Doe^J"),
    "no findings": lambda d, like: d.measurement_report(None, like=like),
    "an observer of measurements in words": lambda d, like: d.measurement_report({}, like=like, observer="Doe^J"),
    "an answer that is a number": lambda d, like: d.measurement_report(
        {"liver": Finding(evaluations={"Mood": 5})},  # type: ignore[dict-item]  # a mistake
        like=like,
    ),
    "a code that cannot be written as language": lambda d, like: d.text_report("x", like=like, language=ODD),
    "a code that cannot be written as answer": lambda d, like: d.measurement_report(
        {"liver": Finding(evaluations={"Image Quality": ODD})}, like=like
    ),
    "a code that cannot be written as quantity": lambda d, like: d.measurement_report(
        {"liver": Finding({"size": (1.0, "mm")}, quantity_codes={"size": ODD})}, like=like
    ),
    "a code that cannot be written as question": lambda d, like: d.measurement_report(
        {"liver": Finding(evaluations={"mood": "Good"}, quantity_codes={"mood": ODD})}, like=like
    ),
    "a name of a label with a backslash": lambda d, like: d.rtstruct(LABELS, like=like, labels={1: "liver\\spleen"}),
    "a name of a drawn label with a backslash": lambda d, like: d.presentation(
        LABELS, like=like, labels={1: "liver\\spleen"}
    ),
    "a meaning of a label with a backslash": lambda d, like: d.presentation(
        LABELS, like=like, labels={1: Code("1", "99LAB", "liver\\spleen")}
    ),
    "no value": lambda d, like: d.measurement_report({"liver": {"Volume": (None, "ml")}}, like=like),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_reported_in_a_sentence(mistake: str) -> None:
    with pytest.raises(DcmProcessorError):
        MISTAKES[mistake](fake_context().session.dicom.derive, synthetic_series(slices=3))


REGIONS: dict[str, tuple[Any, ...]] = {
    "a point of numbers": ("point", (1, 2, 3)),
    "a point of a letter": ("point", [("a", 1, 2)]),
    "no points": ("point", None),
    "a frame in words": ("point", [(1, 2)], "1.2", "2"),
    "a half frame": ("point", [(1, 2)], "1.2", 1.5),
    "a kind that is a list": ([], [(1, 2, 3)]),
}


@pytest.mark.parametrize("mistake", REGIONS)
def test_a_mistake_in_a_region_is_reported_in_a_sentence(mistake: str) -> None:
    with pytest.raises(DerivedObjectError):
        Region(*REGIONS[mistake])


def test_a_region_of_numbers_of_numpy_is_one() -> None:
    region = Region("point", np.array([[1, 2]]), image="1.2", frame=np.int64(3))  # type: ignore[arg-type]  # as computed
    assert (region.points, region.frame, type(region.frame)) == (((1.0, 2.0),), 3, int)
