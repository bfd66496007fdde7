"""SIGTERM: a request that the callback sees, and an end with code 143."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

import pytest

from dcm_processor_service import AsyncRuntimeContext, Container, RuntimeContext, RuntimeSettings
from dcm_processor_service.errors import CallbackFailedError, ConfigurationError
from dcm_processor_service.models import Outcome, SendOptions
from dcm_processor_service.runtime.execution.cancellation import EXIT_CANCELLED, Cancellation, cancelled_by_sigterm
from dcm_processor_service.runtime.execution.runner import run_callback
from dcm_processor_service.runtime.execution.worker import entrypoint
from dcm_processor_service.testing import FakePacs, fake_context, synthetic_series

SETTINGS = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
ARGUMENTS = {"session_id": "5" * 24, "job_id": "1" * 24, "db_provider": "memory"}


def sigterm() -> None:
    signal.raise_signal(signal.SIGTERM)


def test_the_code_is_that_of_a_process_that_sigterm_ended() -> None:
    assert EXIT_CANCELLED == 143


def test_a_callback_sees_it_finishes_its_step_and_is_distinguished() -> None:
    def run(ctx: RuntimeContext) -> list[bool]:
        seen = [ctx.cancelled]
        sigterm()
        return [*seen, ctx.cancelled]

    outcome = run_callback(run, SETTINGS, own_process=True)
    assert (outcome.exit_code, outcome.result, outcome.error) == (EXIT_CANCELLED, [False, True], None)


def test_an_async_callback_sees_it_while_it_waits() -> None:
    async def run(ctx: AsyncRuntimeContext) -> str:
        asyncio.get_running_loop().call_soon(sigterm)
        while not ctx.cancelled:  # noqa: ASYNC110  that is how a callback looks at it
            await asyncio.sleep(0)
        return "finished"

    outcome = run_callback(run, SETTINGS, own_process=True)
    assert (outcome.exit_code, outcome.result) == (EXIT_CANCELLED, "finished")


def test_a_failure_on_the_way_out_is_kept_and_has_the_code_too() -> None:
    def run(ctx: RuntimeContext) -> None:
        sigterm()
        raise ValueError("half done")

    outcome = run_callback(run, SETTINGS, own_process=True)
    assert outcome.exit_code == EXIT_CANCELLED
    assert "half done" in str(outcome.error)


def test_the_second_signal_does_not_wait() -> None:
    steps: list[str] = []

    def run(ctx: RuntimeContext) -> None:
        sigterm()
        steps.append("goes on after the first")
        try:
            sigterm()
        finally:
            steps.append("is unwound")
        steps.append("never reached")

    outcome = run_callback(run, SETTINGS, own_process=True)
    assert outcome.exit_code == EXIT_CANCELLED
    assert isinstance(outcome.error, CallbackFailedError)
    assert steps == ["goes on after the first", "is unwound"]


def test_an_entry_ends_its_process_with_the_code() -> None:
    def run(ctx: RuntimeContext) -> str:
        sigterm()
        return "done"

    with pytest.raises(SystemExit) as ended:
        entrypoint(run)(**ARGUMENTS)
    assert ended.value.code == EXIT_CANCELLED


def test_the_signal_is_as_before_afterwards_whoever_handled_it() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        cancellation = Cancellation()
        with cancelled_by_sigterm(cancellation):
            sigterm()
        assert cancellation.requested
        sigterm()
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_elsewhere_than_in_the_main_thread_nothing_is_touched() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []

    def work() -> None:
        with cancelled_by_sigterm(Cancellation()):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_run_that_is_not_alone_in_its_process_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def run(ctx: RuntimeContext) -> bool:
        return signal.getsignal(signal.SIGTERM) is before

    assert run_callback(run, SETTINGS).result is True


def test_a_sending_stops_between_two_instances() -> None:
    cancellation = Cancellation()

    def customise(container: Container) -> None:
        container.cancellation.override(cancellation)

    ctx = fake_context(series=synthetic_series(slices=3), customise=customise)
    series = ctx.session.dicom.get_series()
    with FakePacs() as pacs:
        first = ctx.session.dicom.send(
            series, to=pacs.peer, options=SendOptions(check=False), on_record=cancellation.cancel
        )
        assert (first.stored, first.count(Outcome.NOT_ATTEMPTED)) == (1, 2)


def test_a_context_of_a_test_is_not_cancelled_until_it_is() -> None:
    cancellation = Cancellation()

    def customise(container: Container) -> None:
        container.cancellation.override(cancellation)

    ctx = fake_context(customise=customise)
    seen = [ctx.cancelled]
    cancellation.cancel()
    assert [*seen, ctx.cancelled] == [False, True]
    assert repr(cancellation) == "Cancellation(requested=True)"


@pytest.mark.parametrize("context", [RuntimeContext, AsyncRuntimeContext])
@pytest.mark.parametrize("name", ["cancelled", "log", "progress"])
def test_a_context_without_a_session_says_so(context: Any, name: str) -> None:
    unbound = context.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
    with pytest.raises(ConfigurationError, match="made from the environment alone"):
        getattr(unbound, name)
