from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from dcm_processor_service import series_rules
from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.models import SeriesFinding, SeriesReport
from dcm_processor_service.series_rules import SeriesRules
from dcm_processor_service.session.images.selection import facts_of_report, select_series
from tests.unit.imaging.synthetic import Recipe, single_frame


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[SeriesReport]:
    recipes = [
        Recipe(modality="CT", slices=8, extra={"SeriesDescription": "Thorax Lunge", "ConvolutionKernel": "B70f"}),
        Recipe(modality="CT", slices=5, extra={"SeriesDescription": "Thorax Weich", "ConvolutionKernel": "B30f"}),
        Recipe(modality="MR", orientation=(0, 1, 0, 0, 0, -1), volumes=2, extra={"BodyPartExamined": "HEAD"}),
    ]
    found = []
    for number, recipe in enumerate(recipes):
        folder = tmp_path_factory.mktemp(f"series_{number}")
        found.append(inspect_series(single_frame(recipe, folder)))
    return found


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        ({}, [2, 0, 1]),
        ({"modality": "CT"}, [0, 1]),
        ({"modality": ("MR", "PT")}, [2]),
        ({"kind": "4D"}, [2]),
        ({"description": "thorax"}, [0, 1]),
        ({"description": "thorax", "not_description": "lunge"}, [1]),
        ({"kernel": "^b7"}, [0]),
        ({"body_part": "head"}, [2]),
        ({"plane": "sagittal"}, [2]),
        ({"min_slices": 6}, [2, 0]),
        ({"slice_step_mm": (None, 2.0)}, []),
        ({"slice_step_mm": (2.0, 3.0), "modality": "CT"}, [0, 1]),
        ({"pixel_mm": (0.5, None)}, [2, 0, 1]),
        ({"volumes": (2, None)}, [2]),
        ({"series_number": (3, 3)}, [2, 0, 1]),
        ({"convertible": True}, [2, 0, 1]),
        ({"convertible": False}, []),
        ({"where": lambda report: report.instance_count == 5}, [1]),
    ],
)
def test_each_rule_accepts_and_refuses_series(
    reports: list[SeriesReport], rules: dict[str, Any], chosen: list[int]
) -> None:
    selection = select_series(reports, SeriesRules(**rules))
    assert [report.series_instance_uid for report in selection.chosen] == [
        reports[index].series_instance_uid for index in chosen
    ]
    assert len(selection.reasons) == 3 - len(chosen)


def test_the_first_rule_that_fails_is_named(reports: list[SeriesReport]) -> None:
    selection = select_series(reports, SeriesRules(modality="CT", description="lunge", min_slices=20))
    lunge, soft, head = (selection.reasons[report.series_instance_uid] for report in reports)
    assert lunge == "it has 8 slices, fewer than 20"
    assert soft == "description does not match 'lunge'"
    assert head == "modality is MR, not CT"
    assert selection.explain().count("\n") == 2


def test_an_explanation_quotes_no_description(reports: list[SeriesReport]) -> None:
    assert "Thorax" not in select_series(reports, SeriesRules(description="abdomen")).explain()


def test_choosing_from_no_series_says_that_there_are_none() -> None:
    assert select_series([], SeriesRules()).explain() == "there are no series to choose from"


def test_pixels_are_within_limits_in_both_directions(reports: list[SeriesReport]) -> None:
    part = reports[0].parts[0].model_copy(update={"spacing_mm": (0.5, 2.0, 1.0)})
    report = SeriesReport(series_instance_uid="1.2", parts=(part,))
    for limits in ((0.4, 1.0), (1.0, 3.0)):
        selection = select_series([report], SeriesRules(pixel_mm=limits))
        assert selection.reasons["1.2"] == f"pixel size is 0.5 x 2 mm, not {limits[0]:g} to {limits[1]:g}"
    assert select_series([report], SeriesRules(pixel_mm=(0.5, 2.0))).chosen == (report,)


@pytest.mark.parametrize("rule", ["slice_step_mm", "pixel_mm", "volumes", "series_number"])
def test_what_is_not_known_meets_no_limits(rule: str) -> None:
    report = SeriesReport(series_instance_uid="1.2")
    rules: dict[str, Any] = {rule: (None, None)}
    selection = select_series([report], SeriesRules(**rules))
    assert selection.reasons["1.2"].endswith("is not known")


def test_series_of_one_size_are_in_the_order_of_their_uids() -> None:
    found = [SeriesReport(series_instance_uid=uid) for uid in ("1.3", "1.20", "1.1")]
    chosen = select_series(found, SeriesRules()).chosen
    assert [report.series_instance_uid for report in chosen] == ["1.1", "1.20", "1.3"]


@pytest.mark.parametrize("rule", ["description", "not_description", "body_part", "kernel"])
def test_an_expression_that_is_none_is_refused_by_the_name_of_its_rule(rule: str) -> None:
    rules: dict[str, Any] = {rule: "("}
    with pytest.raises(UnsupportedValueError, match=f"^{rule} is not a regular expression"):
        SeriesRules(**rules)


@pytest.mark.parametrize("rules", [{"description": "("}, {"plane": "diagonal"}, {"kind": "blob"}])
def test_rules_that_mean_nothing_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedValueError):
        SeriesRules(**rules)


def test_the_rule_convertible_chooses_clean_volumes_and_names_findings_of_others(
    reports: list[SeriesReport],
) -> None:
    clean = reports[0]
    findings = [
        SeriesFinding(code=code, message="m", blocking=blocking)
        for code, blocking in (("TILTED", True), ("MISSING_SLICES", True), ("MISSING_SLICES", True), ("NOTE", False))
    ]
    broken = clean.model_copy(update={"series_instance_uid": "1.2", "findings": tuple(findings)})
    empty = SeriesReport(series_instance_uid="1.3")
    wanted = select_series([clean, broken, empty], SeriesRules(convertible=True))
    assert wanted.chosen == (clean,)
    assert wanted.reasons == {
        "1.2": "it is not one clean volume: MISSING_SLICES, TILTED",
        "1.3": "it is not one clean volume: no volume",
    }
    others = select_series([clean, broken, empty], SeriesRules(convertible=False))
    assert {report.series_instance_uid for report in others.chosen} == {"1.2", "1.3"}
    assert others.reasons == {clean.series_instance_uid: "it is one clean volume"}


def test_the_reason_says_what_a_series_is_and_what_was_wanted(reports: list[SeriesReport]) -> None:
    empty = SeriesReport(series_instance_uid="1.3")
    told: list[tuple[dict[str, Any], SeriesReport, str]] = [
        ({"modality": ("MR", "PT")}, reports[0], "modality is CT, not MR or PT"),
        ({"modality": "MR"}, empty, "modality is not said, not MR"),
        ({"kind": "4D"}, reports[0], "kind is volume, not 4D"),
        ({"not_description": "thorax"}, reports[0], "description matches 'thorax'"),
        ({"body_part": "foot"}, reports[2], "body part does not match 'foot'"),
        ({"kernel": "b3"}, reports[0], "kernel does not match 'b3'"),
        ({"plane": "sagittal"}, reports[0], "plane is axial, not sagittal"),
        ({"plane": "axial"}, empty, "plane is not known, not axial"),
        ({"min_slices": 1}, empty, "it has 0 slices, fewer than 1"),
        ({"slice_step_mm": (None, 2)}, reports[0], "slice step is 2.5 mm, not any to 2"),
        ({"pixel_mm": (3.5, None)}, reports[0], "pixel size is 0.6 x 0.8 mm, not 3.5 to any"),
        ({"volumes": (2, 3)}, reports[0], "number of volumes is 1, not 2 to 3"),
        ({"volumes": (3, 4)}, reports[2], "number of volumes is 2, not 3 to 4"),
        ({"series_number": (4, 9)}, reports[0], "series number is 3, not 4 to 9"),
        ({"where": lambda _report: False}, reports[0], "the condition 'where' does not hold"),
    ]
    for rules, report, reason in told:
        assert select_series([report], SeriesRules(**rules)).reasons == {report.series_instance_uid: reason}


@pytest.mark.parametrize("wanted", [("CT", "MR"), "CT"])
def test_least_and_most_belong_to_the_range_and_a_kind_may_be_one_of_several(
    reports: list[SeriesReport], wanted: Any
) -> None:
    assert select_series(reports[:1], SeriesRules(modality=wanted, kind=("4D", "volume"), min_slices=8)).chosen
    for rule in ({"slice_step_mm": (2.5, 2.5)}, {"volumes": (1, 1)}, {"series_number": (3, 3)}):
        limits: dict[str, Any] = rule
        assert select_series(reports[:1], SeriesRules(**limits)).chosen == (reports[0],)


def test_every_rule_has_its_check() -> None:
    assert list(series_rules._CHECKS) == [entry.name for entry in fields(SeriesRules)]


def test_a_series_of_which_nothing_is_known_has_no_values_and_a_reason_that_says_so() -> None:
    report = SeriesReport(series_instance_uid="1.2")
    facts = facts_of_report(report)
    assert (facts.modalities, facts.slice_step_mm, facts.pixel_mm, facts.obstacles) == ((), (), (), ())
    assert (facts.plane, facts.slice_count, facts.volume_count) == ("", 0, None)
    assert select_series([report], SeriesRules(modality="CT")).explain() == "1.2: modality is not said, not CT"


def test_the_values_of_a_series_are_those_of_its_report(reports: list[SeriesReport]) -> None:
    three, four = facts_of_report(reports[0]), facts_of_report(reports[2])
    assert (three.modalities, three.slice_count, three.volume_count) == (("CT",), 8, 1)
    assert (four.modalities, four.body_part, four.volume_count) == (("MR",), "HEAD", 2)
    assert (len(three.pixel_mm), len(three.slice_step_mm)) == (2, 1)
    findings = tuple(
        SeriesFinding(code=code, message="m", blocking=blocking)
        for code, blocking in (("z", True), ("a", True), ("b", False), ("a", True))
    )
    assert facts_of_report(reports[0].model_copy(update={"findings": findings})).obstacles == ("a", "z")
