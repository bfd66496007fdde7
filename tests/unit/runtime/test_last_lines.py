"""The hooks that scrub what other code logs, warns and fails of, until the process ends."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.models import Patient
from dcm_processor_service.runtime.logs.last_errors import scrub_last_errors
from dcm_processor_service.runtime.logs.last_lines import scrub_last_lines
from dcm_processor_service.runtime.logs.records import clean_record
from dcm_processor_service.runtime.logs.scrubbing import Scrubber

if TYPE_CHECKING:
    from collections.abc import Callable

HOOKS: list[tuple[Any, str]] = [
    (logging.Logger, "handle"),
    (logging.Handler, "handleError"),
    (warnings, "showwarning"),
    (threading, "excepthook"),
    (sys, "excepthook"),
    (sys, "unraisablehook"),
]


@pytest.fixture
def scrubber() -> Scrubber:
    made = Scrubber()
    made.learn(Patient(id="0" * 24, metadata={"PatientName": "Quarvelius^Oda"}))
    return made


def failed(text: str) -> Any:
    error = ValueError(text)
    return SimpleNamespace(
        exc_type=ValueError, exc_value=error, exc_traceback=None, thread=None, object=None, err_msg=""
    )


USES: dict[tuple[str, str], Callable[[str], object]] = {
    ("Logger", "handle"): lambda text: logging.getLogger("theirs").error(text),
    ("Handler", "handleError"): lambda _text: logging.Handler().handleError(logging.makeLogRecord({})),
    ("warnings", "showwarning"): lambda text: warnings.showwarning(UserWarning(text), UserWarning, "a.py", 1),
    ("threading", "excepthook"): lambda text: threading.excepthook(failed(text)),
    ("sys", "excepthook"): lambda text: sys.excepthook(ValueError, ValueError(text), None),
    ("sys", "unraisablehook"): lambda text: sys.unraisablehook(failed(text)),
}


@pytest.mark.parametrize(("holder", "name"), HOOKS, ids=lambda one: getattr(one, "__name__", one))
def test_what_other_code_puts_over_a_hook_between_two_jobs_is_called_once(
    holder: Any, name: str, scrubber: Scrubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    calls: list[int] = []
    for one in HOOKS:  # as it was, afterwards
        monkeypatch.setattr(*one, lambda *words: told.extend(repr(word) for word in words))
    for _job in range(3):
        scrub_last_lines(scrubber)
        scrub_last_errors(scrubber)
        below = getattr(holder, name)

        def over(*words: Any, below: Callable[..., object] = below) -> None:
            calls.append(1)
            below(*words)

        setattr(holder, name, over)
    scrub_last_lines(scrubber)
    scrub_last_errors(scrubber)
    USES[holder.__name__, name]("Quarvelius was here")
    assert len(calls) == 3
    assert told
    assert "Quarvelius" not in "".join(told)


def record(message: object, *args: object, **fields: Any) -> logging.LogRecord:
    return logging.getLogger("theirs").makeRecord(
        "theirs", logging.INFO, "a.py", 1, message, args, fields.pop("exc_info", None), **fields
    )


def test_a_record_with_nothing_to_remove_stays_as_it_is(scrubber: Scrubber) -> None:
    failure = (ValueError, ValueError("a measure is missing"), None)
    event = {"event": "x", "sizes": (1, 2), 3: None}
    shapes = (1, (2, 3))
    for made in (
        record("%s %d", "GET", 200),
        record(event),
        record("failed", exc_info=failure),
        record("%(a)s", {"a": 1}, extra={"shapes": shapes, "event": event}),
    ):
        before = dict(vars(made))
        clean_record(made, scrubber)
        assert vars(made) == before
        assert all(vars(made)[name] is held for name, held in before.items())


@pytest.mark.parametrize(
    "made",
    [
        lambda: record("%s %d", "Quarvelius", 200),
        lambda: record("%.4s", "Quarvelius"),  # the text shows half of it; the record holds all
        lambda: record({"name": "Quarvelius"}),
        lambda: record({"names": [("Quarvelius",)]}),
        lambda: record("%d", "Quarvelius"),
        lambda: record("x", extra={"names": ("Quarvelius",)}),
        lambda: record("x", exc_info=(ValueError, ValueError("Quarvelius"), None)),
        lambda: record("x", sinfo="Stack: Quarvelius"),
        lambda: logging.makeLogRecord({"msg": "x", "exc_text": "ValueError: Quarvelius"}),
    ],
)
def test_what_a_record_holds_of_the_patient_is_removed(
    made: Callable[[], logging.LogRecord], scrubber: Scrubber
) -> None:
    cleaned = made()
    clean_record(cleaned, scrubber)
    assert "Quarvelius" not in repr(vars(cleaned))
    assert "Quarvelius" not in logging.Formatter().format(cleaned)
