"""Forty values of a patient in forty places of a job: none is printed, logged or recorded.

SECURITY.md says what is removed; these are its sentences. A place that ends the interpreter has a process of its own.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import importlib
import json
import logging
import logging.handlers
import os
import queue
import re
import subprocess
import sys
import threading
import traceback
import unicodedata
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import (
    AsyncRuntimeContext,
    Container,
    Patient,
    RuntimeContext,
    RuntimeSettings,
    entrypoint,
    opened,
)
from dcm_processor_service.errors import CallbackFailedError, ConfigurationError, InvalidSeriesError
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.execution.runner import run_callback
from dcm_processor_service.runtime.execution.worker import run_for_worker
from dcm_processor_service.runtime.logs.scrubbing import Scrubber
from dcm_processor_service.runtime.stores import job_of_arguments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METADATA: dict[str, Any] = {
    "PatientName": "Müller-Ek^Änne^^Dr",
    "PatientID": "PX-4711",
    "OtherPatientIDs": ["0012345", "B71"],
    "PatientBirthDate": "19790203",
    "StudyDate": "20240131",
    "AccessionNumber": 987654,
    "PatientBirthName": "O'Leary^Änne",
    "PatientMotherBirthName": "Kowalczyk^Zofia",
    "ReferringPhysicianName": [{"Alphabetic": "House^Gregory", "Ideographic": "家^格雷"}],
    "PatientTelephoneNumbers": "+49 30 7654321",
    "RequestAttributesSequence": [{"RequestingPhysician": "Cuddy^Lisa"}],
}
VALUES = [
    *("Müller-Ek^Änne^^Dr", "Müller-Ek Änne", "ÄNNE_MÜLLER-EK", "änne", "Muller-Ek", "Mueller-Ek", r"M\u00fcller-Ek"),
    *(unicodedata.normalize("NFD", "Müller-Ek"), "M\\xc3\\xbcller-Ek", "House", "GREGORY", "houseGregory", "家格雷"),
    *("O'Leary", "Kowalczyk", "Zofia", "Cuddy%5ELisa", "PX-4711", "px4711", "PX_4711", "0012345", "12345", "b71"),
    *("987654", "+49 30 7654321", "patient 0012345", "19790203", "1979-02-03", "3.2.1979", "02/03/79", "03021979"),
    *("030279", "790203", "3 Feb 1979", "03FEB1979", "February 3rd, 1979", "the third of February 1979"),
    *("third of February, nineteen seventy-nine", "3. Februar 1979", "Jan 31 10:15:00 2024"),
]
TEXT = " | ".join(VALUES)
ARGUMENTS: dict[str, Any] = {
    "session_id": "5e" * 12,
    "job_id": "1b" * 12,
    "job_name": "segment",
    "headers": {"_id": "5a" * 12, "Instances": [], "Metadata": METADATA},
    "db_provider": "memory",
}


class OwnError(Exception):
    """An error whose text is made of what it holds."""

    def __init__(self, text: str) -> None:
        super().__init__(3)
        self.detail = {"text": [text]}

    def __str__(self) -> str:
        return f"own: {self.detail}"


class FrozenError(Exception):
    """An error that cannot be cleaned."""

    def __str__(self) -> str:
        return TEXT


def group(text: str) -> BaseException:
    kind: Any = getattr(builtins, "ExceptionGroup", None) or importlib.import_module("exceptiongroup").ExceptionGroup
    made: BaseException = kind(text, [ValueError(text), kind("inner", [KeyError(text)])])
    return made


def noted(text: str) -> BaseException:
    error = ValueError("see the note")
    vars(error)["__notes__"] = [text]
    return error


def undecodable(text: str) -> BaseException:
    return UnicodeDecodeError("ascii", text.encode(), 0, 1, text)


def caused(text: str) -> BaseException:
    error = ValueError("see the cause")
    error.__cause__ = LookupError(text)
    return error


ERRORS: dict[str, Callable[[str], BaseException]] = {
    "ValueError": ValueError,
    "KeyError": KeyError,
    "OSError with a file name": lambda text: FileNotFoundError(2, "gone", f"/scans/{text}.dcm"),
    "an error of ours": InvalidSeriesError,
    "arguments that are not text": lambda text: ValueError({"who": [text]}, (text,)),
    "bytes": lambda text: ValueError(text.encode()),
    "an error with a text of its own": OwnError,
    "an error that cannot be cleaned": lambda _text: FrozenError(),
    "a cause": caused,
    "a note": noted,
    "ExceptionGroup": group,
    "UnicodeDecodeError": undecodable,
    "SyntaxError": lambda text: SyntaxError("bad", ("file.py", 1, 1, text)),
    "sys.exit with a text": SystemExit,
    "sys.exit with an object": lambda text: SystemExit([text]),
    "a configuration error": ConfigurationError,
}


def in_thread(ctx: RuntimeContext, text: str) -> None:
    def fail() -> None:
        raise ValueError(text)

    thread = threading.Thread(target=fail, name=text)
    thread.start()
    thread.join()


def in_thread_named(ctx: RuntimeContext, text: str) -> None:
    thread = threading.Thread(target=ctx.log.warning, args=("done",), name=text)
    thread.start()
    thread.join()


def exception_logged(ctx: RuntimeContext, text: str) -> None:
    try:
        int(text)
    except ValueError:
        ctx.log.exception("failed")


def warned(ctx: RuntimeContext, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(text, stacklevel=1)


def own_handler(ctx: RuntimeContext, text: str) -> None:
    library = logging.getLogger("library.with.a.handler")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s %(threadName)s %(message)s %(job_fields)s"))
    library.addHandler(handler)
    try:
        library.error(text, extra={"job_fields": ""})
    finally:
        library.removeHandler(handler)


def unraisable(ctx: RuntimeContext, text: str) -> None:
    class Holder:
        def __del__(self) -> None:
            raise ValueError(text)

    Holder()


def additional_field(ctx: RuntimeContext, text: str) -> None:
    class Holder:
        def __str__(self) -> str:
            return text

    library = logging.getLogger("library.with.fields")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(who)s %(what)s %(holder)s %(message)s"))
    library.addHandler(handler)
    try:
        library.error("failed", extra={"who": text, "what": {"a": [text]}, "holder": Holder()})
    finally:
        library.removeHandler(handler)


def other_record_factory(ctx: RuntimeContext, text: str) -> None:
    logging.setLogRecordFactory(logging.LogRecord)
    logging.getLogger("library").error("read %s", text)
    try:
        int(text)
    except ValueError:
        logging.getLogger("library").exception("failed")


def failing_handler(ctx: RuntimeContext, text: str) -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                int(text)
            except ValueError:
                self.handleError(record)

    library, handler = logging.getLogger("library.with.a.failing.handler"), Failing()
    library.addHandler(handler)
    try:
        library.error("failed")
    finally:
        library.removeHandler(handler)


def ready_made_record(ctx: RuntimeContext, text: str) -> None:
    """As queues and sockets hand records on."""
    fields = {"msg": "read %s", "args": (text,), "levelno": 40, "levelname": text, "name": text, "threadName": text}
    logging.getLogger("library").handle(logging.makeLogRecord(fields))


def own_level(ctx: RuntimeContext, text: str) -> None:
    logging.addLevelName(45, text)
    try:
        logging.getLogger("library").log(45, "failed")
    finally:
        logging.addLevelName(45, "Level 45")


def through_a_queue(ctx: RuntimeContext, text: str) -> None:
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    library, handler = logging.getLogger("library.with.a.queue"), logging.handlers.QueueHandler(records)
    listener = logging.handlers.QueueListener(records, logging.StreamHandler())
    listener.start()
    library.addHandler(handler)
    try:
        int(text)
    except ValueError:
        library.exception("read %s", text)
    finally:
        listener.stop()
        library.removeHandler(handler)


def logging_configured_anew(ctx: RuntimeContext, text: str) -> None:
    root = logging.getLogger()
    handlers = root.handlers[:]
    logging.basicConfig(force=True, format="%(name)s %(message)s")
    try:
        logging.getLogger(text).error("read", exc_info=ValueError(text))
    finally:
        root.handlers[:] = handlers


def event_loop(ctx: RuntimeContext, text: str) -> None:
    def fail() -> None:
        raise ValueError(text)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(fail)
        loop.call_exception_handler({"message": text, "exception": ValueError(text), "who": text})
        await asyncio.sleep(0)

    asyncio.run(run())


LINES: dict[str, Callable[[RuntimeContext, str], object]] = {
    "a record that was made elsewhere": ready_made_record,
    "the name of a level": own_level,
    "a queue of records": through_a_queue,
    "logging configured anew": logging_configured_anew,
    "the handler of an event loop": event_loop,
    "a message": lambda ctx, text: ctx.log.info(text),
    "an argument": lambda ctx, text: ctx.log.info("read %s of %r", text, [text]),
    "a field": lambda ctx, text: ctx.log.info("read", who=text),
    "a nested field": lambda ctx, text: ctx.log.info("read", who={text: [(text,)]}),
    "a bound field": lambda ctx, text: ctx.log.bind(who=text).info("read"),
    "a logged exception": exception_logged,
    "the name of a logger": lambda _, text: logging.getLogger(text).error("failed"),
    "a line of another library": lambda _, text: logging.getLogger("library").error("read %s", {"who": text}),
    "a handler of another library": own_handler,
    "a stack": lambda _, text: logging.getLogger("library").error(text, stack_info=True),
    "a debug line of the database's driver": lambda _, text: logging.getLogger("pymongo.command").debug("%s", text),
    "a message that cannot be formatted": lambda _, text: logging.getLogger("library").error("%d", text),
    "a warning": warned,
    "a failed thread": in_thread,
    "an additional field of another library": additional_field,
    "a record of another factory": other_record_factory,
    "a handler that fails": failing_handler,
    "a thread's name": in_thread_named,
    "an error in __del__": unraisable,
}

ENDINGS = {
    "atexit": "import atexit\ndef run(ctx: RuntimeContext):\n    atexit.register(fail, TEXT)",
    "a __del__ at the interpreter's end": "def run(ctx: RuntimeContext):\n    kept.append(Holder())",
    "an error after the entry": "def run(ctx: RuntimeContext):\n    pass\ndef after():\n    fail(TEXT)",
    "sys.exit after the log has ended": "def run(ctx: RuntimeContext):\n    sys.exit(TEXT)",
    "a line of a function of atexit": "import atexit, logging\ndef run(ctx: RuntimeContext):\n"
    "    atexit.register(logging.getLogger('library').error, TEXT)",
    "a warning of a function of atexit": "import atexit, warnings\ndef run(ctx: RuntimeContext):\n"
    "    atexit.register(warnings.warn, TEXT)",
    "a thread that outlives the job": "import threading, time\ndef late():\n    time.sleep(0.2)\n    fail(TEXT)\n"
    "def run(ctx: RuntimeContext):\n    threading.Thread(target=late).start()",
    "a task that nobody waited for": "import asyncio\nfrom dcm_processor_service import AsyncRuntimeContext\n"
    "async def late():\n    fail(TEXT)\nasync def run(ctx: AsyncRuntimeContext):\n"
    "    kept.append(asyncio.ensure_future(late()))\n    await asyncio.wait(kept)",
    "exec": "def run(ctx: RuntimeContext):\n    fail(TEXT)",
    "exec with sys.exit": "def run(ctx: RuntimeContext):\n    sys.exit(TEXT)",
}
MODULE = """
import json, os, sys
from dcm_processor_service import RuntimeContext, entrypoint

with open("text.json") as file:
    TEXT = json.load(file)
kept = []

def fail(text):
    raise ValueError(text)

class Holder:
    def __del__(self):
        raise ValueError(TEXT)

def after():
    pass

{}

worker = entrypoint(run)
"""


def assert_clean(*shown: str) -> None:
    everything = re.sub(r'"peak_memory_bytes": \d+', "", "\n".join(shown).lower())  # it may hold any number
    found = [value for value in VALUES if value.lower() in everything]
    assert found == []
    assert "[removed]" in everything or "is not shown" in everything or "cannot be formatted" in everything


def test_there_are_forty_values_in_forty_places() -> None:
    assert len(set(VALUES)) == 40
    assert len({*ERRORS, *LINES, *ENDINGS, "an async callback", "a hook"}) >= 40


@pytest.mark.parametrize("kind", ERRORS)
def test_no_value_is_in_an_error(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    def run(ctx: RuntimeContext) -> None:
        raise ERRORS[kind](TEXT)

    try:
        entrypoint(run)(**ARGUMENTS)
    except BaseException as error:  # noqa: BLE001  as a worker writes it down
        recorded = f"{error}{traceback.format_exc()}"
    assert_clean(recorded, *capfd.readouterr())


async def _fail(ctx: AsyncRuntimeContext) -> None:
    task = asyncio.ensure_future(_raise())
    await asyncio.wait([task])
    task.result()


async def _raise() -> None:
    raise ValueError(TEXT)


def test_no_value_is_in_an_error_of_an_async_callback(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        entrypoint(_fail)(**ARGUMENTS)
    except ValueError as error:
        recorded = f"{error}{traceback.format_exc()}"
    assert_clean(recorded, *capfd.readouterr())


def test_no_value_is_in_an_error_of_a_hook(capfd: pytest.CaptureFixture[str]) -> None:
    def work(container: Any) -> None:
        raise group(TEXT)

    with pytest.raises(CallbackFailedError) as caught:
        run_for_worker(work, ARGUMENTS)
    assert_clean("".join(traceback.format_exception(None, caught.value, caught.tb)), *capfd.readouterr())


@pytest.mark.parametrize("place", LINES)
def test_no_value_is_in_a_line(place: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_LOG_LEVEL", "DEBUG")
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)  # as in a worker, without a test runner's

    def run(ctx: RuntimeContext) -> None:
        LINES[place](ctx, TEXT)
        ctx.log.info("patient House: the end")

    entrypoint(run)(**ARGUMENTS)
    printed = capfd.readouterr()
    assert printed.err
    assert_clean(*printed)


@pytest.mark.parametrize("place", ENDINGS)
def test_no_value_is_printed_when_the_process_ends(place: str, tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text(json.dumps(TEXT))
    (tmp_path / "arguments.json").write_text(json.dumps(ARGUMENTS))
    (tmp_path / "service.py").write_text(MODULE.format(ENDINGS[place]))
    main = "import json, service\nservice.worker(**json.load(open('arguments.json')))\nservice.after()"
    command, environment = ["-c", main], dict(os.environ)
    if place.startswith("exec"):
        values: dict[str, Any] = {"db_provider": "sqlite", "db_url": str(tmp_path / "workspace")}
        values |= {name: ARGUMENTS[name] for name in ("session_id", "job_id")}
        with opened(Container(settings=RuntimeSettings.without_environment(**values))) as container:
            job = job_of_arguments(ARGUMENTS)
            assert job is not None
            run_inline(container.workspace_repository().add_job(job))
        environment |= {f"DCM_PROCESSOR_SERVICE_{name.upper()}": value for name, value in values.items()}
        command = ["-m", "dcm_processor_service", "exec", "service.py:run"]
    ran = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "[removed]" in ran.stderr + ran.stdout or ran.returncode
    assert_clean(ran.stdout, ran.stderr)


def test_who_runs_a_callback_as_a_library_gets_a_clean_outcome() -> None:
    def run(ctx: RuntimeContext) -> None:
        raise group(TEXT)

    values: dict[str, Any] = {name: ARGUMENTS[name] for name in ("db_provider", "session_id", "job_id", "job_name")}
    settings = RuntimeSettings.without_environment(**values)
    outcome = run_callback(run, settings, job=job_of_arguments(ARGUMENTS))
    assert_clean(json.dumps(outcome.as_json(), ensure_ascii=False), str(outcome.error))


def test_no_stored_value_is_in_a_debug_line_of_the_driver(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_LOG_LEVEL", "DEBUG")
    drivers = logging.getLogger("pymongo.command")
    monkeypatch.setattr(drivers, "level", logging.DEBUG)  # even for who asks for its lines

    def run(ctx: RuntimeContext) -> None:
        ctx.log.debug("ours is shown")
        drivers.debug('{"insert": "sessiondata", "value": "a finding"}')

    entrypoint(run)(**ARGUMENTS)
    printed = capfd.readouterr().err
    assert "ours is shown" in printed
    assert "a finding" not in printed


def test_ordinary_words_and_numbers_stay() -> None:
    for name, identity, lines in (
        (
            "Series^Synthetic",
            "512",
            ["the series has 512 slices, synthetic", "Series 1.2.3 is done in 512 s"],
        ),
        ("Young^May", "SYNTHETIC", ["a young study may be read", "SYNTHETIC data", "the mayor"]),
        ("Test^Patient", "1", ["1 patient, 1 test passed", "test 1 of 12"]),
        ("In^So", "CT", ["so it is in CT", "go on in time"]),
    ):
        scrubber = Scrubber()
        scrubber.learn(Patient(id="0" * 24, metadata={"PatientName": name, "PatientID": identity}))
        for line in lines:
            assert scrubber.text(line) == line
        assert scrubber.text(f"of {name} here") == "of [removed] here"
    scrubber = Scrubber()
    metadata = {"PatientName": "Young^May", "PatientID": "512", "OtherPatientIDs": "PT-7f3a"}
    scrubber.learn(Patient(id="0" * 24, metadata=metadata))
    for line, cleaned in (
        ("cannot read Mr Young", "cannot read Mr [removed]"),
        ("PatientID 512 is twice there", "PatientID [removed] is twice there"),
        ("mrn=512; id: 512, series id 512", "mrn=[removed]; id: [removed], series id 512"),
        ("/scans/PT-7f3a_1.dcm, pt7f3a", "/scans/[removed]_1.dcm, [removed]"),
    ):
        assert scrubber.text(line) == cleaned
    assert scrubber.value({"PatientID": 512, "rows": 512}) == {"PatientID": "[removed]", "rows": 512}


def test_scrubbing_leaves_no_hook_that_hides_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def run(ctx: RuntimeContext) -> None:
        unraisable(ctx, "an ordinary fault")

    with contextlib.ExitStack() as stack:
        before = sys.unraisablehook
        stack.callback(setattr, sys, "unraisablehook", before)
        sys.unraisablehook = sys.__unraisablehook__
        entrypoint(run)(**ARGUMENTS)
    assert "ValueError: an ordinary fault" in capfd.readouterr().err
