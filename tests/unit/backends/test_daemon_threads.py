"""The threads of motor's operations: each call is made once, and the end of a process waits for no thread."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from motor.frameworks import asyncio as framework

from dcm_processor_service.backends.mongo.driver.asynchronous import daemon_threads
from dcm_processor_service.backends.mongo.driver.daemon_threads import DaemonThreads


def test_calls_are_made_side_by_side_in_daemon_threads_that_stay() -> None:
    threads, meet = DaemonThreads(3), threading.Barrier(3)

    def call() -> tuple[int, bool]:
        meet.wait(30)
        return threading.get_ident(), threading.current_thread().daemon

    first = [future.result(30) for future in [threads.submit(call) for _ in range(3)]]
    again = [future.result(30) for future in [threads.submit(call) for _ in range(3)]]
    assert all(daemon for _thread, daemon in first)
    assert {thread for thread, _daemon in first} == {thread for thread, _daemon in again}


def test_more_calls_than_threads_wait_and_each_is_made_once() -> None:
    threads = DaemonThreads(2)
    made: list[int] = []
    for future in [threads.submit(made.append, number) for number in range(200)]:
        future.result(30)
    assert sorted(made) == list(range(200))


def test_what_a_call_raises_is_raised_and_the_thread_goes_on() -> None:
    threads = DaemonThreads(1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 1, 0).result(30)
    assert threads.submit(divmod, 7, 2).result(30) == (3, 1)


def test_a_cancelled_call_is_never_made() -> None:
    threads, goes_on = DaemonThreads(1), threading.Event()
    made: list[int] = []
    before = threads.submit(goes_on.wait, 30)
    waiting = threads.submit(made.append, 1)
    assert waiting.cancel()
    goes_on.set()
    assert before.result(30)
    threads.submit(made.append, 2).result(30)
    assert made == [2]


def test_a_call_for_which_no_thread_starts_is_not_made_later(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = DaemonThreads(1)
    made: list[int] = []

    def refuses(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.submit(made.append, 1)
    threads.submit(made.append, 2).result(30)  # by the one thread that there may be
    assert made == [2]


def test_motor_uses_daemon_threads_and_a_forked_child_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    motor: Any = framework
    ours = daemon_threads()
    assert motor._EXECUTOR is ours
    assert daemon_threads() is ours
    monkeypatch.setattr(ours, "pid", os.getpid() + 1)  # as a child sees it
    assert daemon_threads() is not ours
    assert motor._EXECUTOR is daemon_threads()
