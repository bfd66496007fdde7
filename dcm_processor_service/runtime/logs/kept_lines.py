"""Keeps the lines of a job's log for its report; they are scrubbed when they are made."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from typing_extensions import override

from dcm_processor_service.models.log_lines import LogLine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LOGGER_NAME", "KeptLines"]

LOGGER_NAME = "dcm_processor_service.job"
"""The logger of ``ctx.log``."""


class KeptLines(logging.Handler):
    """Passes each record to ``keep``, as a :class:`LogLine`."""

    def __init__(self, keep: Callable[[LogLine], None], bound: Mapping[str, str]) -> None:
        super().__init__()
        self._keep = keep
        self._bound = frozenset(bound)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record of the job's own log; keeps only warnings and errors of other loggers, since they log much."""
        if record.name != LOGGER_NAME and record.levelno < logging.WARNING:
            return
        given = getattr(record, "job_fields", None) if record.name == LOGGER_NAME else None
        fields = given if isinstance(given, dict) else {}  # those that ctx.log has cleaned
        self._keep(
            LogLine(
                time=datetime.fromtimestamp(record.created, timezone.utc),
                level=record.levelname.lower(),
                logger=record.name,
                message=record.getMessage(),
                fields={name: value for name, value in fields.items() if name not in self._bound},
                traceback=record.exc_text or "",
            )
        )
