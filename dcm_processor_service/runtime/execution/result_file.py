"""The result file of the platform's worker: written when the job begins, in case its process is killed.

The worker runs a ``main.py`` that it has written, ignores the exit status, and reads ``result.json`` beside it.
If there is none, because the process was killed, ran out of memory or crashed, the queue records the job as an
error and never runs it again: the jobs that depend on it, the post-service and the removal of the patient's images wait
for ever. If the file holds an error, the queue records the job as done and the session goes on; a read of the job's
output raises an error that says that the job failed.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcm_processor_service.disk import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.runtime.execution.time_limit import TimeLimit

__all__ = ["WorkerResult", "worker_result"]

_log = logging.getLogger(__name__)

_KILLED = (
    "the process of the job ended before its callback returned: it was killed, for example for lack of memory, or a "
    "library crashed; the log has its last lines"
)
_ASKED = "the job was asked to end (SIGTERM) before it was done; run it again"


class WorkerResult:
    """The result file, and the texts that this package writes into it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def failed(kind: str, message: str) -> str:
        """Returns the file's content for a job that failed."""
        return json.dumps({"error": {"message": message, "traceback": f"{kind}: {message}"}})

    def write(self, text: str) -> None:
        """Writes the content, whole or not at all; logs a warning if the disk refuses it."""
        try:
            with write_whole(self.path) as file:
                file.write(text.encode())
        except OSError as error:
            _log.warning("the result file cannot be written before the job has ended: %s", type(error).__name__)

    def promise(self) -> None:
        """Writes into the file, in advance, that the process was killed.

        If the process is not killed, the worker's own ``main.py`` replaces the file later.
        """
        self.write(self.promise_text())

    @classmethod
    def promise_text(cls) -> str:
        """Returns the content that says that the process was killed."""
        return cls.failed("ProcessEnded", _KILLED)

    @contextmanager
    def promised(self) -> Iterator[None]:
        """Writes into the file, in advance, that the process was killed; after SIGTERM, that the job was asked to end.

        When the callback has returned or raised, the worker's own ``main.py`` replaces the file.
        """
        self.promise()
        try:
            yield
        except SystemExit:
            self.write(self.failed("ProcessEnded", _ASKED))
            raise

    def after(self, limit: TimeLimit) -> str:
        """Returns the content for a job whose process is ended after the time limit."""
        return self.failed("JobTimeoutError", limit.sentence)


def worker_result() -> WorkerResult | None:
    """Returns the result file if this process runs a ``main.py`` of the platform's worker; None otherwise."""
    main: Any = sys.modules.get("__main__")
    path = Path(getattr(main, "__file__", None) or "")
    is_the_workers = path.name == "main.py" and all(hasattr(main, name) for name in ("ARGS", "KWARGS", "from_json"))
    return WorkerResult(path.resolve().with_name("result.json")) if is_the_workers else None
