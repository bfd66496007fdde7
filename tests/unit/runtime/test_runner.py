"""How a run ends: outcome, exit code, cause, and everything closed whatever happens."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from dependency_injector import providers
from pydantic import BaseModel

from dcm_processor_service import (
    AsyncRuntimeContext,
    AsyncSession,
    Container,
    Job,
    RuntimeContext,
    RuntimeSettings,
    Session,
)
from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.errors import (
    CallbackFailedError,
    CallbackSignatureError,
    ConfigurationError,
    JobNotFoundError,
    PeerUnreachableError,
    StoreUnavailableError,
)
from dcm_processor_service.runtime.execution.runner import run_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcm_processor_service.ports import Backend

SESSION_ID, JOB_ID = "a" * 24, "b" * 24


class Params(BaseModel):
    threshold: float


class Watched:
    """A store whose opening and closing is noted."""

    def __init__(self, *, failing: Exception | None = None) -> None:
        self.store = MemoryStore()
        self.events: list[str] = []
        self._failing = failing

    @contextmanager
    def _open(self) -> Iterator[Backend]:
        if self._failing is not None:
            raise self._failing
        self.events.append("opened")
        try:
            yield self.store.backend()
        finally:
            self.events.append("closed")

    def customise(self, container: Container) -> None:
        def resource() -> Iterator[Backend]:
            with self._open() as backend:
                yield backend

        container.backend.override(providers.Resource(resource))


@pytest.fixture
def watched() -> Watched:
    return Watched()


def settings(**values: Any) -> RuntimeSettings:
    defaults = {"db_provider": "memory", "session_id": SESSION_ID, "job_id": JOB_ID, "job_name": "segment"}
    return RuntimeSettings.without_environment(**(defaults | values))


def job(**params: Any) -> Job:
    return Job(id=JOB_ID, session_id=SESSION_ID, name="segment", params=params)


def test_a_result_comes_back_as_json_and_the_store_is_closed(watched: Watched) -> None:
    def run(ctx: RuntimeContext, session: Session, params: Params) -> dict[str, Any]:
        assert ctx.session is session
        session.data["seen"] = params.threshold
        return {"mean": np.float32(0.5), "ids": (1, 2)}

    outcome = run_callback(run, settings(), job=job(threshold=2), customise=watched.customise)
    assert outcome.ok
    assert (outcome.exit_code, outcome.result) == (0, {"mean": 0.5, "ids": [1, 2]})
    assert outcome.as_json() == {
        "result": {"mean": 0.5, "ids": [1, 2]},
        "duration_s": round(outcome.duration_s, 3),
        "peak_memory_bytes": outcome.peak_memory_bytes,
    }
    assert (outcome.peak_memory_bytes or 0) > 2**20
    assert outcome.duration_s >= 0
    assert watched.events == ["opened", "closed"]
    assert list(watched.store.values.values()) == [2.0]


def test_an_async_callback_runs_in_a_loop_and_the_store_is_closed(watched: Watched) -> None:
    async def run(ctx: AsyncRuntimeContext, session: AsyncSession, params: Params) -> str:
        assert ctx.session is session
        await asyncio.gather(session.data.set("a", 1), session.data.set("b", params.threshold))
        assert (await ctx.job.read()).params == {"threshold": 2}
        return f"{ctx.job.name} {await session.data.keys()}"

    outcome = run_callback(run, settings(), job=job(threshold=2), customise=watched.customise)
    assert outcome.result == "segment ['a', 'b']"
    assert watched.events == ["opened", "closed"]


def test_a_blocking_callback_runs_on_this_thread_without_a_loop() -> None:
    def run(ctx: RuntimeContext) -> bool:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return threading.current_thread() is threading.main_thread()

    assert run_callback(run, settings()).result is True


def blocking_failure(error: BaseException) -> Callable[..., Any]:
    def run(ctx: RuntimeContext) -> None:
        ctx.session.data["before"] = 1
        raise error

    return run


def async_failure(error: BaseException) -> Callable[..., Any]:
    async def run(ctx: AsyncRuntimeContext) -> None:
        await ctx.session.data.set("before", 1)
        raise error

    return run


@pytest.mark.parametrize("make", [blocking_failure, async_failure])
@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ValueError("nothing \udcff found"), 1),
        (JobNotFoundError("no job named 'x'"), 1),
        (ConfigurationError("of the callback's own making"), 1),
        (StoreUnavailableError("the store does not answer"), 3),
        (PeerUnreachableError("nothing listens"), 3),
        (ConnectionError("somebody else's"), 1),
    ],
    ids=lambda item: type(item).__name__,
)
def test_a_callbacks_exception_is_kept_with_its_traceback(
    watched: Watched, make: Callable[[BaseException], Any], error: Exception, exit_code: int
) -> None:
    outcome = run_callback(make(error), settings(), customise=watched.customise)
    assert not outcome.ok
    assert outcome.exit_code == exit_code
    assert isinstance(outcome.error, CallbackFailedError)
    assert outcome.error.__cause__ is error
    assert watched.events == ["opened", "closed"]
    record = json.loads(json.dumps(outcome.as_json(), ensure_ascii=False).encode())["error"]
    assert record["type"] == type(error).__name__
    assert record["message"].startswith(f"the callback failed: {type(error).__name__}: ")
    assert "raise error" in record["traceback"]
    assert record["retryable"] is (exit_code == 3)


def fine(ctx: RuntimeContext, params: Params) -> None: ...
def wrong(ctx: int) -> None: ...


def test_what_is_wrong_before_the_callback_has_the_exit_code_of_its_kind(watched: Watched) -> None:
    outcome = run_callback(fine, settings(), job=job(threshold="x"), customise=watched.customise)
    assert outcome.exit_code == 2
    assert isinstance(outcome.error, ConfigurationError)
    assert "threshold: " in str(outcome.error)
    assert watched.events == ["opened", "closed"]
    assert run_callback(wrong, settings()).exit_code == 2
    unknown = run_callback(fine, settings(db_provider="nonsense", db_url="x"), job=job(threshold=1))
    assert unknown.exit_code == 2
    assert "'nonsense'" in str(unknown.error)
    missing = run_callback(fine, settings(), customise=watched.customise)
    assert missing.exit_code == 2
    assert f"no job {JOB_ID} in the session {SESSION_ID}" in str(missing.error)


def test_an_environment_that_is_not_there_is_a_configuration_error() -> None:
    outcome = run_callback(fine)
    assert outcome.exit_code == 2
    assert "DCM-PROCESSOR-SERVICE-SESSION-ID is not set" in outcome.as_json()["error"]["message"]


def test_a_store_that_does_not_open_is_no_fault_of_the_callback() -> None:
    unavailable = Watched(failing=StoreUnavailableError("the store does not answer; is it running?"))
    outcome = run_callback(fine, settings(), job=job(threshold=1), customise=unavailable.customise)
    assert outcome.exit_code == 3
    assert isinstance(outcome.error, StoreUnavailableError)
    broken = Watched(failing=ZeroDivisionError("in the driver"))
    outcome = run_callback(fine, settings(), job=job(threshold=1), customise=broken.customise)
    assert outcome.exit_code == 1
    assert "could not be started: ZeroDivisionError: in the driver" in str(outcome.error)


def test_a_store_that_does_not_answer_is_waited_for_once() -> None:
    asked: list[str] = []
    called: list[str] = []

    class Silent:
        async def find(self, job_id: str) -> None:
            asked.append(job_id)
            raise StoreUnavailableError("the store does not answer; is it running?")

    def customise(container: Container) -> None:
        container.job_repository.override(Silent())

    outcome = run_callback(lambda: called.append("the callback"), settings(), customise=customise, own_process=True)
    assert (outcome.exit_code, asked, called) == (3, [JOB_ID], [])
    assert isinstance(outcome.error, StoreUnavailableError)


@pytest.mark.parametrize("leaving", [SystemExit(3), KeyboardInterrupt()])
def test_leaving_the_process_is_the_callbacks_right_but_everything_is_closed(
    watched: Watched, leaving: BaseException
) -> None:
    with pytest.raises(type(leaving)):
        run_callback(blocking_failure(leaving), settings(), customise=watched.customise)
    assert watched.events == ["opened", "closed"]


def test_a_job_of_another_session_is_not_this_job(watched: Watched) -> None:
    watched.store.jobs[JOB_ID] = Job(id=JOB_ID, session_id="c" * 24, params={"threshold": 1})
    outcome = run_callback(fine, settings(), customise=watched.customise)
    assert isinstance(outcome.error, JobNotFoundError)
    watched.store.jobs[JOB_ID] = job(threshold=1)
    assert run_callback(fine, settings(), customise=watched.customise).ok


def test_a_decorator_that_hides_async_is_reported_and_nothing_is_left_behind() -> None:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(ctx: RuntimeContext) -> Any:
            return function(ctx)

        return wrapper

    @decorate
    async def run(ctx: RuntimeContext) -> None: ...

    outcome = run_callback(run, settings())
    assert not outcome.ok
    assert isinstance(outcome.error, CallbackFailedError)
    assert isinstance(outcome.error.__cause__, CallbackSignatureError)
    assert "write async def" in str(outcome.error)


def test_settings_may_be_a_function_whose_error_is_an_outcome() -> None:
    def failing() -> RuntimeSettings:
        return RuntimeSettings.without_environment(db_provider="memory")

    assert run_callback(fine, failing).exit_code == 2
    assert run_callback(fine, settings, job=job(threshold=1)).ok


def test_a_result_that_is_no_json_never_fails_the_job() -> None:
    def run(ctx: RuntimeContext) -> Any:
        loop: list[Any] = [np.dtype("f4"), 2**80, "\udcff"]
        loop.append(loop)
        return loop

    outcome = run_callback(run, settings())
    assert outcome.ok
    json.dumps(outcome.as_json(), ensure_ascii=False, allow_nan=False).encode()
