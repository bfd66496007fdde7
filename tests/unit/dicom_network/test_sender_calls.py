"""The sender before anything is sent: the time-outs of its activities, and the result of an echo."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.dicom_network import sender as module
from dcm_processor_service.dicom_network.dimse import command_set, echo
from dcm_processor_service.dicom_network.dimse.negotiation import Agreement
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.models import Peer, SendOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEER = Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=104)
OPTIONS = SendOptions(attempts=7)
ACTIVITIES: dict[str, Callable[[PynetdicomSender], object]] = {
    "send": lambda sender: sender.send([], PEER, options=OPTIONS),
    "echo": lambda sender: sender.echo(PEER, options=OPTIONS),
    "probe": lambda sender: sender.probe(PEER, options=OPTIONS),
    "propose": lambda sender: sender.propose(PEER, options=OPTIONS),
    "check": lambda sender: sender.check_sending([], PEER, options=OPTIONS),
}


class NotedError(Exception):
    """Ends an activity at the point where its options are known."""


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_every_activity_has_the_time_outs_of_the_sender(activity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def note(*args: object) -> SendOptions:
        assert args == (PEER, OPTIONS, 7.5)
        raise NotedError

    monkeypatch.setattr(module, "suited_to", note)
    with pytest.raises(NotedError):
        ACTIVITIES[activity](PynetdicomSender(timeout_s=7.5))


def told(monkeypatch: pytest.MonkeyPatch, answer: dict[int, bytes], *, accepted: bool = True) -> Any:
    class Answering:
        def __init__(self) -> None:
            syntax = echo.CONTEXT.transfer_syntax_uids[0] if accepted else ""
            self.agreed = {1: Agreement(echo.CONTEXT, syntax, "no")}

        def request(self, context_id: int, encode: Callable[[int], bytes]) -> dict[int, bytes]:
            assert (context_id, encode(3)) == (1, command_set.c_echo_rq(3))
            return answer

    @contextmanager
    def opened(*args: object) -> Iterator[Answering]:
        assert args == (PEER, (echo.CONTEXT,), OPTIONS, "OURS")
        yield Answering()

    monkeypatch.setattr(echo, "open_association", opened)
    return echo.echo(PEER, OPTIONS, "OURS")


@pytest.mark.parametrize(
    ("status", "ok", "reason"),
    [
        (b"\0\0", True, ""),
        (b"\x22\x01", False, "the peer does not support this SOP class"),
        (None, False, "no status"),
    ],
)
def test_an_echo_is_answered_by_a_status(
    status: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch, *, ok: bool
) -> None:
    found = told(monkeypatch, {} if status is None else {command_set.STATUS: status})
    assert (found.ok, found.reason, found.peer) == (ok, reason, PEER.address)
    assert found.status == (None if status is None else int.from_bytes(status, "little"))
    assert found.connect_s >= 0
    assert found.echo_s >= 0
    assert echo.is_alive(PEER, OPTIONS, "OURS")


def test_a_peer_that_refuses_echo_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch, {}, accepted=False)
    assert (found.ok, found.status, found.reason) == (False, None, "it does not accept C-ECHO: no")
    assert echo.is_alive(PEER, OPTIONS, "OURS")
