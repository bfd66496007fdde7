"""What the asynchronous mode waits for when a task is cancelled in mid-call; without a server."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.backends.mongo.driver import asynchronous
from dcm_processor_service.backends.mongo.driver.asynchronous import Async
from dcm_processor_service.backends.mongo.driver.connection import CLOSING_S
from dcm_processor_service.runtime.steps.running import _GIVING_UP_S

if TYPE_CHECKING:
    from collections.abc import Callable


HELD_S = asynchronous.ANSWER_S


def _same(answer: asyncio.Future[None]) -> asyncio.Future[None]:
    return answer


async def cancelled_in(call: Callable[[Callable[[], Any]], Any], answer: asyncio.Future[None]) -> None:
    task = asyncio.ensure_future(call(partial(_same, answer)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asynchronous, "ANSWER_S", 0.05)


def test_a_cancelled_write_is_waited_for_as_long_as_it_is_said() -> None:
    async def run() -> None:
        mode, answer = Async(None), asyncio.get_running_loop().create_future()
        assert await mode.all_answered(0.0)
        await cancelled_in(mode.write, answer)
        assert not await mode.all_answered(0.0)
        assert not await mode.all_answered(0.05)
        asyncio.get_running_loop().call_later(0.05, answer.set_exception, ValueError("nobody is told"))
        assert await mode.all_answered(inf)
        await asyncio.sleep(0)
        assert await mode.all_answered(0.0)

    asyncio.run(run())


def test_what_changes_no_document_is_let_go_at_once_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asynchronous, "ANSWER_S", 600.0)

    async def run() -> None:
        mode, answer = Async(None), asyncio.get_running_loop().create_future()
        await cancelled_in(mode.run, answer)
        assert await mode.all_answered(0.0)
        answer.set_exception(ValueError("nobody is told"))
        await asyncio.sleep(0.01)

    asyncio.run(run())


def test_event_loops_of_several_threads_use_one_mode() -> None:
    mode, faults = Async(None), list[BaseException]()

    async def run() -> None:
        for _turn in range(100):
            answer = asyncio.get_running_loop().create_future()
            task = asyncio.ensure_future(mode.write(partial(_same, answer)))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            assert not await mode.all_answered(0.0)
            answer.set_result(None)
            assert await mode.all_answered(inf)
            await asyncio.wait({task})

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001  shown by the test
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults


def test_a_process_has_time_to_end_within_two_seconds_after_a_cancelled_write_and_a_server_that_hangs() -> None:
    assert HELD_S + _GIVING_UP_S + CLOSING_S <= 2.0
