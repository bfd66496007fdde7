"""The values that a test of a peer proposes, from fake associations with a peer of known manners."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.dicom_network.dimse import proposing
from dcm_processor_service.dicom_network.dimse.negotiation import Agreement, ProposedContext
from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import Peer, SendOptions
from dcm_processor_service.models.network.peers import WRITABLE_SYNTAXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEER = Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=104)


def proposed(
    monkeypatch: pytest.MonkeyPatch, pick: Callable[[tuple[str, ...]], str], most: int = 9, peer: Peer = PEER
) -> Any:
    """Tests a fake peer that picks a syntax of those proposed, and allows so many associations at once."""
    now: list[int] = []

    @contextmanager
    def opened(_peer: Peer, contexts: tuple[ProposedContext, ...], _options: object, title: str) -> Iterator[Any]:
        assert title == "OURS"
        if len(now) == most:
            raise PeerUnreachableError("too many associations")
        now.append(1)
        agreed = {2 * number + 1: Agreement(one, pick(one.transfer_syntax_uids)) for number, one in enumerate(contexts)}
        yield SimpleNamespace(agreed=agreed, connect_s=0.0, accept_s=0.0, request=lambda *_arguments: None)
        now.pop()

    monkeypatch.setattr(proposing, "open_association", opened)
    found = proposing.propose(peer, SendOptions(), "OURS")
    assert now == []
    return found


@pytest.mark.parametrize("position", [0, -1], ids=["first", "last"])
def test_a_peer_that_takes_what_stands_somewhere_prefers_nothing(
    position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = proposed(monkeypatch, lambda syntaxes: syntaxes[position])
    assert found.peer == PEER
    assert found.reasons == ()
    assert "it accepts us as OURS" in found.notes[0]


@pytest.mark.parametrize("syntax", WRITABLE_SYNTAXES)
def test_a_peer_that_picks_one_syntax_in_any_order_prefers_it(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = proposed(monkeypatch, lambda syntaxes: syntax if syntax in syntaxes else syntaxes[0])
    assert found.peer.transfer_syntax_uid == syntax
    assert len(found.reasons) == 1
    known = PEER.model_copy(update={"transfer_syntax_uid": syntax})
    assert proposed(monkeypatch, lambda _syntaxes: syntax, peer=known).reasons == ()


@pytest.mark.parametrize(("most", "value"), [(1, 1), (3, 3), (4, None), (5, None)])
def test_a_peer_that_allows_few_associations_has_their_number(
    most: int, value: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = proposed(monkeypatch, lambda syntaxes: syntaxes[0], most)
    assert found.peer.max_associations == value
    assert len(found.reasons) == (value is not None)
    stricter = PEER.model_copy(update={"max_associations": 1})
    assert proposed(monkeypatch, lambda syntaxes: syntaxes[0], most, stricter).peer == stricter


def test_a_peer_that_takes_no_images_prefers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = proposed(monkeypatch, lambda syntaxes: "" if len(syntaxes) > 2 else syntaxes[0])
    assert found.peer == PEER
