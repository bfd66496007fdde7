"""The effect of each answer of a WADO-RS service on the rest of a fetch."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dcm_processor_service.dicom_network.retrieval.rounds import Ending
from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries
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


GONE, BUSY = Ending("nothing there", retryable=False), Ending("busy")


@pytest.mark.parametrize("order", [(GONE, BUSY), (BUSY, GONE)], ids=["gone first", "busy first"])
def test_each_instance_that_does_not_come_has_its_own_reason_and_one_that_may_come_is_waited_for(
    order: tuple[Ending, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    endings = dict(zip(("1.1.1", "1.1.2"), order, strict=True)) | {"1.1.3": Ending()}
    asked: list[str] = []

    def get(_channel: WebChannel, path: str) -> Ending:
        asked.append(path)
        return endings[path.rpartition("/")[2]]

    monkeypatch.setattr(WebChannel, "_get", get)
    nothing: Any = None
    ending = WebChannel(nothing, nothing, lambda _s: None, lambda: False).ask(WantedSeries("1", "1.1", ""), [*endings])
    assert asked == [f"studies/1/series/1.1/instances/{uid}" for uid in endings]
    assert (ending.problem, ending.retryable) == ("busy", True)
    assert ending.failed == ("1.1.1", "1.1.2")
    assert ending.reasons == {uid: (one.problem, one.retryable) for uid, one in endings.items() if one.problem}


def test_a_cancelled_fetch_asks_for_no_further_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get(_channel: WebChannel, path: str) -> Ending:
        asked.append(path)
        return Ending()

    monkeypatch.setattr(WebChannel, "_get", get)
    nothing: Any = None
    channel = WebChannel(nothing, nothing, lambda _s: None, lambda: len(asked) == 1)
    ending = channel.ask(WantedSeries("1", "1.1", ""), ["1.1.1", "1.1.2"])
    assert len(asked) == 1
    assert (ending.problem, ending.failed) == ("cancelled", ())
