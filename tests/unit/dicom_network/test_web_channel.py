"""The effect of each answer of a WADO-RS service on the rest of a fetch."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dcm_processor_service.dicom_network.retrieval.rounds import Ending
from dcm_processor_service.dicom_network.retrieval.web_channel import WebChannel

if TYPE_CHECKING:
    from collections.abc import Iterator


class Client:
    """Answers with a status, or with an error."""

    def __init__(self, status: int, error: Exception | None) -> None:
        self.status, self.error = status, error

    @contextmanager
    def stream(self, path: str, headers: dict[str, str]) -> Iterator[tuple[Any, Iterator[bytes]]]:
        assert path == "studies/1"
        assert headers["Accept"].startswith("multipart/related")
        if self.error is not None:
            raise self.error
        yield SimpleNamespace(status_code=self.status, headers={"Content-Type": "x"}), iter(())


@pytest.mark.parametrize(
    ("status", "error", "taken", "ending"),
    [
        (200, None, True, Ending()),
        (206, None, True, Ending("the peer sent a part of it")),
        (200, None, False, Ending("cancelled")),
        (0, httpx.ReadTimeout("late"), True, Ending("the peer did not answer in time")),
        (0, httpx.ReadError("gone"), True, Ending("the connection broke (ReadError)")),
    ],
)
def test_an_answer_tells_whether_more_is_to_come(
    status: int, error: Exception | None, ending: Ending, monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    monkeypatch.setattr(WebChannel, "_take_parts", lambda *_arguments: taken)
    client: Any = Client(status, error)
    inbox: Any = None
    assert WebChannel(client, inbox, lambda _s: None, lambda: False)._get("studies/1") == ending
