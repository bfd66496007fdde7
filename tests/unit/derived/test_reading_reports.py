"""Findings, words and documents are read as they were written, by this package and by others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import highdicom as hd
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes

from dcm_processor_service import Code, Finding
from dcm_processor_service.derived import encapsulated_pdf, measurement_report, text_report
from dcm_processor_service.derived.reading.measurements import read_measurements
from dcm_processor_service.derived.reading.report_text import read_documents, read_text
from dcm_processor_service.errors import InvalidSeriesError
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source
from tests.unit.derived.test_reading_seg import SHAPE, blob, files, fill, made, packaged

if TYPE_CHECKING:
    from collections.abc import Mapping

LIVER = Code("10200004", "SCT", "Liver")
KIDNEY = Code("64033007", "SCT", "Kidney")
MASS = Code("4147007", "SCT", "Mass")
LEFT = Code("7771000", "SCT", "Left")
GOOD = Code("122741", "DCM", "Good image quality")
SHAPE_FACTOR = Code("SF-1", "99LAB", "Shape factor")


def file_of(dataset: Dataset, folder: Path) -> list[Path]:
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return [path]


def report(findings: Mapping[str, Any], folder: Path) -> list[Path]:
    return file_of(measurement_report(findings, make_source(PLAIN, SHAPE), make_recipe()), folder)


def test_findings_come_back_as_they_were_given(tmp_path: Path) -> None:
    given = {
        "liver": Finding({"Volume": (1520.5, "ml"), "Mean": (41.25, "HU")}, finding=LIVER),
        "lesion 1": Finding(
            {"Diameter": (12.5, "mm"), "Shape factor": (0.75, "1")},
            evaluations={"Image Quality": GOOD, "Margins as told": "a little blurred"},
            finding=MASS,
            site=LIVER,
            quantity_codes={"Shape factor": SHAPE_FACTOR},
        ),
        "left one": Finding({"Volume": (150.0, "ml")}, finding=MASS, site=KIDNEY, laterality=LEFT),
    }
    assert read_measurements(report(given, tmp_path)) == given


def test_what_is_read_can_be_written_again_and_is_the_same(tmp_path: Path) -> None:
    given = {
        "liver": {"Volume": (1520.5, "ml"), "Mean": (math.nan, "HU"), "Diameter": ("Measurement failure", "mm")},
        "kidney_left": Finding({"Volume": (math.inf, "ml")}, evaluations={"Image Quality": "Good", "Mood": "grey"}),
    }
    first = read_measurements(report(given, tmp_path))
    assert read_measurements(report(first, tmp_path)) == first
    liver, kidney = first["liver"], first["kidney_left"]
    assert liver.measurements["Volume"] == (1520.5, "ml")
    assert math.isnan(float(liver.measurements["Mean"][0]))
    assert liver.measurements["Diameter"][0] == "Measurement failure"
    assert kidney.measurements["Volume"][0] == math.inf
    assert (kidney.finding, kidney.laterality) == (KIDNEY, LEFT)
    assert kidney.evaluations == {"Image Quality": GOOD, "Mood": "grey"}


def test_the_measured_segment_is_identified_and_can_be_referred_to_again(tmp_path: Path) -> None:
    seg = made({"liver": blob()})
    first = read_measurements(report({"liver": Finding({"Volume": (1.5, "ml")}, segment=(seg, 1))}, tmp_path))
    identity, number = first["liver"].segment or (Dataset(), 0)
    assert (number, identity.SOPInstanceUID, identity.SeriesInstanceUID) == (
        1,
        seg.SOPInstanceUID,
        seg.SeriesInstanceUID,
    )
    assert identity.SegmentSequence[0].TrackingUID == seg.SegmentSequence[0].TrackingUID
    assert read_measurements(report(first, tmp_path)) == first


def test_a_report_without_findings_has_none(tmp_path: Path) -> None:
    assert read_measurements(report({}, tmp_path)) == {}


def test_reports_of_one_series_give_all_their_findings(tmp_path: Path) -> None:
    first = measurement_report({"liver": {"Volume": (1.0, "ml")}}, make_source(), make_recipe("one"))
    second = measurement_report({"liver": {"Volume": (2.0, "ml")}}, make_source(), make_recipe("two"))
    found = read_measurements([*file_of(first, tmp_path), *file_of(second, tmp_path)])
    assert {name: each.measurements["Volume"][0] for name, each in found.items()} == {"liver": 1.0, "liver (2)": 2.0}


def report_of_another(folder: Path) -> list[Path]:
    """As a reading tool writes it: codes of SRT, derivations, one finding without a name, one group without any."""
    measurement = hd.sr.Measurement
    name = codes.DCM.AttenuationCoefficient
    unit = codes.UCUM.HounsfieldUnit
    mean, maximum = codes.SCT.Mean, codes.SCT.Maximum
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        hd.sr.TrackingIdentifier(uid="1.2.3.88", identifier="n"),
        finding_type=codes.SCT.Nodule,
        finding_sites=[hd.sr.FindingSite(codes.SCT.Lung, laterality=codes.SCT.Right)],
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        measurements=[
            measurement(name, 31.5, unit, derivation=mean),
            measurement(name, 99.0, unit, derivation=maximum),
            measurement(name, 7.0, unit),
        ],
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(codes.SCT.Finding, codes.SCT.Normal)],
    )  # fmt: skip
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_person_context=hd.sr.ObserverContext(
                codes.DCM.Person, hd.sr.PersonObserverIdentifyingAttributes(name="Doe^Jane")
            )
        ),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[group],
        title=codes.DCM.ImagingMeasurementReport,
    )
    for item in list(content[0].ContentSequence[-1].ContentSequence[0].ContentSequence):
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Tracking Identifier":
            content[0].ContentSequence[-1].ContentSequence[0].ContentSequence.remove(item)
    headers = make_headers()
    for header in headers:
        fill(header)
    dataset = hd.sr.Comprehensive3DSR(
        evidence=headers, content=content[0], series_instance_uid="1.2.3.70", series_number=1,
        sop_instance_uid="1.2.3.70.1", instance_number=1, manufacturer="m",
    )  # fmt: skip
    return file_of(dataset, folder)


def test_a_report_of_another_maker_loses_no_measurement(tmp_path: Path) -> None:
    ((name, finding),) = read_measurements(report_of_another(tmp_path)).items()
    assert name == "Nodule"
    assert {key: value for key, (value, _) in finding.measurements.items()} == {
        "Attenuation Coefficient, Mean": 31.5,
        "Attenuation Coefficient, Maximum": 99.0,
        "Attenuation Coefficient": 7.0,
    }
    assert {unit for _, unit in finding.measurements.values()} == {"HU"}
    assert finding.quantity_codes["Attenuation Coefficient, Mean"].value == "112031"
    assert isinstance(finding.site, Code)
    assert (finding.site.meaning, finding.laterality) == ("Lung", Code("24028007", "SCT", "Right"))
    assert "Finding" not in finding.measurements


def test_a_report_in_words_is_no_measurement_report(tmp_path: Path) -> None:
    paths = file_of(text_report("No nodules.", make_source(), make_recipe()), tmp_path)
    with pytest.raises(InvalidSeriesError, match=r"not a measurement report of TID 1500 .*series\.text\(\)"):
        read_measurements(paths)


def test_a_measurement_without_a_number_is_refused(tmp_path: Path) -> None:
    dataset = measurement_report({"liver": {"Volume": (1.0, "ml")}}, make_source(), make_recipe())
    group = dataset.ContentSequence[-1].ContentSequence[0]
    (measured,) = [item for item in group.ContentSequence if item.ValueType == "NUM"]
    for keyword in ("NumericValue", "FloatingPointValue"):
        measured.MeasuredValueSequence[0].pop(keyword, None)
    with pytest.raises(InvalidSeriesError, match="'Volume' has no number"):
        read_measurements(file_of(dataset, tmp_path))


def test_the_text_of_a_report_is_its_tree(tmp_path: Path) -> None:
    given = {"findings": "Two nodules.\nNo effusion.", "impression": "Follow up."}
    lines = read_text(file_of(text_report(given, make_source(), make_recipe()), tmp_path)).splitlines()
    assert lines[:2] == [
        "Diagnostic imaging report",
        "  Language of Content Item and Descendants: English",
    ]
    assert lines[-6:] == [
        "  Source: CT Image Storage 1.2.3.1.1",
        "  Findings",
        "    Finding: Two nodules.",
        "      No effusion.",
        "  Impressions",
        "    Impression: Follow up.",
    ]


def test_numbers_and_references_stand_in_the_text(tmp_path: Path) -> None:
    seg = made({"liver": blob()})
    finding = Finding({"Volume": (1.5, "ml"), "Mean": (math.nan, "HU")}, segment=(seg, 1))
    text = read_text(report({"liver": finding}, tmp_path))
    assert "\n      Volume: 1.5 ml\n" in text
    assert "\n      Mean: Not a number\n" in text
    assert f"Referenced Segment: Segmentation Storage {seg.SOPInstanceUID}, segment 1" in text


def test_every_value_of_a_real_report_is_in_its_text() -> None:
    text = read_text([packaged("test-SR.dcm")])
    for line in (
        "Diagnosis", "  Some UID: 1.2.3.4.5", "      Diameter: 3 Length Unit", "    Text Code: was detected.",
        "    SCoord Code: CIRCLE, 2 points", "    TCoord Code: SEGMENT", "      see item 1.3.2",
        "    DateTime: 20001206120000",
    ):  # fmt: skip
        assert line.strip() in [each.strip() for each in text.splitlines()], line


def test_a_document_comes_back_byte_by_byte(tmp_path: Path) -> None:
    for content in (b"%PDF-1.4 even", b"%PDF-1.4 odd", b"%PDF-1.4 ends with zero\0\0"):
        dataset = encapsulated_pdf(content, make_source(), make_recipe())
        assert read_documents(file_of(dataset, tmp_path)) == (content,)


def test_a_document_of_unknown_length_loses_its_padding_alone(tmp_path: Path) -> None:
    dataset = encapsulated_pdf(b"%PDF-1.4 odd", make_source(), make_recipe())
    del dataset.EncapsulatedDocumentLength
    assert read_documents(file_of(dataset, tmp_path))[0].rstrip(b"\0") == b"%PDF-1.4 odd"


@pytest.mark.parametrize(("keyword", "value"), [("EncapsulatedDocumentLength", 500), ("EncapsulatedDocument", b"")])
def test_a_document_that_is_cut_off_or_empty_is_refused(keyword: str, value: Any, tmp_path: Path) -> None:
    dataset = encapsulated_pdf(b"%PDF-1.4 ..", make_source(), make_recipe())
    setattr(dataset, keyword, value)
    with pytest.raises(InvalidSeriesError, match="get it again"):
        read_documents(file_of(dataset, tmp_path))


def test_each_reader_names_the_other_for_what_it_does_not_read(tmp_path: Path) -> None:
    pdf = file_of(encapsulated_pdf(b"%PDF-1.4 ..", make_source(), make_recipe()), tmp_path)
    words = file_of(text_report("No nodules.", make_source(), make_recipe("words")), tmp_path)
    with pytest.raises(InvalidSeriesError, match=r"its kind is document: .*series\.documents\(\)"):
        read_text(pdf)
    with pytest.raises(InvalidSeriesError, match=r"its kind is structured report: .*series\.text\(\)"):
        read_documents(words)
    with pytest.raises(InvalidSeriesError, match="cannot be read as structured report, since its kind is image: "):
        read_measurements(files(make_headers(), tmp_path)[:1])


def test_a_report_that_is_no_longer_whole_is_refused(tmp_path: Path) -> None:
    content = Path(str(get_testdata_file("test-SR.dcm"))).read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidSeriesError):
        read_text([path])
