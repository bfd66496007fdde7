"""An async callback that forgets an await fails: what it called has done nothing."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest

import dcm_processor_service
from dcm_processor_service import AsyncRuntimeContext, RuntimeSettings
from dcm_processor_service.runtime.execution.forgotten_awaits import ASYNC_FACADES
from dcm_processor_service.runtime.execution.runner import CallbackOutcome, run_callback
from dcm_processor_service.session.jobs import AsyncJobs

SETTINGS = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)


def outcome(function: Any) -> CallbackOutcome:
    return run_callback(function, SETTINGS)


async def drops(ctx: AsyncRuntimeContext) -> None:
    ctx.session.data.set("volume_ml", 12.5)  # type: ignore[unused-coroutine]


async def keeps_in_a_name(ctx: AsyncRuntimeContext) -> int:
    value = ctx.session.data.get("volume_ml", default=0)
    return len(str(value))


async def returns_it(ctx: AsyncRuntimeContext) -> Any:
    return {"value": ctx.session.files.list()}


async def of_progress(ctx: AsyncRuntimeContext) -> None:
    ctx.progress(0.5)  # type: ignore[unused-coroutine]


@pytest.mark.parametrize(
    ("function", "call"),
    [
        (drops, "AsyncData.set"),
        (keeps_in_a_name, "AsyncData.get"),
        (returns_it, "AsyncFiles.list"),
        (of_progress, "AsyncProgress.__call__"),
    ],
)
def test_a_call_that_is_not_awaited_fails_the_job_and_is_named(function: Any, call: str) -> None:
    found = outcome(function)
    assert found.exit_code == 1
    assert found.as_json()["error"]["type"] == "CallbackSignatureError"
    assert f"{function.__name__} called without await, so that nothing was done: {call} (" in str(found.error)
    assert "write await before each call" in str(found.error)


def test_the_error_of_the_callback_goes_before() -> None:
    async def run(ctx: AsyncRuntimeContext) -> None:
        ctx.session.data.set("a", 1)  # type: ignore[unused-coroutine]
        raise KeyError("mine")

    assert outcome(run).as_json()["error"]["type"] == "KeyError"


def test_all_that_is_awaited_is_done() -> None:
    async def run(ctx: AsyncRuntimeContext) -> list[str]:
        await ctx.session.data.set("a", 1)
        return await ctx.session.data.keys()

    assert outcome(run).result == ["a"]


def test_coroutines_and_warnings_of_others_are_warnings_as_before() -> None:
    async def other() -> None: ...

    async def run(ctx: AsyncRuntimeContext) -> str:
        other()  # type: ignore[unused-coroutine]
        warnings.warn("something else", UserWarning, stacklevel=1)
        return ctx.job_name

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert outcome(run).exit_code == 0
    assert [str(one.message).rpartition(".")[2] for one in told] == ["other' was never awaited", "something else"]


def test_every_facade_with_coroutines_is_watched() -> None:
    public = [
        getattr(dcm_processor_service, name) for name in dcm_processor_service.__all__ if name.startswith("Async")
    ]
    reached = [*public, AsyncJobs]  # of the session, which hands on its methods
    with_coroutines = {
        one.__name__ for one in reached if any(inspect.iscoroutinefunction(member) for member in vars(one).values())
    }
    assert with_coroutines == set(ASYNC_FACADES)
