"""``ctx.log`` and the logging of a job's process.

It is the standard library's logging with a formatter and a scrubber, and no other framework, because pydicom,
pynetdicom, drivers and ``warnings`` log through the standard library too. The scrubber removes this session's names,
ids and dates from every record when it is made, before any handler, ours or another's, sees it.

A line is JSON when the output is not a terminal: ``time``, ``level``, ``logger``, ``message``, ``session``, ``job``,
``event``, ``service``, then the fields that were given, then ``traceback``.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from dcm_processor_service.runtime.execution.results import json_safe
from dcm_processor_service.runtime.logs.kept_lines import LOGGER_NAME
from dcm_processor_service.runtime.logs.records import clean_names
from dcm_processor_service.runtime.logs.terminal_text import visible, visible_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping
    from typing import TextIO

    from dcm_processor_service.runtime.logs.scrubbing import Scrubber
    from dcm_processor_service.runtime.settings import RuntimeSettings

__all__ = ["JobLog", "job_logging", "log_fields"]


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:  # before Python 3.11 it cannot be subscripted at run time
    _Adapter = logging.LoggerAdapter

_RESERVED = frozenset({"time", "level", "logger", "message", "session", "job", "event", "service", "traceback"})
_OWN_ARGUMENTS = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})
_DICOM_LIBRARIES = frozenset({"highdicom", "pydicom", "pynetdicom"})
_NO_DEBUG = ("httpcore", "httpx", "motor", "pydicom", "pymongo")
"""Libraries whose DEBUG lines hold whole commands, contents or data elements, also of patients of other sessions."""
_TALKATIVE = ("highdicom",)
"""Libraries that log each DICOM module they copy at INFO; such lines are shown only if the job's level is DEBUG."""
_FROM_DICOM_LIBRARY = re.compile(r"[/\\](?:highdicom|pydicom|pynetdicom)[/\\]")
_QUOTED = re.compile(r"""(?<![\w])(?:b?'[^'\n]*'|"[^"\n]*")""")
_ELEMENT_LINE = re.compile(r"^[ >]*\(?[0-9A-Fa-f]{4},\s?[0-9A-Fa-f]{4}\).*$", re.MULTILINE)


def log_fields(settings: RuntimeSettings) -> dict[str, str]:
    """Returns the fields of every line of a job's log."""
    return {
        "session": settings.session_id,
        "job": settings.job_id,
        "event": settings.job_event.value if settings.job_event else "",
        "service": settings.service_name,
    }


class JobLog(_Adapter):
    """A logger that knows its session and job, and takes fields by name.

    Patient attributes of the session are removed from messages and fields.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> ctx = fake_context()
        >>> ctx.log.info("segmented", volume_ml=12.5)
    """

    def __init__(self, bound: Mapping[str, str], scrubber: Scrubber) -> None:
        super().__init__(logging.getLogger(LOGGER_NAME), {})
        self._bound = dict(bound)
        self._scrubber = scrubber

    def bind(self, **fields: Any) -> JobLog:
        """Returns a log whose lines have these fields too."""
        return JobLog({**self._bound, **fields}, self._scrubber)

    @override
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Separates the arguments of logging itself from fields."""
        fields = {name: kwargs.pop(name) for name in list(kwargs) if name not in _OWN_ARGUMENTS}
        given = self._scrubber.value(json_safe({**self._bound, **fields}))  # cleaned before any handler sees it
        kwargs["extra"] = {**(kwargs.get("extra") or {}), "job_fields": given}
        return msg, kwargs

    @override
    def log(  # type: ignore[override]  # by position alone, so that fields may have these names
        self, level: int, msg: object, /, *args: object, **kwargs: Any
    ) -> None:
        """Logs a line; see :meth:`logging.Logger.log`."""
        if self.isEnabledFor(level):
            text, options = self.process(str(msg) % args if args else str(msg), kwargs)
            self.logger.log(level, "%s", self._scrubber.text(text), **options)


def _without_values(text: str) -> str:
    """Returns a DICOM library's message without the values that it quotes, which may be values of any element."""
    return _QUOTED.sub("'…'", _ELEMENT_LINE.sub("(element)", text))


def _silence_identifiers() -> None:
    """Turns off pynetdicom's lines about queries, which hold whole identifiers, if pynetdicom is loaded."""
    config: Any = sys.modules.get("pynetdicom._config")
    if config is not None:
        config.LOG_REQUEST_IDENTIFIERS = config.LOG_RESPONSE_IDENTIFIERS = False


class _ScrubbedRecords:
    """Makes log records with a finished, scrubbed text, so that no handler can show more."""

    def __init__(self, scrubber: Scrubber, before: Callable[..., logging.LogRecord]) -> None:
        self._scrubber = scrubber
        self._before = before

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._before(*args, **kwargs)
        library = str(record.name or "").partition(".")[0]  # logging.makeLogRecord sets the name only later
        if library == "pynetdicom":
            _silence_identifiers()
        try:
            text = record.getMessage()
        except Exception as error:  # noqa: BLE001  the error's own text would show the arguments
            text = f"a message that cannot be formatted: {type(error).__name__}"
        if library in _NO_DEBUG and record.levelno < logging.INFO:
            text = f"{library} has a DEBUG line, which may hold stored values and is not shown"
        if library in _DICOM_LIBRARIES or (library == "py" and _FROM_DICOM_LIBRARY.search(text)):
            text = _without_values(text)
        record.msg, record.args = self._scrubber.text(text), ()
        if record.exc_info and record.exc_info[1] is not None:
            lines = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            record.exc_text = self._scrubber.text(lines)  # formatters print it instead of formatting the error
            record.exc_info = None
        if record.stack_info:
            record.stack_info = self._scrubber.text(record.stack_info)
        clean_names(record, self._scrubber)
        return record


class _Line(logging.Formatter):
    """Formats a record as one line of JSON, or as text for people; neither can control a terminal."""

    def __init__(self, bound: Mapping[str, str], *, as_json: bool) -> None:
        super().__init__()
        self._bound = bound
        self._as_json = as_json

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        given = {key: value for key, value in getattr(record, "job_fields", {}).items() if key not in self._bound}
        safe = {f"{key}_" if key in _RESERVED else key: value for key, value in given.items()}
        created_at = datetime.fromtimestamp(record.created, timezone.utc)
        if not self._as_json:
            shown = "".join(f"  {key}={value}" for key, value in safe.items())
            text = f"{created_at:%H:%M:%S} {record.levelname:<7} {record.getMessage()}{shown}"
            return visible(f"{text}\n{record.exc_text}" if record.exc_text else text)
        line = {
            "time": created_at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._bound,
            **safe,
            **({"traceback": record.exc_text} if record.exc_text else {}),
        }
        return visible_json(json.dumps(line, ensure_ascii=False))


@contextmanager
def job_logging(
    bound: Mapping[str, str],
    scrubber: Scrubber,
    level: str,
    stream: TextIO | None = None,
    kept: logging.Handler | None = None,
) -> Iterator[None]:
    """Sets up the logging of this process for one job, within the block.

    The root logger writes scrubbed lines to the standard error and nowhere else. Warnings and the failures of threads
    are logged too. Records that go to other handlers, which libraries made for themselves, are scrubbed as well.

    Args:
        bound: Fields of every line: session, job, event, service.
        scrubber: Removes what it knows of the patient; it may learn more meanwhile.
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        stream: Where lines are written; the standard error when not given.
        kept: Receives each record too, for the job's report.
    """
    output = stream or sys.stderr
    handler = logging.StreamHandler(output)
    handler.setFormatter(_Line(bound, as_json=not output.isatty()))
    root, factory, thread_hook = logging.getLogger(), logging.getLogRecordFactory(), threading.excepthook
    handlers, root_level = root.handlers[:], root.level
    captured = _warnings_are_captured()

    def on_thread_failure(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
            error = failure.exc_value
            logging.getLogger(LOGGER_NAME).error("a thread failed", exc_info=(type(error), error, error.__traceback__))

    least = dict.fromkeys(_NO_DEBUG, logging.INFO)
    least |= dict.fromkeys(_TALKATIVE, logging.DEBUG if level == "DEBUG" else logging.WARNING)
    levels = {library: logging.getLogger(library).level for library in least}
    for library, at_least in least.items():
        logging.getLogger(library).setLevel(max(levels[library], logging.getLevelName(level), at_least))
    root.handlers[:] = [handler] if kept is None else [handler, kept]
    root.setLevel(level)
    logging.setLogRecordFactory(_ScrubbedRecords(scrubber, factory))
    logging.captureWarnings(capture=True)
    threading.excepthook = on_thread_failure
    _silence_identifiers()
    try:
        yield
    finally:
        threading.excepthook = thread_hook
        if not captured:
            logging.captureWarnings(capture=False)
        logging.setLogRecordFactory(factory)
        root.handlers[:] = handlers
        root.setLevel(root_level)
        for library, before in levels.items():
            logging.getLogger(library).setLevel(before)
        handler.flush()


def _warnings_are_captured() -> bool:
    return getattr(logging, "_warnings_showwarning", None) is not None
