"""A message quotes only a part of a very long name, and escapes characters that control a terminal."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.testing import fake_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service import Session

CALLS: dict[str, Callable[[Session, str], Any]] = {
    "data": lambda session, name: session.data.get(name),
    "data of a job": lambda session, name: session.data.get("value", job=name),
    "data of a job, perhaps": lambda session, name: session.data.get("value", job=name, default=None),
    "all data of a job": lambda session, name: session.data.collect("value", job=name),
    "file": lambda session, name: session.files.read(name),
    "files of a job": lambda session, name: session.files.list(job=name),
    "peer": lambda session, name: session.peers.get(name),
    "peer to send to": lambda session, name: session.dicom.send([], name),
    "series": lambda session, name: session.dicom.get_series(name),
    "key": lambda session, name: session.data.set("value", {name: {name: object()}}),
    "key of metadata": lambda session, name: session.files.put("file", b"", metadata={name: object()}),
    "key that is not text": lambda session, name: session.data.set("value", {(name,): 1}),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["x" * 10_000, "\x1b[2J" * 2_500, "\n" * 10_000], ids=["long", "escapes", "lines"])
def test_messages_stay_short_and_harmless(call: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    told = []
    with contextlib.suppress(DcmProcessorError):
        try:
            CALLS[call](fake_context().session, name)
        except DcmProcessorError as error:
            told.append(str(error))
            raise
    for message in [*told, *caplog.messages]:
        assert len(message) < 1200
        assert "\x1b" not in message
        assert "\n" not in message
