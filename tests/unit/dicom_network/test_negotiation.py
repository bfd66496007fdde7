"""The PDUs of an association's negotiation, read by pynetdicom and written by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom.pdu import A_ASSOCIATE_RQ

from dcm_processor_service.dicom_network.dimse.negotiation import (
    LARGEST_PDU_RECEIVED_BYTES,
    Agreement,
    ProposedContext,
    abort_reason,
    accepted,
    rejection,
    request,
)
from dcm_processor_service.models import Peer

CT, MR, EXPLICIT, IMPLICIT = map(str, (CTImageStorage, MRImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian))
PEER = Peer(name="PACS", ae_title="THEIRS", host="127.0.0.1", port=104)
CONTEXTS = (
    ProposedContext(CT, (EXPLICIT, IMPLICIT)),
    ProposedContext(MR, (IMPLICIT,), stored_by_peer=True),
    ProposedContext(MR, (EXPLICIT,), stored_by_peer=True),
)
NO_REASON = "the peer gives no reason"


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def answer(context_id: int, result: int, syntax: str | None = None) -> bytes:
    head = bytes((context_id, 0, result, 0))
    return item(0x21, head + (b"" if syntax is None else item(0x40, syntax.encode())))


def body(*items: bytes) -> bytes:
    """Returns the body of an A-ASSOCIATE-AC."""
    return bytes(68) + item(0x10, b"1.2.840.10008.3.1.1.1") + b"".join(items)


def test_pynetdicom_reads_the_request_of_an_association() -> None:
    encoded = request(PEER, CONTEXTS, "OURS")
    assert struct.unpack(">BBI", encoded[:6]) == (1, 0, len(encoded) - 6)
    asked = A_ASSOCIATE_RQ()
    asked.decode(encoded)
    assert asked.protocol_version == 1
    assert (asked.called_ae_title.strip(), asked.calling_ae_title.strip()) == ("THEIRS", "OURS")
    assert asked.application_context_name == "1.2.840.10008.3.1.1.1"
    told = [(one.context_id, one.abstract_syntax, tuple(one.transfer_syntax)) for one in asked.presentation_context]
    assert told == [(1, CT, (EXPLICIT, IMPLICIT)), (3, MR, (IMPLICIT,)), (5, MR, (EXPLICIT,))]
    user = asked.user_information
    assert user is not None
    assert user.maximum_length == LARGEST_PDU_RECEIVED_BYTES == 65_536
    assert user.implementation_class_uid
    assert user.implementation_version_name
    roles = {uid: (one.scu_role, one.scp_role) for uid, one in user.role_selection.items()}
    assert roles == {MR: (0, 1)}  # once, though two contexts are of the class
    assert len(encoded) == 6 + 68 + sum(len(one) + 4 for one in _items(encoded[74:]))


def _items(content: bytes) -> list[bytes]:
    found = []
    while content:
        (length,) = struct.unpack(">H", content[2:4])
        found.append(content[4 : 4 + length])
        content = content[4 + length :]
    return found


def test_accepted_contexts_are_agreed_and_refused_ones_have_a_reason() -> None:
    told = accepted(
        body(
            answer(1, 0, IMPLICIT),
            answer(3, 4, IMPLICIT),
            answer(7, 0, IMPLICIT),  # which was not asked for
            item(0x50, item(0x52, b"1.2") + item(0x51, struct.pack(">I", 16_384)) + item(0x55, b"x")),
        ),
        CONTEXTS,
    )
    assert told.maximum_length == 16_384
    assert told.agreed == {
        1: Agreement(CONTEXTS[0], IMPLICIT),
        3: Agreement(CONTEXTS[1], "", "the peer does not accept this transfer syntax"),
        5: Agreement(CONTEXTS[2], "", NO_REASON),  # of which it says nothing
    }
    assert [one.accepted for one in told.agreed.values()] == [True, False, False]


@pytest.mark.parametrize(
    ("result", "reason", "class_refused"),
    [
        (1, "the peer does not want it", False),
        (2, NO_REASON, False),
        (3, "the peer does not accept this SOP class", True),
        (4, "the peer does not accept this transfer syntax", False),
        (9, NO_REASON, False),
    ],
)
def test_a_refused_context_has_a_reason(result: int, reason: str, *, class_refused: bool) -> None:
    told = accepted(body(answer(1, result, EXPLICIT)), CONTEXTS[:1])
    assert told.agreed == {1: Agreement(CONTEXTS[0], "", reason, class_refused=class_refused)}
    assert told.maximum_length == 0


@pytest.mark.parametrize("syntax", [None, "", "1.2.840.10008.1.2.4.50", f"{EXPLICIT}.1"])
def test_a_syntax_that_was_not_proposed_is_no_agreement(syntax: str | None) -> None:
    assert not accepted(body(answer(1, 0, syntax)), CONTEXTS[:1]).agreed[1].accepted


@pytest.mark.parametrize("padded", [f"{EXPLICIT}\0", f"{EXPLICIT} "])
def test_a_padded_syntax_is_the_one_that_is_meant(padded: str) -> None:
    assert accepted(body(answer(1, 0, padded)), CONTEXTS[:1]).agreed[1].transfer_syntax_uid == EXPLICIT


def test_a_maximum_of_another_length_is_none() -> None:
    assert accepted(body(item(0x50, item(0x51, b"\0\1"))), ()).maximum_length == 0


def test_a_negotiation_that_is_cut_off_is_an_error() -> None:
    whole = body(answer(1, 0, EXPLICIT))
    assert accepted(bytes(68), CONTEXTS[:1]).agreed[1].reason == NO_REASON
    with pytest.raises(ValueError, match="the answer is cut off"):
        accepted(bytes(67), CONTEXTS)
    with pytest.raises(ValueError, match="an item is cut off"):
        accepted(bytes(68) + b"\x21\0\0", CONTEXTS)
    with pytest.raises(ValueError, match="longer than the item or PDU around it"):
        accepted(whole[:-1], CONTEXTS)
    assert not accepted(body(item(0x21, b"\1")), CONTEXTS[:1]).agreed[1].accepted


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_a_value_error(content: bytes) -> None:
    try:
        told = accepted(content, CONTEXTS)
    except ValueError:
        return
    assert set(told.agreed) == {1, 3, 5}


@pytest.mark.parametrize(
    ("source", "diagnostic", "reason"),
    [
        (1, 1, "it gives no reason; see its log"),
        (1, 2, "it does not know the application context of DICOM; is it a DICOM peer?"),
        (1, 3, "it does not know our AE title 'OURS'; add it there, or set the peer's calling_ae_title"),
        (1, 7, "it is not 'THEIRS'; correct the peer's ae_title"),
        (2, 1, "it gives no reason; see its log"),
        (2, 2, "it does not know the protocol version of DICOM; is it a DICOM peer?"),
        (3, 1, "it is congested; try again later"),
        (3, 2, "it has as many associations as it allows; try again later"),
        (2, 7, "source 2, reason 7"),
    ],
)
@pytest.mark.parametrize(("result", "temporary"), [(1, False), (2, True)])
def test_a_rejection_has_a_reason_and_may_be_temporary(
    source: int, diagnostic: int, reason: str, result: int, *, temporary: bool
) -> None:
    told = rejection(bytes((0, result, source, diagnostic)), called="THEIRS", calling="OURS")
    assert told == (temporary, reason)
    with pytest.raises(ValueError, match="the rejection is cut off"):
        rejection(bytes((0, result, source)), called="THEIRS", calling="OURS")


@pytest.mark.parametrize(
    ("source", "reason", "said"),
    [
        (0, 1, "the peer aborted the association; see its log"),
        (2, 0, "the peer aborted the association: it gives no reason"),
        (2, 1, "the peer aborted the association: it did not know a PDU that we sent"),
        (2, 2, "the peer aborted the association: it did not expect a PDU that we sent"),
        (2, 4, "the peer aborted the association: it did not know a parameter that we sent"),
        (2, 5, "the peer aborted the association: it did not expect a parameter that we sent"),
        (2, 6, "the peer aborted the association: a parameter that we sent was invalid"),
    ],
)
def test_an_abort_says_who_and_why(source: int, reason: int, said: str) -> None:
    assert abort_reason(bytes((0, 0, source, reason))) == said


def test_an_abort_that_says_nothing_is_one_of_the_application() -> None:
    assert abort_reason(b"") == "the peer aborted the association; see its log"
    assert abort_reason(b"\0\0\2") == "the peer aborted the association: it gives no reason"
