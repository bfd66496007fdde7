"""An entry as the platform's worker calls it: arguments in, plain JSON out, errors with their cause."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import os
import traceback
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bson import Int64, ObjectId, json_util
from pydantic import BaseModel

from dcm_processor_service import AsyncRuntimeContext, JobEvent, JobState, RuntimeContext, SeriesRecord
from dcm_processor_service.db_manager import get_session_data, set_session_data
from dcm_processor_service.errors import (
    CallbackFailedError,
    CallbackSignatureError,
    ConfigurationError,
    StoredValueError,
    UnsupportedValueError,
)
from dcm_processor_service.runtime.execution.callbacks import inspect_callback
from dcm_processor_service.runtime.execution.runner import run_callback
from dcm_processor_service.runtime.execution.worker import RESULT_BYTES, entrypoint
from dcm_processor_service.runtime.own_session import close_own_container
from tests.parameters import shown

SESSION_ID, JOB_ID, SERIES_ID, PEER_ID = "5e" * 12, "1b" * 12, "5a" * 12, "9e" * 12
MOMENT = datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=timezone.utc)


def headers() -> dict[str, Any]:
    return {
        "_id": ObjectId(SERIES_ID),
        "PatientUID": "9f86",
        "PeerUID": PEER_ID,
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.2.3",
        "Instances": ["aa" * 12, "bb" * 12],
        "Metadata": {
            "Modality": "CT",
            "PatientName": "Doe^Jane",
            "PatientID": "PX-4711",
            "PatientBirthDate": "19790203",
        },
        "CreatedAt": MOMENT.replace(tzinfo=None),
    }


def arguments(**more: Any) -> dict[str, Any]:
    """As the worker passes them where the platform's own packages are installed."""
    return {
        "session_id": SESSION_ID,
        "job_id": JOB_ID,
        "job_name": "segment",
        "event": "stable-series",
        "headers": headers(),
        "params": {"threshold": 0.5, "since": MOMENT.replace(tzinfo=None), "model": ObjectId("cc" * 12)},
        "added_params": {"segment": {"told": [1, 2]}},
        "service_id": ObjectId(),
        "worker_id": None,
        "worker_type": None,
        "db_provider": "memory",
        "db_name": "x",
        "db_url": "memory://",
        **more,
    }


def plain(given: dict[str, Any]) -> dict[str, Any]:
    """As the worker passes them where they are not: parsed, but not understood."""
    parsed: dict[str, Any] = json.loads(json_util.dumps(given))
    return parsed


@pytest.mark.parametrize("spell", [dict, plain], ids=["bson", "extended-json"])
def test_arguments_become_the_job(spell: Any) -> None:
    def run(ctx: RuntimeContext) -> None:
        job = ctx.job.read()
        assert (ctx.session.id, ctx.job.id, ctx.job.name) == (SESSION_ID, JOB_ID, "segment")
        assert ctx.job.event is JobEvent.STABLE_SERIES
        assert job.state is JobState.RUNNING
        assert ctx.job.params == {"threshold": 0.5, "since": MOMENT, "model": "cc" * 12}
        assert ctx.job.added_params == {"segment": {"told": [1, 2]}}
        subject = ctx.job.headers
        assert isinstance(subject, SeriesRecord)
        assert (subject.id, subject.series_instance_uid, subject.modality) == (SERIES_ID, "1.2.3", "CT")
        assert subject.instance_ids == ("aa" * 12, "bb" * 12)
        assert ctx.peer_id == PEER_ID
        assert ctx.session.dicom.subject() == subject

    entrypoint(run)(**spell(arguments()))


def test_what_only_looks_like_extended_json_stays() -> None:
    odd = {
        "a": {"$oid": "no id"},
        "b": {"$set": {"a": 1}, "threshold": {"$date": "yesterday"}},
        "c": {"$numberLong": "x"},
        "d": {"$date": "yesterday"},
    }

    def run(ctx: RuntimeContext) -> None:
        assert ctx.job.params == odd

    entrypoint(run)(**arguments(params=odd))


def test_numbers_of_extended_json_are_numbers() -> None:
    def run(ctx: RuntimeContext) -> None:
        assert ctx.job.params == {"n": 2**40, "f": 1.5, "at": MOMENT}
        assert type(ctx.job.params["n"]) is int

    given = {
        "n": {"$numberLong": str(2**40)},
        "f": {"$numberDouble": "1.5"},
        "at": {"$date": "2024-02-29T12:30:15.250Z"},
    }
    entrypoint(run)(**arguments(params=given))
    entrypoint(run)(**arguments(params={"n": Int64(2**40), "f": 1.5, "at": MOMENT}))


def test_a_job_without_a_subject_is_one() -> None:
    def run(ctx: RuntimeContext) -> None:
        assert ctx.job.headers is None

    entrypoint(run)(**arguments(headers={}))
    entrypoint(run)(**arguments(headers=None))


@pytest.mark.parametrize(("members", "level"), [("Studies", "patient"), ("Series", "study"), ("Instances", "series")])
def test_the_level_of_a_subject_is_reported_by_what_it_lists(members: str, level: str) -> None:
    def run(ctx: RuntimeContext) -> tuple[str, bool]:
        subject = ctx.job.headers
        assert subject is not None
        return subject.level, ("bb" * 12,) in subject.model_dump().values()

    given = {"_id": {"$oid": "aa" * 12}, "PatientUID": "9f86", "PeerUID": PEER_ID, members: ["bb" * 12], "Metadata": {}}
    assert entrypoint(run)(**arguments(headers=given, event="", job_name="")) == [level, True]


def test_the_environment_goes_before_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCM-PROCESSOR-SERVICE-JOB-NAME", "from the environment")
    monkeypatch.setenv("DCM-PROCESSOR-SERVICE-JOB-SERVICE-NAME", "liver")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_JOB_ID", JOB_ID)

    def run(ctx: RuntimeContext) -> list[str]:
        return [ctx.job_name, ctx.service_name]

    assert entrypoint(run)(**arguments()) == ["from the environment", "liver"]


@pytest.mark.parametrize("field", ["session_id", "job_id"])
def test_an_environment_of_another_job_is_refused(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    monkeypatch.setenv(f"DCM-PROCESSOR-SERVICE-{field.upper().replace('_', '-')}", "0" * 24)
    with pytest.raises(ConfigurationError, match="different values for"):
        entrypoint(lambda: None)(**arguments())


def test_without_arguments_the_job_is_read_from_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="DCM-PROCESSOR-SERVICE-SESSION-ID is not set"):
        entrypoint(lambda: None)()
    for name, value in {"SESSION-ID": SESSION_ID, "JOB-ID": JOB_ID, "DB-PROVIDER": "memory"}.items():
        monkeypatch.setenv(f"DCM-PROCESSOR-SERVICE-{name}", value)

    def run(ctx: RuntimeContext) -> str:
        return ctx.job.id

    assert entrypoint(run)() == JOB_ID


def test_positional_arguments_are_ignored() -> None:
    assert entrypoint(lambda: 1)("ignored", 2, **arguments()) == 1


def test_malformed_headers_are_reported_without_their_values() -> None:
    broken = headers() | {"Metadata": "Doe^Jane"}
    with pytest.raises(StoredValueError) as caught:
        entrypoint(lambda: None)(**arguments(headers=broken))
    assert "Doe" not in str(caught.value)


class Finding(BaseModel):
    volume_ml: float
    seen_at: datetime


@dataclasses.dataclass
class Box:
    size_mm: tuple[int, int]
    path: Path


class Side(Enum):
    LEFT = "left"


class Opaque: ...


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (Finding(volume_ml=1.5, seen_at=MOMENT), {"volume_ml": 1.5, "seen_at": "2024-02-29T12:30:15.250000+00:00"}),
        ([Finding(volume_ml=1, seen_at=MOMENT)], [{"volume_ml": 1.0, "seen_at": "2024-02-29T12:30:15.250000+00:00"}]),
        (Box((1, 2), Path("a/b")), {"size_mm": [1, 2], "path": "a/b"}),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(1), True),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array([np.nan, 1.0]), [None, 1.0]),
        (MOMENT, "2024-02-29T12:30:15.250000+00:00"),
        (date(2024, 2, 29), "2024-02-29"),
        (ObjectId("aa" * 12), "aa" * 12),
        (Path("/out/mask.nii.gz"), "/out/mask.nii.gz"),
        (2**64, "18446744073709551616"),
        (-(2**63) - 1, "-9223372036854775809"),
        (2**63 - 1, 2**63 - 1),
        ({2**70: 2**70}, {"1180591620717411303424": "1180591620717411303424"}),
        (float("inf"), None),
        (Decimal("1.10"), "1.10"),
        (b"\x00\xff", "AP8="),
        ({1}, [1]),
        ((1, "a"), [1, "a"]),
        (Side.LEFT, "left"),
        ({Side.LEFT: 1}, {"left": 1}),
        ("\udcff", "?"),
        ({"a\0b": "c\0d"}, {"ab": "c\0d"}),
        (timedelta(seconds=1), "<datetime.timedelta>"),
        (Opaque(), f"<{__name__}.Opaque>"),
        (iter([1]), "<builtins.list_iterator>"),
    ],
    ids=shown,
)
def test_what_is_returned_is_json_that_worker_and_queue_can_store(value: object, stored: object) -> None:
    result = entrypoint(lambda: value)(**arguments())
    assert result == stored
    assert json.loads(json.dumps({"result": result}, allow_nan=False)) == {"result": stored}


def test_a_result_that_the_queue_cannot_hold_is_an_error_and_not_its_end() -> None:
    with pytest.raises(UnsupportedValueError, match=r"session\.files\.save"):
        entrypoint(lambda: "x" * RESULT_BYTES)(**arguments())
    assert len(entrypoint(lambda: "x" * (RESULT_BYTES - 2))(**arguments())) == RESULT_BYTES - 2


@pytest.mark.parametrize("code", [0, 3, None, "a reason"])
def test_leaving_the_process_is_an_error_with_its_code(code: Any) -> None:
    def run(ctx: RuntimeContext) -> None:
        raise SystemExit(code)

    with pytest.raises(CallbackFailedError, match=f"SystemExit: {code}; return, or raise") as caught:
        entrypoint(run)(**arguments())
    assert isinstance(caught.value.__cause__, SystemExit)


def test_an_exception_keeps_its_type_traceback_and_cause() -> None:
    def run(ctx: RuntimeContext) -> None:
        try:
            {}["the key"]  # type: ignore[index]  # on purpose
        except KeyError as error:
            raise ValueError("on purpose") from error

    with pytest.raises(ValueError, match="on purpose") as caught:
        entrypoint(run)(**arguments())
    assert isinstance(caught.value.__cause__, KeyError)
    recorded = "".join(traceback.format_exception(ValueError, caught.value, caught.value.__traceback__))
    assert "in run\n" in recorded
    assert "the key" in recorded


def test_an_exception_that_names_the_patient_is_recorded_without() -> None:
    def run(ctx: RuntimeContext) -> None:
        name = str(ctx.session.dicom.subject().metadata["PatientName"])
        raise FileNotFoundError(2, "no such file", f"/scans/{name}/1.dcm")

    with pytest.raises(FileNotFoundError) as caught:
        entrypoint(run)(**arguments())
    assert "Doe" not in str(caught.value)
    assert "/scans/[removed]/1.dcm" in str(caught.value)


def test_an_exception_that_cannot_be_cleaned_is_recorded_as_text() -> None:
    class Threshold(BaseModel):
        threshold: int

    def run(ctx: RuntimeContext) -> None:
        Threshold(threshold=ctx.session.dicom.subject().metadata["PatientName"])

    with pytest.raises(CallbackFailedError) as caught:
        entrypoint(run)(**arguments())
    recorded = "".join(traceback.format_exception(CallbackFailedError, caught.value, caught.value.__traceback__))
    assert "Doe" not in recorded
    assert "ValidationError" in recorded
    assert "input_value='[removed]'" in recorded
    assert "in run\n" in recorded


def test_an_exception_that_no_database_can_hold_is_recorded_readably() -> None:
    def run(ctx: RuntimeContext) -> None:
        raise ValueError(os.fsdecode(b"scan-\xff.dcm"))

    with pytest.raises(CallbackFailedError) as caught:
        entrypoint(run)(**arguments())
    str(caught.value).encode()
    assert "scan-?.dcm" in str(caught.value)


def test_a_callback_with_a_wrong_signature_is_reported_when_it_is_called_and_not_when_the_module_is_imported() -> None:
    def run(ctx: int) -> None: ...

    entry = entrypoint(run)
    with pytest.raises(CallbackSignatureError, match="annotated int"):
        entry(**arguments())


def test_an_async_callback_is_an_entry_too() -> None:
    async def run(ctx: AsyncRuntimeContext) -> Any:
        await ctx.session.data.set("a", 1)
        return [await ctx.session.data.get("a"), (await ctx.job.read()).params["threshold"]]

    assert entrypoint(run)(**arguments()) == [1, 0.5]


def test_params_of_a_callbacks_own_model_are_given() -> None:
    def run(ctx: RuntimeContext, params: Params) -> float:
        return params.threshold

    assert entrypoint(run)(**arguments()) == 0.5


class Params(BaseModel):
    threshold: float


def test_an_entry_is_called_as_its_callback_and_can_be_run_as_one(tmp_path: Path) -> None:
    def measure(ctx: RuntimeContext) -> str:
        """Measures."""
        return ctx.job.name

    entry = entrypoint(measure)
    assert (entry.__name__, entry.__doc__, entry.__module__) == ("measure", "Measures.", __name__)
    assert [one.kind for one in inspect.signature(entry).parameters.values()] == [
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    ]
    assert inspect_callback(entry) == inspect_callback(measure)
    from dcm_processor_service.runtime.settings import RuntimeSettings

    settings = RuntimeSettings.without_environment(
        db_provider="memory", session_id=SESSION_ID, job_id=JOB_ID, job_name="local"
    )
    assert run_callback(entry, settings).result == "local"


def test_functions_of_the_first_release_see_the_session_of_the_callback() -> None:
    def run(ctx: RuntimeContext) -> list[Any]:
        set_session_data("by function", 1)
        ctx.session.data["by context"] = 2
        return [ctx.session.data["by function"], get_session_data("by context"), get_session_data("x", "default")]

    assert entrypoint(run)(**arguments()) == [1, 2, "default"]


def test_functions_of_the_first_release_in_an_async_callback_have_a_session_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"SESSION-ID": SESSION_ID, "JOB-ID": JOB_ID, "DB-PROVIDER": "memory"}.items():
        monkeypatch.setenv(f"DCM-PROCESSOR-SERVICE-{name}", value)

    async def run(ctx: AsyncRuntimeContext) -> list[Any]:
        set_session_data("a", 1)
        return [get_session_data("a"), await ctx.session.data.has("a")]

    try:
        assert entrypoint(run)(**arguments()) == [1, False]
    finally:
        close_own_container()


def test_an_entry_of_the_first_release_works_beside_it() -> None:
    def worker(
        session_id: str,
        job_name: str,
        headers: dict[str, Any],
        params: dict[str, Any],
        added_params: dict[str, Any],
        **kwargs: Any,
    ) -> list[Any]:
        return [session_id, job_name, str(headers["_id"]), params["threshold"], sorted(added_params), kwargs["event"]]

    assert worker(**arguments()) == [SESSION_ID, "segment", SERIES_ID, 0.5, ["segment"], "stable-series"]


def test_what_is_logged_in_an_entry_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    def run(ctx: RuntimeContext) -> None:
        name = ctx.session.dicom.subject().metadata["PatientName"]
        ctx.log.info("reading", patient=name, born="1979-02-03")
        logging.getLogger("another.library").warning("of %s", name)

    entrypoint(run)(**arguments())
    first, second, last = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first["message"] == "reading"
    assert (first["session"], first["job"], first["event"]) == (SESSION_ID, JOB_ID, "stable-series")
    assert (first["patient"], first["born"]) == ("[removed]", "[removed]")
    assert second["message"] == "of [removed]"
    assert last["message"] == "the callback has ended"
