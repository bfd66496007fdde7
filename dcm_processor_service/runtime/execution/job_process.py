"""A process that runs one job: its logging, its signals, and its clean-up."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from dcm_processor_service.runtime.execution.cancellation import cancelled_by_sigterm
from dcm_processor_service.runtime.logs.job_log import job_logging, log_fields
from dcm_processor_service.runtime.logs.kept_lines import KeptLines
from dcm_processor_service.runtime.logs.last_errors import scrub_last_errors
from dcm_processor_service.runtime.logs.last_lines import scrub_last_lines
from dcm_processor_service.runtime.own_session import serving, spare_own_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.runtime.container import Container

__all__ = ["job_process"]


@contextmanager
def job_process(container: Container) -> Iterator[None]:
    """Sets up this process for the container's job, within the block.

    Logging goes through the scrubber, SIGTERM requests the job's end, and functions that are given no context use this
    container. Uncaught errors, log lines and warnings are scrubbed after the block too, until the process ends. At the
    end of the block, associations that were left open are aborted, because each would keep the process alive for a
    minute.
    """
    settings = container.settings()
    spare_own_limits()
    scrub_last_errors(container.scrubber())
    scrub_last_lines(container.scrubber())
    with ExitStack() as stack:
        bound = log_fields(settings)
        kept = KeptLines(container.recording().add_line, bound)
        stack.enter_context(job_logging(bound, container.scrubber(), settings.log_level, kept=kept))
        stack.enter_context(cancelled_by_sigterm(container.cancellation()))
        if container.mode() == "blocking":  # functions without a context are blocking
            stack.enter_context(serving(container))
        stack.callback(_abort_associations, container, set(threading.enumerate()))
        yield


def _abort_associations(container: Container, before: set[threading.Thread]) -> None:
    library: Any = sys.modules.get("pynetdicom.association")  # without it there is no association
    if library is None:
        return
    left_open = [thread for thread in set(threading.enumerate()) - before if isinstance(thread, library.Association)]
    for association in left_open:
        association.abort()
    if left_open:
        container.log().warning(
            "associations were left open and have been aborted; release each one, best in a finally",
            count=len(left_open),
        )
