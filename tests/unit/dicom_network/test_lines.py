"""A request to send over a fake association: what is asked, what each instance is answered, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.dimse import command_set
from dcm_processor_service.dicom_network.dimse.association import AssociationLostError, Message
from dcm_processor_service.dicom_network.dimse.negotiation import Agreement, ProposedContext
from dcm_processor_service.dicom_network.dimse.query import decoded_identifier, encoded_identifier
from dcm_processor_service.dicom_network.retrieval.inbox import Inbox
from dcm_processor_service.dicom_network.retrieval.lines import QUERY_SYNTAXES, STUDY_ROOT_GET, Line
from dcm_processor_service.dicom_network.retrieval.rounds import Ending
from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EXPLICIT, IMPLICIT = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
CT = str(CTImageStorage)
IMAGES = ProposedContext(CT, (EXPLICIT,), stored_by_peer=True)
UIDS = [str(make_ct(number).SOPInstanceUID) for number in range(3)]
WANTED = WantedSeries(str(make_ct().StudyInstanceUID), str(make_ct().SeriesInstanceUID), "TEST")


def body(dataset: Dataset) -> bytes:
    """The encoded data set, without a file's meta information."""
    return b"".join(encoded_identifier(dataset, implicit=False)(1 << 20))


def c_store(uid: str, kind: str = CT) -> command_set.CommandSet:
    return command_set.decode(command_set.c_store_rq(5, kind, uid))


class FakeAssociation:
    """A fake association over which a peer sends prepared instances, and then a last answer."""

    def __init__(self, syntax: str = EXPLICIT) -> None:
        self.agreed = {
            1: Agreement(ProposedContext(STUDY_ROOT_GET, QUERY_SYNTAXES), syntax),
            3: Agreement(IMAGES, EXPLICIT),
            5: Agreement(IMAGES, "", "the peer does not want it"),
        }
        self.sends: list[tuple[int, command_set.CommandSet, bytes]] = []
        self.last: dict[int, bytes] = {command_set.STATUS: b"\0\0"}
        self.data = b""
        self.asked: Dataset | None = None
        self.answered: list[tuple[int, int | None, str]] = []
        self.cut_off = False

    def converse(
        self,
        context_id: int,
        encode: Callable[[int], bytes],
        content: Callable[[int], Iterator[bytes]],
        on_message: Callable[[Message], None],
        *,
        sink_for: Callable[[int, command_set.CommandSet], Callable[[bytes], object] | None],
        stopped: Callable[[], bool],
    ) -> Message:
        assert (context_id, encode(9), stopped()) == (1, b"request 9", False)
        implicit = self.agreed[1].transfer_syntax_uid == IMPLICIT
        self.asked = decoded_identifier(b"".join(content(1 << 16)), implicit=implicit)
        for context, command, data in self.sends:
            sink = sink_for(context, command)
            if sink is not None:
                sink(data[:700])
                if self.cut_off:
                    raise AssociationLostError("the peer aborted")
                sink(data[700:])
            on_message(Message(context, command, b"" if sink else data))
        return Message(1, self.last, self.data)

    def respond(self, context_id: int, command: bytes) -> None:
        said = command_set.decode(command)
        answered = command_set.us(said, command_set.MESSAGE_ID_RESPONDED_TO)
        assert answered == 5
        uid = command_set.uid(said, command_set.AFFECTED_SOP_INSTANCE_UID)
        self.answered.append((context_id, command_set.us(said, command_set.STATUS), uid))


def ask(peer: FakeAssociation, folder: Path, *uids: str) -> tuple[Ending, Inbox]:
    association: Any = peer
    inbox = Inbox(folder, [WANTED])
    line = Line(association, lambda message_id: b"request %d" % message_id, inbox, lambda: False)
    return line.ask(WANTED, uids), inbox


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_series_is_asked_for_as_a_whole_and_instances_by_their_uids(syntax: str, tmp_path: Path) -> None:
    peer = FakeAssociation(syntax)
    assert ask(peer, tmp_path)[0] == Ending()
    whole = Dataset()
    whole.QueryRetrieveLevel = "SERIES"
    whole.StudyInstanceUID, whole.SeriesInstanceUID = WANTED.study_instance_uid, WANTED.series_instance_uid
    assert peer.asked == whole
    assert ask(peer, tmp_path, *UIDS)[0] == Ending()
    whole.QueryRetrieveLevel, whole.SOPInstanceUID = "IMAGE", UIDS
    assert peer.asked == whole


def test_each_instance_is_answered_by_whether_it_is_kept(tmp_path: Path) -> None:
    peer, stranger = FakeAssociation(), make_ct(2)
    stranger.SeriesInstanceUID = "1.9"
    peer.sends = [
        (3, c_store(UIDS[0]), body(make_ct(0))),
        (3, c_store(UIDS[1]), body(make_ct(1))[:-100]),
        (1, {command_set.COMMAND_FIELD: b"\x10\x80"}, b""),
        (3, c_store(UIDS[2]), body(stranger)),
    ]
    ending, inbox = ask(peer, tmp_path)
    assert ending == Ending()
    assert peer.answered == [(3, 0x0000, UIDS[0]), (3, 0xC000, UIDS[1]), (3, 0xC000, UIDS[2])]
    assert [inbox.records[uid].outcome.value for uid in UIDS] == ["fetched", "rejected", "rejected"]
    kept = dcmread(inbox.records[UIDS[0]].path)
    assert kept == make_ct(0)
    assert kept.file_meta.TransferSyntaxUID == EXPLICIT
    assert kept.file_meta.MediaStorageSOPInstanceUID == UIDS[0]


@pytest.mark.parametrize("context", [5, 7], ids=["refused", "unknown"])
def test_an_instance_over_a_context_that_was_not_agreed_on_ends_the_association(context: int, tmp_path: Path) -> None:
    peer = FakeAssociation()
    peer.sends = [(context, c_store(UIDS[0]), body(make_ct()))]
    with pytest.raises(AssociationLostError, match="not agreed on"):
        ask(peer, tmp_path)
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_message_that_was_not_asked_for_ends_the_association(tmp_path: Path) -> None:
    peer = FakeAssociation()
    peer.sends = [(1, {command_set.COMMAND_FIELD: b"\x30\0"}, b"")]
    with pytest.raises(AssociationLostError, match="not asked for"):
        ask(peer, tmp_path)


def test_half_an_instance_leaves_no_file(tmp_path: Path) -> None:
    peer = FakeAssociation()
    peer.sends, peer.cut_off = [(3, c_store(UIDS[0]), body(make_ct()))], True
    with pytest.raises(AssociationLostError, match="aborted"):
        ask(peer, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert peer.answered == []


@pytest.mark.parametrize(
    ("last", "ending"),
    [
        ({command_set.STATUS: b"\0\0", command_set.FAILED_SUBOPERATIONS: b"\0\0"}, Ending()),
        (
            {command_set.STATUS: b"\0\0", command_set.FAILED_SUBOPERATIONS: b"\x02\0"},
            Ending("the peer says that it could not send 2 of them"),
        ),
        (
            {command_set.STATUS: b"\x02\xa7"},
            Ending(
                "the peer ended the request with A702 the peer lacks the resources to send what matches; "
                "try again later",
                retryable=True,
            ),
        ),
        (
            {command_set.STATUS: b"\x01\xa8"},
            Ending(
                "the peer ended the request with A801 the peer does not know our AE title as a destination",
                retryable=False,
            ),
        ),
        ({}, Ending("the peer ended the request with no status", retryable=False)),
    ],
    ids=["all", "two failed", "busy", "unknown destination", "no status"],
)
def test_a_request_ends_as_the_last_answer_says(last: dict[int, bytes], ending: Ending, tmp_path: Path) -> None:
    peer = FakeAssociation()
    peer.last = last
    assert ask(peer, tmp_path)[0] == ending


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize(("count", "problem"), [(2, ""), (3, "the peer says that it could not send 3 of them")])
def test_instances_that_the_peer_names_as_failed_have_a_problem_of_their_own(
    syntax: str, count: int, problem: str, tmp_path: Path
) -> None:
    peer, failed = FakeAssociation(syntax), Dataset()
    failed.FailedSOPInstanceUIDList = UIDS[:2]
    peer.data = b"".join(encoded_identifier(failed, implicit=syntax == IMPLICIT)(1 << 16))
    peer.last = {command_set.STATUS: b"\0\0", command_set.FAILED_SUBOPERATIONS: bytes((count, 0))}
    assert ask(peer, tmp_path)[0] == Ending(problem, failed=tuple(UIDS[:2]))
