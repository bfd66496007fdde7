from __future__ import annotations

import pytest

from dcm_processor_service.dicom_network.status import explain
from dcm_processor_service.models import Outcome


@pytest.mark.parametrize("code", [0xB000, 0xB006, 0xB007, 0xB123, 0x0001, 0x0107, 0x0116])
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
    "code", [0xA800, 0xA900, 0xA9FF, 0xC000, 0xCFFF, 0x0110, 0x0111, 0x0122, 0x0124, 0x0210, 0xFE00]
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
    assert "does not know" in explain(0x7777).meaning
