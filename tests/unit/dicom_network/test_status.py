from __future__ import annotations

import pytest

from dcm_processor_service.dicom_network.status import EXACT_MEANINGS, RANGES_OF_MEANINGS, explain
from dcm_processor_service.models import Outcome


@pytest.mark.parametrize("code", [0xB000, 0xB006, 0xB007, 0xB123, 0xBFFF, 0x0001, 0x0107, 0x0116])
def test_warnings_are_stored(code: int) -> None:
    status = explain(code)
    assert status.outcome is Outcome.STORED_WITH_WARNING
    assert not status.retryable


@pytest.mark.parametrize("code", [0xA700, 0xA701, 0xA7FF, 0x0213])
def test_a_lack_of_resources_passes(code: int) -> None:
    status = explain(code)
    assert status.outcome is Outcome.FAILED
    assert status.retryable


@pytest.mark.parametrize(
    "code",
    [0xA6FF, 0xA800, 0xA900, 0xA9FF, 0xAFFF, 0xC000, 0xCFFF, 0x0002, 0x0110, 0x0111, 0x0122, 0x0124, 0x0210, 0xFE00],
)
def test_a_refusal_is_for_good(code: int) -> None:
    status = explain(code)
    assert status.outcome is Outcome.REFUSED
    assert not status.retryable


def test_success_is_stored() -> None:
    assert explain(0x0000).outcome is Outcome.STORED


def test_every_code_has_a_meaning() -> None:
    assert all(explain(code).meaning for code in range(0x10000))


def test_an_unknown_code_says_so() -> None:
    assert "does not define" in explain(0x7777).meaning


@pytest.mark.parametrize("code", EXACT_MEANINGS)
def test_a_code_of_its_own_has_a_meaning_of_its_own(code: int) -> None:
    assert explain(code).meaning == EXACT_MEANINGS[code]
    assert explain(code).code == code


@pytest.mark.parametrize(("first", "last", "meaning"), RANGES_OF_MEANINGS, ids=lambda value: f"{value}"[:5])
def test_a_range_of_codes_has_one_meaning_to_its_ends(first: int, last: int, meaning: str) -> None:
    within = [code for code in (first, first + 2, last) if code not in EXACT_MEANINGS]
    assert within
    assert {explain(code).meaning for code in within} == {meaning}
    assert meaning not in {explain(code).meaning for code in (first - 1, last + 1)}
