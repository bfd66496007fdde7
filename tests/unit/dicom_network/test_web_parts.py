"""Instances that STOW-RS cannot send as a part of a request: each has its record, and the others go out."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.dicomweb.stow_messages import Answer, RequestBody
from dcm_processor_service.dicom_network.dicomweb.stow_sender import WebDelivery
from dcm_processor_service.dicom_network.parcels import Ledger
from dcm_processor_service.dicom_network.sources import UnreadableInstanceError
from dcm_processor_service.errors import UnsupportedTransferSyntaxError
from dcm_processor_service.models import Outcome, Peer, SendOptions

if TYPE_CHECKING:
    import pytest

EXPLICIT, IMPLICIT = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
PEER = Peer(
    name="WEB",
    ae_title="WEB",
    host="127.0.0.1",
    port=9,
    url="http://127.0.0.1:9/dicom-web",
    transfer_syntax_uid=IMPLICIT,
)


class FakeInstance:
    """An instance that can be opened in some transfer syntaxes, and raises an error in others."""

    source = None
    sop_class_uid = "1.2"
    transfer_syntax_uid = EXPLICIT
    memory_bytes = 1

    def __init__(self, uid: str, **errors: Exception) -> None:
        self.sop_instance_uid = uid
        self.errors = {{"explicit": EXPLICIT, "implicit": IMPLICIT}[name]: error for name, error in errors.items()}

    def open_file(self, transfer_syntax_uid: str) -> BytesIO:
        if transfer_syntax_uid in self.errors:
            raise self.errors[transfer_syntax_uid]
        return BytesIO(f"<{self.sop_instance_uid} {transfer_syntax_uid}>".encode())

    def checksum(self, transfer_syntax_uid: str) -> str:
        return f"sum of {transfer_syntax_uid}"


def sent(monkeypatch: pytest.MonkeyPatch, *instances: Any) -> tuple[Ledger, list[bytes]]:
    """Sends to a fake service that stores everything; returns the records and the bodies of the requests."""
    bodies: list[bytes] = []

    def post(_delivery: WebDelivery, body: RequestBody) -> Answer:
        content = b"".join(body)
        assert len(content) == int(body.headers["Content-Length"])
        bodies.append(content)
        return Answer({one.sop_instance_uid: 0 for one in instances}, {})

    monkeypatch.setattr(WebDelivery, "_post", post)
    ledger = Ledger()
    delivery = WebDelivery(PEER, SendOptions(), ledger, lambda _seconds: None)
    delivery.deliver(enumerate(instances), lambda: False)
    delivery.finish()
    assert delivery.failure is None
    return ledger, bodies


def test_an_instance_that_cannot_be_opened_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = UnreadableInstanceError("the file cannot be read any more")
    no_codec = UnsupportedTransferSyntaxError("it cannot be converted here")
    ledger, (body,) = sent(
        monkeypatch,
        FakeInstance("1.1"),
        FakeInstance("1.2", implicit=gone),
        FakeInstance("1.3", implicit=no_codec, explicit=no_codec),
        FakeInstance("1.4", implicit=no_codec),
        FakeInstance("1.5", implicit=no_codec, explicit=gone),
    )
    records = [record for _, record in sorted(ledger.records.items())]
    assert [one.outcome for one in records] == [
        Outcome.STORED,
        Outcome.FAILED,
        Outcome.REFUSED,
        Outcome.STORED,
        Outcome.FAILED,
    ]
    assert [one.attempts for one in records] == [1, 0, 0, 1, 0]
    assert records[1].meaning == "the file cannot be read any more"
    assert records[2].meaning == "the peer does not accept its transfer syntax, and it cannot be converted here"
    for number, syntax, before in ((0, IMPLICIT, EXPLICIT), (3, EXPLICIT, "")):
        one = records[number]
        assert (one.transfer_syntax_uid, one.transcoded_from) == (syntax, before)
        assert one.checksum == f"sum of {syntax}"
        assert f"<{one.sop_instance_uid} {syntax}>".encode() in body
    assert body.count(b"<1.") == 2


def test_nothing_is_asked_of_a_peer_for_which_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, bodies = sent(monkeypatch, FakeInstance("1.1", implicit=UnreadableInstanceError("gone")))
    assert bodies == []
    assert [record.outcome for record in ledger.records.values()] == [Outcome.FAILED]
