"""Processes that each run the jobs of one subject, some at a time.

Each is an interpreter of its own that is told through a pipe what to run and answers through another, job by job. So it
needs no ``__main__`` guard and inherits no lock. Whatever it ends by, its subject's jobs have an outcome.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.runtime.execution.cancellation import EXIT_CANCELLED, Cancellation, cancelled_by_sigterm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from dcm_processor_service.local.service.scheduling import SubjectPlan
    from dcm_processor_service.local.workspace import LocalRun

__all__ = ["SubjectTask", "TaskEnd", "main", "run_in_processes"]

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from dcm_processor_service.local.service.subject_process import main; main()"
)
_LOOKED_EVERY_S = 0.2
"""So often the parent looks whether it was asked to end, while nothing else happens."""


@dataclass(frozen=True)
class SubjectTask:
    """What a process is told: how to run one job after the other. Holds no function and no open file."""

    plan: SubjectPlan
    run: Callable[[SubjectPlan], Iterator[LocalRun]]


@dataclass(frozen=True)
class TaskEnd:
    """How a process ended, and the jobs that had ended before."""

    plan: SubjectPlan
    runs: list[LocalRun]
    problem: str = ""
    """What the process ended by, where it did not run all of its jobs."""

    cancelled: bool = False
    """Whether that is because it was asked to."""


def run_in_processes(tasks: Sequence[SubjectTask], workers: int) -> Iterator[TaskEnd]:
    """Runs tasks in processes, so many at a time; tells of each as it ends.

    Asked to end (SIGTERM), it asks the processes, begins no other, and waits for those that run.
    """
    cancellation = Cancellation()
    running: dict[int, subprocess.Popen[bytes]] = {}

    def run_one(number: int, task: SubjectTask) -> TaskEnd | None:
        if cancellation.requested:
            return None
        with _started() as process:
            running[number] = process
            answer, _ = process.communicate(pickle.dumps(task))
            del running[number]
        return _end_of(task.plan, answer, process.returncode)

    with cancelled_by_sigterm(cancellation), ThreadPoolExecutor(workers) as pool:
        pending: set[Future[TaskEnd | None]] = {pool.submit(run_one, *one) for one in enumerate(tasks)}
        told: set[int] = set()
        try:
            while pending:
                ended, pending = wait(pending, _LOOKED_EVERY_S, FIRST_COMPLETED)
                if cancellation.requested:
                    _tell_to_end(running, told)
                for one in ended:
                    end = one.result()
                    if end is not None:
                        yield end
        finally:
            cancellation.cancel()
            for process in list(running.values()):
                process.kill()


def _started() -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603  this interpreter, code of our own
            [sys.executable, "-c", _START, json.dumps(sys.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    except OSError as error:
        raise ConfigurationError(
            f"no process can be started for a subject ({type(error).__name__}: {error}); give fewer --workers"
        ) from error


def _tell_to_end(running: dict[int, subprocess.Popen[bytes]], told: set[int]) -> None:
    for number, process in list(running.items()):
        if number not in told:
            told.add(number)
            process.send_signal(signal.SIGTERM)


def _end_of(plan: SubjectPlan, answer: bytes, code: int) -> TaskEnd:
    runs: list[LocalRun] = []
    stream = io.BytesIO(answer)
    while stream.tell() < len(answer):
        try:
            runs.append(pickle.load(stream))  # noqa: S301  written by our own child
        except (EOFError, pickle.UnpicklingError):  # it ended while it wrote
            break
    cancelled = any(one.outcome.exit_code == EXIT_CANCELLED for one in runs)
    if len(runs) == len(plan.jobs) or cancelled:
        return TaskEnd(plan, runs)
    return TaskEnd(plan, runs, _last_words(code), cancelled=-code == signal.SIGTERM)


def _last_words(code: int) -> str:
    if code >= 0:
        return f"the process of this subject ended with exit code {code}"
    hint = "; was there too little memory?" if -code == signal.SIGKILL else ""
    return f"the process of this subject was ended by {signal.Signals(-code).name}{hint}"


def main() -> None:
    """Runs the task of this process, which its parent writes to the standard input."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a callback prints is no answer
    task: Any = pickle.load(sys.stdin.buffer)  # noqa: S301  written by our own parent
    with channel:
        for one in task.run(task.plan):
            pickle.dump(replace(one, outcome=one.outcome.portable()), channel)
            channel.flush()
