"""Small parts of what other makers write: each value of a report, what made a region, limits, windows, masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, CTImageStorage, ExplicitVRLittleEndian

from dcm_processor_service.derived import derive_image, segmentation
from dcm_processor_service.derived.objects.segmentations.mask_checks import holds_fractions
from dcm_processor_service.derived.reading.report_text import read_text
from dcm_processor_service.derived.reading.segments import read_segments
from dcm_processor_service.errors import DerivedObjectError, InvalidSeriesError
from dcm_processor_service.imaging.volumes.volume import Volume
from dcm_processor_service.models.images.limits import Limits
from tests.unit.derived.sources import PLAIN, make_recipe, make_source
from tests.unit.derived.structure_sets import contour, rectangle, structure_set

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def code(value: str, meaning: str, scheme: str = "99LAB") -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, scheme, meaning
    return made


def item(value_type: str, name: str = "", **attributes: Any) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType = "CONTAINS", value_type
    if name:
        made.ConceptNameCodeSequence = [code("1", name)]
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def measured(number: str | None, unit: Dataset | None, **more: Any) -> Dataset:
    value = Dataset()
    if number is not None:
        value.NumericValue = number
    if unit is not None:
        value.MeasurementUnitsCodeSequence = [unit]
    return item("NUM", "Size", **{"MeasuredValueSequence": [value] if number is not None else [], **more})


def referring(sop_class: str, **more: Any) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = sop_class, "1.2.3.4"
    for keyword, value in more.items():
        setattr(made, keyword, value)
    return made


def written(dataset: Dataset, folder: Path) -> list[Path]:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / "object.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return [path]


def text_of(content: Sequence[Dataset], folder: Path) -> list[str]:
    report = item("CONTAINER", "Report", ContentSequence=list(content))
    report.SOPClassUID, report.SOPInstanceUID, report.Modality = ComprehensiveSRStorage, "1.2.3.9", "SR"
    report.SpecificCharacterSet = "ISO_IR 192"
    return read_text(written(report, folder)).split("\n")


MM, NONE, KG = code("mm", "millimeter", "UCUM"), code("1", "no units", "UCUM"), code("X", "stones")
CT = CTImageStorage
VALUES: dict[str, tuple[Dataset, str]] = {
    "date": (item("DATE", "When", Date="20240102"), "When: 20240102"),
    "time": (item("TIME", "When", Time="101112"), "When: 101112"),
    "datetime": (item("DATETIME", "When", DateTime="20240102101112"), "When: 20240102101112"),
    "person": (item("PNAME", "Who", PersonName="Reader^Rita"), "Who: Reader^Rita"),
    "uid": (item("UIDREF", "Which", UID="1.2.3"), "Which: 1.2.3"),
    "words": (item("TEXT", "What", TextValue="a nodule"), "What: a nodule"),
    "words without a name": (item("TEXT", TextValue="a nodule"), "a nodule"),
    "code": (item("CODE", "What", ConceptCodeSequence=[code("7", "nodule")]), "What: nodule"),
    "code without a meaning": (item("CODE", "What", ConceptCodeSequence=[code("7", "")]), "What: 7"),
    "no code": (item("CODE", "What"), "What"),
    "number": (measured("12.5", MM), "Size: 12.5 mm"),
    "number without a unit": (measured("12.5", NONE), "Size: 12.5"),
    "number of another scheme": (measured("12.5", KG), "Size: 12.5 stones"),
    "number that says nothing of its unit": (measured("12.5", None), "Size: 12.5"),
    "no number": (
        measured(None, None, NumericValueQualifierCodeSequence=[code("9", "Not measured")]), "Size: Not measured"
    ),
    "doubtful number": (
        measured("3", MM, NumericValueQualifierCodeSequence=[code("9", "Doubtful")]), "Size: 3 mm (Doubtful)"
    ),
    "image": (
        item("IMAGE", "Where", ReferencedSOPSequence=[referring(CT)]), "Where: CT Image Storage 1.2.3.4"
    ),
    "frames": (
        item("IMAGE", "Where", ReferencedSOPSequence=[referring(CT, ReferencedFrameNumber=[2, 5])]),
        "Where: CT Image Storage 1.2.3.4, frame 2, 5",
    ),
    "segment": (
        item("IMAGE", "Where", ReferencedSOPSequence=[referring(CT, ReferencedSegmentNumber=3)]),
        "Where: CT Image Storage 1.2.3.4, segment 3",
    ),
    "object of no known class": (
        item("COMPOSITE", "Where", ReferencedSOPSequence=[referring("1.2.3.99")]), "Where: 1.2.3.99 1.2.3.4"
    ),
    "pixels": (
        item("SCOORD", "Edge", GraphicType="POLYLINE", GraphicData=[1.0, 2.0, 3.0, 4.0]), "Edge: POLYLINE, 2 points"
    ),
    "points in space": (
        item("SCOORD3D", "Edge", GraphicType="POINT", GraphicData=[1.0, 2.0, 3.0]), "Edge: POINT, 1 points"
    ),
    "time range": (item("TCOORD", "When", TemporalRangeType="SEGMENT"), "When: SEGMENT"),
    "by reference": (item("", ReferencedContentItemIdentifier=[1, 2, 3]), "see item 1.2.3"),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_each_value_of_a_report_is_a_line_of_its_text(name: str, tmp_path: Path) -> None:
    given, line = VALUES[name]
    assert text_of([given], tmp_path) == ["Report", f"  {line}"]


def test_what_lies_below_an_item_is_indented_below_it(tmp_path: Path) -> None:
    inner = item("TEXT", "Deep", TextValue="x")
    nameless = item("CONTAINER", ContentSequence=[inner])
    named = item("CONTAINER", "Part", ContentSequence=[nameless, inner])
    lines = text_of([named, item("TEXT", "Long", TextValue="one\r\ntwo\r\n\r\n  three")], tmp_path)
    assert lines == ["Report", "  Part", "    Deep: x", "    Deep: x", "  Long: one", "    two", "    three"]


def test_a_region_says_how_it_was_made(tmp_path: Path) -> None:
    made = structure_set({"liver": [contour(PLAIN, 1, rectangle(1, 1, 2, 2))], "spleen": []})
    made.StructureSetROISequence[0].ROIGenerationDescription = "drawn with a brush"
    made.StructureSetROISequence[1].ROIGenerationAlgorithm = "AUTOMATIC"
    volume = Volume(np.zeros((5, 4, 3), np.int16), PLAIN, frame_of_reference_uid="1.2.3.9")
    liver, spleen = read_segments(written(made, tmp_path), volume)
    assert (liver.algorithm_type, liver.algorithm_name) == ("MANUAL", "drawn with a brush")
    assert (spleen.algorithm_type, spleen.algorithm_name) == ("AUTOMATIC", "")


@pytest.mark.parametrize(("fractions", "bytes_each"), [(False, 1), (True, 4)])
def test_a_mask_of_just_the_limit_is_read(tmp_path: Path, bytes_each: int, *, fractions: bool) -> None:
    mask = np.full((5, 4, 3), 0.5 if fractions else 1.0)
    made = segmentation({"liver": mask}, make_source(), make_recipe())
    path = tmp_path / "seg.dcm"
    made.save_as(path, enforce_file_format=True)
    need = 60 * bytes_each
    assert read_segments([path], limits=Limits(volume_bytes=need))[0].mask().array.all()
    with pytest.raises(InvalidSeriesError, match="declares a mask"):
        read_segments([path], limits=Limits(volume_bytes=need - 1))


@pytest.mark.parametrize(
    ("header", "is_taken"),
    [
        ({"WindowCenter": 40, "WindowWidth": 400}, True),
        ({"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "LINEAR"}, True),
        ({"WindowCenter": 40, "WindowWidth": 1}, True),
        ({"WindowCenter": 40, "WindowWidth": 0.5}, False),
        ({"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"}, False),
        ({"WindowCenter": 40}, False),
        ({"WindowWidth": 400}, False),
        ({}, False),
    ],
)
def test_the_window_of_a_ct_is_taken_where_it_is_a_whole_linear_one(header: dict[str, Any], *, is_taken: bool) -> None:
    array = np.full((5, 4, 3), -1000, np.int16)
    array[0] = 1000
    made = derive_image(array, make_source(RescaleType="HU", **header), make_recipe()).datasets[0]
    assert made.RescaleType == "HU"
    expected = (40, header["WindowWidth"]) if is_taken else (0.5, 2001)
    assert (made.WindowCenter, made.WindowWidth) == expected


ONES: Any = np.ones((2, 2, 2))


@pytest.mark.parametrize(
    ("mask", "kind", "fractional"),
    [
        (ONES * 0, None, False),
        (ONES, None, False),
        (ONES * 0.5, None, True),
        (ONES * 0.5, "fractional", True),
        (ONES, "fractional", True),
        (ONES.astype(bool), "labelmap", False),
        (ONES.astype(np.uint8), "binary", False),
        (ONES.astype(np.int64) * 0, None, False),
    ],
)
def test_a_mask_is_of_fractions_where_it_holds_some_or_is_to(mask: Any, kind: Any, *, fractional: bool) -> None:
    assert holds_fractions({"empty": ONES * 0, "liver": mask}, kind) == fractional


@pytest.mark.parametrize(
    "mask", [ONES * 1.001, ONES * -0.001, ONES * 2, ONES * np.nan, ONES.astype(np.int8) * -1, ONES.astype(complex)]
)
def test_a_mask_of_other_values_is_refused(mask: Any) -> None:
    with pytest.raises(DerivedObjectError, match="'liver' holds values other than 0 to 1"):
        holds_fractions({"empty": ONES * 0, "liver": mask})
