"""Runs the jobs of each subject in a process of its own, several at a time.

Each process is a new interpreter that runs :mod:`.subject_worker`. It reads its request from one pipe and writes its
answers, a line of JSON for each job, to another. Being new, it needs no ``__main__`` guard and inherits no lock. Even
if it is killed, each job of its subject gets an outcome.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.runtime.execution.cancellation import Cancellation, cancelled_by_sigterm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

__all__ = ["LOOKED_EVERY_S", "ProcessEnd", "run_in_process", "run_in_processes", "tell_to_end"]

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from dcm_processor_service.local.service.subject_worker import main; main()"
)
LOOKED_EVERY_S = 0.2
"""How often the parent checks whether it was asked to end, while nothing else happens."""


@dataclass(frozen=True)
class ProcessEnd:
    """How a process ended, and its answers before that."""

    number: int
    """Index of its request, from 0."""

    answers: list[dict[str, Any]]
    problem: str
    """Why the process ended early; empty if it finished."""

    cancelled: bool
    """Whether it was ended by SIGTERM, outside of a job."""

    begun: bool = True
    """False if it is known that no process was started."""


def run_in_processes(requests: Sequence[dict[str, Any]], workers: int) -> Iterator[ProcessEnd]:
    """Hands each request to a process of its own, ``workers`` at a time; yields how each ended, as soon as it has.

    After SIGTERM it asks the processes to end, begins no other, and waits for those that run.
    """
    cancellation = Cancellation()
    running: list[subprocess.Popen[bytes]] = []

    def run_one(number: int, request: dict[str, Any]) -> ProcessEnd | None:
        return None if cancellation.requested else run_in_process(number, request, running)

    with cancelled_by_sigterm(cancellation), ThreadPoolExecutor(workers) as pool:
        pending: set[Future[ProcessEnd | None]] = {pool.submit(run_one, *one) for one in enumerate(requests)}
        stopped: list[subprocess.Popen[bytes]] = []
        try:
            while pending:
                ended, pending = wait(pending, LOOKED_EVERY_S, FIRST_COMPLETED)
                if cancellation.requested:
                    tell_to_end(running, stopped)
                for one in ended:
                    end = one.result()
                    if end is not None:
                        yield end
        finally:
            cancellation.cancel()
            for process in tuple(running):
                process.kill()


def run_in_process(
    number: int, request: dict[str, Any], running: list[subprocess.Popen[bytes]], folder: str | None = None
) -> ProcessEnd:
    """Hands a request to a process of its own and waits for its end; ``running`` lists the process meanwhile.

    Raises:
        ConfigurationError: No process can be started.
    """
    with _started(folder) as process:
        running.append(process)
        try:
            answer, _ = process.communicate(json.dumps(request).encode())
        finally:
            running.remove(process)
    return _end_of(number, answer, process.returncode)


def _started(folder: str | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603  this interpreter, code of our own
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
        )
    except OSError as error:
        raise ConfigurationError(
            f"no process can be started for a subject ({type(error).__name__}: {error}); give fewer --workers"
        ) from error


def tell_to_end(running: list[subprocess.Popen[bytes]], stopped: list[subprocess.Popen[bytes]]) -> None:
    """Asks processes to end, each once: the second list holds those that were asked already."""
    for process in list(running):
        if process not in stopped:
            stopped.append(process)
            process.send_signal(signal.SIGTERM)


def _end_of(number: int, answer: bytes, code: int) -> ProcessEnd:
    lines = answer.split(b"\n")[:-1]  # the last part is empty, or an answer that the process did not finish
    return ProcessEnd(number, [json.loads(line) for line in lines], _reason_of_end(code), -code == signal.SIGTERM)


def _reason_of_end(code: int) -> str:
    if code == 0:
        return ""
    if code > 0:
        return f"the process of this subject ended with exit code {code}"
    hint = "; was there too little memory?" if -code == signal.SIGKILL else ""
    return f"the process of this subject was ended by {signal.Signals(-code).name}{hint}"
