"""Which lines a report keeps, and what of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.runtime.logs.kept_lines import LOGGER_NAME, KeptLines

if TYPE_CHECKING:
    from dcm_processor_service.models import LogLine


def kept(name: str, level: int, **extra: Any) -> list[LogLine]:
    lines: list[LogLine] = []
    record = logging.makeLogRecord({"name": name, "levelno": level, "levelname": "X", "msg": "said", **extra})
    KeptLines(lines.append, {"session": "5"}).emit(record)
    return lines


def test_fields_of_the_job_stay_without_those_of_every_line() -> None:
    [line] = kept(LOGGER_NAME, logging.INFO, job_fields={"session": "5", "volume_ml": 1.5}, exc_text="trace")
    assert (line.message, line.fields, line.traceback) == ("said", {"volume_ml": 1.5}, "trace")


def test_others_are_kept_from_a_warning_on_and_without_fields_that_nobody_has_cleaned() -> None:
    assert kept("pynetdicom", logging.INFO) == []
    [line] = kept("pynetdicom", logging.WARNING, job_fields={"name": "Doe"})
    assert line.fields == {}


@pytest.mark.parametrize("odd", ["", None, 3, ["x"]])
def test_what_is_no_dictionary_of_fields_is_left_out(odd: object) -> None:
    assert kept(LOGGER_NAME, logging.INFO, job_fields=odd)[0].fields == {}
