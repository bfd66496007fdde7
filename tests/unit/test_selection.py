from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import selection as select
from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.inspect import inspect_series
from dcm_processor_service.selection import SeriesRules, select_series
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from dcm_processor_service.models import SeriesReport


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
def test_rules(reports: list[SeriesReport], rules: dict[str, Any], chosen: list[int]) -> None:
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


def test_nothing_to_choose_from() -> None:
    assert select_series([], SeriesRules()).explain() == "there are no series to choose from"


@pytest.mark.parametrize("rules", [{"description": "("}, {"plane": "diagonal"}, {"kind": "blob"}])
def test_rules_that_mean_nothing_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedValueError):
        SeriesRules(**rules)


def test_every_rule_has_its_check() -> None:
    assert list(select._CHECKS) == [entry.name for entry in fields(SeriesRules)]
