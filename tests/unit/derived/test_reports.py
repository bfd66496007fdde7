"""What reports say besides numbers: answers, reasons for having no number, and who observed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.derived import Finding, measurement_report, text_report
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models import Code
from tests.unit.derived.sources import make_recipe, make_source, stored

if TYPE_CHECKING:
    from pydicom import Dataset


def items_of(dataset: Dataset, value_type: str) -> list[Dataset]:
    found = [dataset] if dataset.get("ValueType") == value_type else []
    for item in dataset.get("ContentSequence", ()):
        found += items_of(item, value_type)
    return found


def name_of(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def report_of(**finding: Any) -> Dataset:
    return stored(measurement_report({"liver": Finding(**finding)}, make_source(), make_recipe()))


def test_a_coded_answer_is_coded() -> None:
    made = report_of(evaluations={"Image Quality": "Good", "Finding": "Normal"})
    answers = {name_of(item): item.ConceptCodeSequence[0].CodeValue for item in items_of(made, "CODE")}
    assert answers["Image Quality"] == "122741"
    assert answers["Finding"] in {"17621005", "164854000"}


@pytest.mark.parametrize("answer", ["not as good as last year", Code("g", "99LAB", "grainy")], ids=str)
def test_an_answer_or_question_without_a_code_is_written_as_words(answer: Any) -> None:
    made = report_of(evaluations={"Impression of the operator": answer})
    (comment,) = [item for item in items_of(made, "TEXT") if name_of(item) == "Comment"]
    words = answer if isinstance(answer, str) else "grainy"
    assert comment.TextValue == f"Impression of the operator: {words}"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "114000"), (math.inf, "114002"), (-math.inf, "114001"), ("Measurement failure", "114006"),
        ("Measurement not attempted", "114007"), ("value unknown", "114010"),
    ],
)  # fmt: skip
def test_a_value_that_there_is_not_has_its_reason(value: Any, reason: str) -> None:
    made = report_of(measurements={"Volume": (value, "ml")})
    (number,) = items_of(made, "NUM")
    assert len(number.MeasuredValueSequence) == 0
    assert number.NumericValueQualifierCodeSequence[0].CodeValue == reason


def test_a_word_that_is_no_reason_is_refused() -> None:
    with pytest.raises(DerivedObjectError, match="neither a number nor a reason"):
        report_of(measurements={"Volume": ("Liver", "ml")})


def test_a_report_is_complete_and_unverified() -> None:
    for made in (report_of(), stored(text_report("words", make_source(), make_recipe()))):
        assert (made.CompletionFlag, made.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_a_text_report_names_its_language_and_the_device_that_observed() -> None:
    made = stored(text_report("words", make_source(), make_recipe()))
    assert items_of(made, "CODE")[0].ConceptCodeSequence[0].CodeValue == "en"
    context = [item for item in made.ContentSequence if item.RelationshipType == "HAS OBS CONTEXT"]
    assert [name_of(item) for item in context][:3] == [
        "Observer Type", "Device Observer UID", "Device Observer Name"
    ]  # fmt: skip
    assert context[2].TextValue == "liver-volume"


def test_a_finding_on_one_side_is_at_that_site_on_that_side() -> None:
    made = stored(measurement_report({"kidney_left": {"Volume": (150.0, "ml")}}, make_source(), make_recipe()))
    codes = {name_of(item): item for item in items_of(made, "CODE")}
    assert codes["Finding"].ConceptCodeSequence[0].CodeValue == "64033007"
    assert codes["Finding Site"].ConceptCodeSequence[0].CodeValue == "64033007"
    assert codes["Laterality"].ConceptCodeSequence[0].CodeMeaning == "Left"
