"""Libraries are silenced for a while, by one thread at a time, and never for good."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import warnings

import pytest

from dcm_processor_service.imaging.headers.containment import contained

LOGGER = "pydicom"


def test_warnings_and_the_log_are_silent_inside_and_as_before_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    with contained(), contained():
        warnings.warn("a value", stacklevel=1)
        logging.getLogger(LOGGER).error("a value")
    logging.getLogger(LOGGER).error("a word")
    assert [record.getMessage() for record in caplog.records] == ["a word"]
    with pytest.warns(UserWarning, match="a word"):
        warnings.warn("a word", stacklevel=1)


def _speak() -> None:
    with contained():  # in the child, which would wait for ever for a lock that no thread of it holds
        pass
    warnings.simplefilter("error")
    assert logging.getLogger(LOGGER).isEnabledFor(logging.ERROR)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_is_forked_while_a_thread_silences_is_not_silent() -> None:
    inside, leave = threading.Event(), threading.Event()

    def silence() -> None:
        with contained():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=silence)
    thread.start()
    inside.wait(30)
    child = multiprocessing.get_context("fork").Process(target=_speak)
    threading.Timer(0.1, leave.set).start()
    child.start()  # waits until the thread has left
    assert leave.is_set()
    child.join(30)
    thread.join(30)
    assert child.exitcode == 0
