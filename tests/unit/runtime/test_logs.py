"""The log of a job: what a line tells, and that no patient attribute is in any, whoever writes it."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import types
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.models import Patient
from dcm_processor_service.runtime.logs.job_log import JobLog, job_logging, log_fields
from dcm_processor_service.runtime.logs.scrubbing import Scrubber
from dcm_processor_service.runtime.logs.terminal_text import visible
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.testing import fake_context

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND = {"session": "5" * 24, "job": "1" * 24, "event": "stable-series", "service": "liver"}
NAME, PATIENT_ID, BORN = "Doe^Jane", "PX-4711", "1979-02-03"


class Terminal(io.StringIO):
    """A stream that says of itself that people look at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def scrubber() -> Scrubber:
    made = Scrubber()
    metadata = {"PatientName": NAME, "PatientID": PATIENT_ID, "PatientBirthDate": BORN}
    made.learn(Patient(id="0" * 24, metadata=metadata))
    return made


@pytest.fixture
def output(scrubber: Scrubber) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    with job_logging(BOUND, scrubber, "INFO", stream):
        yield stream


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def assert_clean(text: str) -> None:
    # the number alone: that of the bytes of memory may hold any other
    assert re.findall(rf"Doe|Jane|PX|(?<![\w.])4711(?!\w)|{BORN}|19790203", text) == []


def test_a_line_is_json_with_what_is_bound_and_what_is_given(output: io.StringIO, scrubber: Scrubber) -> None:
    JobLog(BOUND, scrubber).bind(series="1.2.3").info("segmented %s of %d", "liver", 2, volume_ml=12.5, job="mine")
    (line,) = lines(output)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "dcm_processor_service.job",
        "message": "segmented liver of 2",
        **BOUND,
        "series": "1.2.3",
        "volume_ml": 12.5,
    }


def test_fields_are_json_whatever_they_are(output: io.StringIO, scrubber: Scrubber) -> None:
    JobLog(BOUND, scrubber).info("done", level="high", path=types, huge=2**80, nothing=None)
    (line,) = lines(output)
    assert (line["level"], line["level_"], line["huge"], line["nothing"]) == ("info", "high", str(2**80), None)


def test_the_level_is_that_of_the_settings(output: io.StringIO, scrubber: Scrubber) -> None:
    log = JobLog(BOUND, scrubber)
    log.debug("not shown")
    logging.getLogger("another.library").debug("not shown")
    log.warning("shown")
    assert [line["message"] for line in lines(output)] == ["shown"]


def test_people_get_a_short_line(scrubber: Scrubber) -> None:
    stream = Terminal()
    with job_logging(BOUND, scrubber, "INFO", stream):
        JobLog(BOUND, scrubber).info("segmented", volume_ml=12.5, who=NAME)
        logging.getLogger("x").error("failed", exc_info=(ValueError, ValueError(NAME), None))
    first, second, *traceback = stream.getvalue().splitlines()
    assert first[8:] == " INFO    segmented  volume_ml=12.5  who=[removed]"
    assert second.endswith("ERROR   failed")
    assert traceback == ["ValueError: [removed]"]


STEERING = "CT\x1b[2J\x07\u202e\u2066\x9b31m\r\ud800"


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "file"])
def test_no_line_steers_the_terminal_that_shows_it(stream: io.StringIO, scrubber: Scrubber) -> None:
    with job_logging(BOUND, scrubber, "INFO", stream):
        JobLog(BOUND, scrubber).info(STEERING, series=STEERING)
        logging.getLogger(STEERING).error("failed", exc_info=(ValueError, ValueError(STEERING), None))
    assert "CT" in stream.getvalue()
    assert visible(stream.getvalue()) == stream.getvalue()
    if not stream.isatty():
        assert lines(stream)[0]["message"].startswith("CT\x1b[2J\x07\u202e")


def test_no_attribute_is_in_a_line_of_ours(output: io.StringIO, scrubber: Scrubber) -> None:
    log = JobLog(BOUND, scrubber)
    log.info("patient %s", NAME)
    already_formatted = f"born {BORN}"
    log.info(already_formatted, patient=PATIENT_ID, nested={NAME: [19790203]})
    log.bind(who=NAME).warning("done")
    try:
        int(PATIENT_ID)
    except ValueError:
        log.exception("failed for Jane")
    assert len(lines(output)) == 4
    assert "ValueError: invalid literal for int() with base 10: '[removed]'" in lines(output)[-1]["traceback"]
    assert_clean(output.getvalue())


def test_no_attribute_is_in_a_line_of_another_library(output: io.StringIO) -> None:
    library = logging.getLogger("another.library")
    library.warning("reading %s of %r", NAME, {"born": BORN})
    library.error("failed", exc_info=(ValueError, ValueError(PATIENT_ID), None), stack_info=False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"odd value in {PATIENT_ID}", stacklevel=1)
    assert_clean(output.getvalue().replace('f\\"odd value in {PATIENT_ID}\\"', ""))
    assert [line["logger"] for line in lines(output)] == ["another.library", "another.library", "py.warnings"]


def test_a_handler_that_a_library_made_for_itself_shows_nothing_either(output: io.StringIO) -> None:
    own = io.StringIO()
    library = logging.getLogger("stubborn.library")
    handler = logging.StreamHandler(own)
    library.addHandler(handler)
    library.propagate = False
    try:
        library.error("failed for %s", NAME, exc_info=(ValueError, ValueError(PATIENT_ID), None))
    finally:
        library.removeHandler(handler)
        library.propagate = True
    assert "failed for [removed]\nValueError: [removed]\n" in own.getvalue()
    assert not lines(output)


def test_a_message_that_cannot_be_formatted_shows_no_arguments(
    output: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("another.library").warning("%d", NAME)
    (line,) = lines(output)
    assert line["message"] == "a message that cannot be formatted: TypeError"
    assert_clean(capsys.readouterr().err)


@pytest.mark.parametrize("library", ["pydicom", "highdicom.sr", "pynetdicom.events"])
def test_a_dicom_library_shows_no_value_that_it_quotes(output: io.StringIO, library: str) -> None:
    logging.getLogger(library).warning("Invalid value for VR DA: '%s', b'x^y' and \"other\"", "1980-99-99")
    assert lines(output)[0]["message"] == "Invalid value for VR DA: '…', '…' and '…'"


def test_a_warning_of_a_dicom_library_shows_no_value_that_it_quotes(output: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn_explicit("Invalid value for VR UI: 'Roe^John'", UserWarning, "/lib/pydicom/valuerep.py", 7)
        warnings.warn_explicit("the file 'mask.nii' is old", UserWarning, "/service/module.py", 7)
    first, second = (line["message"] for line in lines(output))
    assert "Roe" not in first
    assert "'mask.nii'" in second


def test_identifiers_of_queries_are_off_also_when_pynetdicom_comes_later(output: io.StringIO) -> None:
    loaded = sys.modules.get("pynetdicom._config")
    config: Any = types.ModuleType("pynetdicom._config")
    config.LOG_REQUEST_IDENTIFIERS = config.LOG_RESPONSE_IDENTIFIERS = True
    sys.modules["pynetdicom._config"] = config
    try:
        logging.getLogger("pynetdicom.service-c").info("(0010,0010) PN: 'Roe^John'\n(0010, 0020) LO: X7")
    finally:
        del sys.modules["pynetdicom._config"]
        if loaded is not None:
            sys.modules["pynetdicom._config"] = loaded
    assert config.LOG_REQUEST_IDENTIFIERS is config.LOG_RESPONSE_IDENTIFIERS is False
    assert lines(output)[0]["message"] == "(element)\n(element)"


def test_the_failure_of_a_thread_is_a_clean_line(output: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError(NAME)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    (line,) = lines(output)
    assert line["message"] == "a thread failed"
    assert line["traceback"].endswith("ValueError: [removed]")
    assert_clean(capsys.readouterr().err)


def test_everything_is_as_before_afterwards(scrubber: Scrubber) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogRecordFactory(), threading.excepthook, warnings.showwarning)
    with job_logging(BOUND, scrubber, "DEBUG", io.StringIO()):
        assert root.handlers != before[0]
        assert root.level == logging.DEBUG
    after = (root.handlers[:], root.level, logging.getLogRecordFactory(), threading.excepthook, warnings.showwarning)
    assert after == before


def test_a_job_in_a_test_logs_too_and_its_own_message_is_clean(caplog: pytest.LogCaptureFixture) -> None:
    ctx = fake_context(subject=Patient(id="0" * 24, metadata={"PatientName": NAME}), service_name="liver")
    ctx.log.warning("measured %s", NAME, volume_ml=1)
    assert [record.getMessage() for record in caplog.records] == ["measured [removed]"]


def test_fields_that_are_not_set_are_empty() -> None:
    settings = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
    assert log_fields(settings) == {"session": "5" * 24, "job": "1" * 24, "event": "", "service": ""}


@pytest.mark.parametrize(("level", "expected"), [("INFO", ["warns"]), ("DEBUG", ["copies a module", "warns"])])
def test_what_highdicom_tells_of_each_module_is_shown_with_debug_alone(level: str, expected: list[str]) -> None:
    stream = io.StringIO()
    with job_logging(BOUND, Scrubber(), level, stream):
        logging.getLogger("highdicom.base").info("copies a module")
        logging.getLogger("highdicom.base").warning("warns")
    assert [line["message"] for line in lines(stream)] == expected
