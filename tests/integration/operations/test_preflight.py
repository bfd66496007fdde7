"""Before the first job of a session the log names the headers that would end the worker's generated script."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import run_pre_services

if TYPE_CHECKING:
    from tests.integration.operations.conftest import Made, Platform

pytestmark = pytest.mark.mongodb

SECRET = 'since "Friday" Doe^Jane'


def warnings(platform: Platform, made: Made, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What the pre-service logs besides its own line."""
    arguments = {
        "session_id": made.id,
        "job_id": str(made.jobs["pre_services"]),
        "db_provider": "mongodb",
        "db_url": platform.settings.db_url.get_secret_value(),
        "db_name": platform.database.name,
        "headers": {"PeerUID": "9e" * 12},
        "params": {},
        "added_params": {},
    }
    run_pre_services(**arguments)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert "Friday" not in repr(lines)
    return [line for line in lines if line["level"] == "warning"]


def test_the_attribute_and_the_series_are_named_and_not_the_value(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    made = platform.session(segment={})
    platform.database.series.update_one({}, {"$set": {"Metadata.SeriesDescription": SECRET}})
    platform.database.patients.update_one({}, {"$set": {"Metadata.PatientComments": "Friday\r\nagain\\"}})
    found = {line["about"]: line["because"] for line in warnings(platform, made, capsys)}
    assert found == {
        "the patient": "PatientComments holds a backslash, PatientComments holds a line break",
        "the series 1.2.3": "SeriesDescription holds a quotation mark",
    }


def test_params_that_a_job_could_not_start_with_are_named_by_the_job(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    made = platform.session(segment={})
    given = {"data.kwargs.params.pattern": '"Friday"', "data.kwargs.added_params": {"segment": {"text": "a\n"}}}
    platform.database.jobs.update_one({"job_name": "segment"}, {"$set": given})
    (line,) = warnings(platform, made, capsys)
    assert line["about"] == "the job segment"
    assert line["because"] == "params.pattern holds a quotation mark, added_params.segment.text holds a line break"


def test_headers_that_arrive_are_not_named(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    made = platform.session(segment={})
    platform.database.series.update_one({}, {"$set": {"Metadata.SeriesDescription": "Müller's T1 ü {x} 100 %"}})
    assert warnings(platform, made, capsys) == []


def test_a_session_whose_documents_cannot_be_read_goes_on(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    made = platform.session(segment={})
    platform.database.series.update_one({}, {"$set": {"Instances": 7}})
    (line,) = warnings(platform, made, capsys)
    assert line["message"] == "the headers could not be looked through"
