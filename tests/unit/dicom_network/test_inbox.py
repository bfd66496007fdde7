"""The instances that an inbox keeps or rejects, and the contexts over which they may arrive."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, MRImageStorage

from dcm_processor_service.dicom_network.dimse import negotiation
from dcm_processor_service.dicom_network.retrieval.contexts import (
    COMMON_CLASSES,
    TRANSFER_SYNTAXES,
    batches,
    storage_contexts,
)
from dcm_processor_service.dicom_network.retrieval.inbox import Inbox, file_head
from dcm_processor_service.dicom_network.retrieval.outcome import records_of
from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries, Wish
from dcm_processor_service.models import FetchOutcome, FetchRecord, Peer
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

UIDS = [str(make_ct(number).SOPInstanceUID) for number in range(3)]


def wanted(count: int = 3) -> WantedSeries:
    return WantedSeries(
        str(make_ct().StudyInstanceUID),
        str(make_ct().SeriesInstanceUID),
        "TEST",
        listed=dict.fromkeys(UIDS[:count], str(CTImageStorage)),
    )


def encoded(dataset: Dataset) -> bytes:
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def put(inbox: Inbox, content: bytes, uid: str = "", kind: str = "") -> bool:
    arrival = inbox.open()
    arrival.write(content)
    return inbox.take(arrival, uid, kind)


def test_a_file_begins_as_pydicom_reads_it() -> None:
    content = encoded(make_ct())
    plain = dcmread(BytesIO(content))
    body = content[132 + 12 + int(plain.file_meta.FileMetaInformationGroupLength) :]
    head = file_head(str(plain.SOPClassUID), str(plain.SOPInstanceUID), str(ExplicitVRLittleEndian))
    read = dcmread(BytesIO(head + body))
    assert read == plain
    assert len(head) == 132 + 12 + int(read.file_meta.FileMetaInformationGroupLength)
    assert read.file_meta.MediaStorageSOPInstanceUID == plain.SOPInstanceUID


@pytest.mark.parametrize(
    ("cut", "uid", "kind", "reason"),
    [
        (100, UIDS[0], "", "what the peer sent is cut off"),
        (3000, UIDS[0], "", "what the peer sent is "),
        (0, UIDS[1], "", "the peer announced this UID, but sent an instance with another one"),
        (0, UIDS[0], str(MRImageStorage), "the peer announced another SOP class than the instance has"),
    ],
)
def test_a_damaged_or_misnamed_instance_is_removed_and_recorded(
    cut: int, uid: str, kind: str, reason: str, tmp_path: Path
) -> None:
    inbox = Inbox(tmp_path, [wanted()])
    content = encoded(make_ct())
    assert not put(inbox, content[: len(content) - cut], uid, kind)
    assert inbox.records[uid].outcome is FetchOutcome.REJECTED
    assert reason in inbox.records[uid].meaning
    assert inbox.count(wanted()) == 0
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_damaged_instance_is_retryable(tmp_path: Path) -> None:
    told: list[FetchRecord] = []
    inbox = Inbox(tmp_path, [wanted(1)], told.append)
    assert not put(inbox, encoded(make_ct())[:-100], UIDS[0])
    assert inbox.missing(wanted(1)) == [UIDS[0]]
    assert put(inbox, encoded(make_ct()), UIDS[0])
    assert inbox.is_complete(wanted(1))
    assert [record.outcome.value for record in told] == ["rejected", "fetched"]


def test_a_permanently_rejected_instance_is_not_asked_for_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, [wanted(1)])
    stranger = make_ct()
    stranger.StudyInstanceUID = "1.9"
    assert not put(inbox, encoded(stranger), UIDS[0])
    assert inbox.missing(wanted(1)) == []
    assert not put(inbox, encoded(make_ct()), UIDS[0])
    assert inbox.records[UIDS[0]].outcome is FetchOutcome.REJECTED


def test_bytes_that_are_no_dicom_leave_a_record_without_a_uid(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, [wanted(1)])
    assert not put(inbox, b"<html>no service here</html>")
    records = records_of(Wish([wanted(1)], {}), inbox, cancelled=False)
    assert [(record.outcome.value, record.sop_instance_uid) for record in records] == [
        ("missing", UIDS[0]),
        ("rejected", ""),
    ]


def test_instances_that_a_study_counts_besides_its_series_are_missing(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, [wanted(1)])
    assert put(inbox, encoded(make_ct()))
    records = records_of(Wish([wanted(1)], {wanted().study_instance_uid: 3}), inbox, cancelled=False)
    assert [record.outcome.value for record in records] == ["fetched", "missing", "missing"]
    assert records[1].meaning == "the peer counts 3 instances of the study, but has listed or sent only 1"


def test_a_name_that_leads_out_of_the_folder_is_no_name(tmp_path: Path) -> None:
    series = wanted(0)
    series.series_instance_uid = "../../x"
    dataset = make_ct()
    dataset.remove_private_tags()
    dataset.add_new("SeriesInstanceUID", "LO", "../../x")
    inbox = Inbox(tmp_path / "in", [series])
    put(inbox, encoded(dataset))
    assert not [path for path in tmp_path.rglob("*.dcm") if not path.is_relative_to(tmp_path / "in")]


def test_each_transfer_syntax_has_a_context_of_its_own_while_there_is_room() -> None:
    one = storage_contexts([str(CTImageStorage)])
    assert {context.transfer_syntax_uids for context in one} == {(syntax,) for syntax in TRANSFER_SYNTAXES}
    assert all(context.stored_by_peer for context in one)
    many = storage_contexts(COMMON_CLASSES)
    assert len(many) == 127
    assert {context.sop_class_uid for context in many} == set(COMMON_CLASSES)
    compressed = [context.sop_class_uid for context in many if str(JPEG2000Lossless) in context.transfer_syntax_uids]
    assert {str(CTImageStorage), str(MRImageStorage)} <= set(compressed)


def test_series_share_an_association_as_long_as_all_syntaxes_fit() -> None:
    series = [WantedSeries("1", f"1.{number}", "", listed={"1.2": f"1.2.3.{number}"}) for number in range(12)]
    unknown = WantedSeries("1", "1.99", "", listed={"1.2": ""})
    found = batches([*series, unknown])
    assert [one for members, _classes in found for one in members] == [*series, unknown]
    assert all(len(classes) * len(TRANSFER_SYNTAXES) <= 127 for _members, classes in found[:-1])
    assert found[-1] == ([unknown], frozenset(COMMON_CLASSES))


def test_the_role_of_a_storage_scp_is_asked_for_once_for_each_class() -> None:
    peer = Peer(name="P", ae_title="P", host="h", port=1)
    asked = negotiation.request(peer, storage_contexts([str(CTImageStorage), str(MRImageStorage)]), "US")
    for uid in (str(CTImageStorage), str(MRImageStorage)):
        item = len(uid).to_bytes(2, "big") + uid.encode() + b"\0\1"
        assert asked.count(b"\x54\0" + len(item).to_bytes(2, "big") + item) == 1
    plain = negotiation.request(peer, (negotiation.ProposedContext(str(CTImageStorage), TRANSFER_SYNTAXES),), "US")
    assert b"\x54\0\0" not in plain


def test_the_record_of_an_instance_tells_all_that_its_file_does(tmp_path: Path) -> None:
    told: list[FetchRecord] = []
    inbox, dataset = Inbox(tmp_path, [wanted(2)], told.append), make_ct(0)
    content = encoded(dataset)
    assert put(inbox, content, UIDS[0], str(CTImageStorage))
    record = inbox.records[UIDS[0]]
    assert told == [record]
    assert (record.study_instance_uid, record.series_instance_uid) == (
        dataset.StudyInstanceUID,
        dataset.SeriesInstanceUID,
    )
    assert (record.sop_class_uid, record.transfer_syntax_uid) == (CTImageStorage, ExplicitVRLittleEndian)
    assert (record.size_bytes, record.meaning, record.retryable) == (len(content), "", False)
    (path,) = tmp_path.rglob("*.dcm")
    assert record.path == str(path)
    assert path.read_bytes() == content
    assert put(inbox, encoded(make_ct(2)))
    assert inbox.records[UIDS[2]].meaning == "the peer had not listed it"
    assert (inbox.count(wanted()), inbox.missing(wanted(3)), inbox.is_complete(wanted(2))) == (2, [UIDS[1]], False)
    inbox.close()
    assert not (tmp_path / ".incoming").exists()


def test_an_instance_that_comes_twice_counts_once_and_neither_of_two_that_differ_is_kept(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, [wanted(1)])
    assert put(inbox, encoded(make_ct()))
    assert put(inbox, encoded(make_ct()))
    assert inbox.count(wanted()) == 1
    assert len(list(tmp_path.rglob("*.dcm"))) == 1
    other = make_ct()
    other.InstanceNumber = 99
    for _ in range(2):
        assert not put(inbox, encoded(other))
        assert (inbox.count(wanted()), inbox.missing(wanted(1))) == (0, [])
        assert not list(tmp_path.rglob("*.dcm"))
    assert "two different instances" in inbox.records[UIDS[0]].meaning
    assert inbox.records[UIDS[0]].outcome is FetchOutcome.REJECTED


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("SeriesInstanceUID", "1.9", "another series than was asked for"),
        ("StudyInstanceUID", "1.9", "another study than was asked for"),
        ("PatientID", "OTHER", "another patient than the peer's answer"),
        ("SOPInstanceUID", "1.9", "an instance that was not asked for"),
    ],
)
def test_what_was_not_asked_for_is_rejected_and_leaves_what_is_here_alone(
    keyword: str, value: str, reason: str, tmp_path: Path
) -> None:
    series = wanted(1)
    series.only_listed = True
    inbox, stranger = Inbox(tmp_path, [series]), make_ct()
    assert put(inbox, encoded(make_ct()))
    setattr(stranger, keyword, value)
    stranger.file_meta.MediaStorageSOPInstanceUID = stranger.SOPInstanceUID
    assert not put(inbox, encoded(stranger))
    rejected = [*inbox.oddities, *(one for one in inbox.records.values() if one.outcome is FetchOutcome.REJECTED)]
    assert len(rejected) == 1
    assert reason in rejected[0].meaning
    if keyword in {"SeriesInstanceUID", "SOPInstanceUID"}:
        assert inbox.count(series) == 1
        assert inbox.records[UIDS[0]].outcome is FetchOutcome.FETCHED


def test_a_patient_without_an_id_contradicts_nobody_and_two_ids_of_one_study_do(tmp_path: Path) -> None:
    series = wanted()
    series.patient_id = ""
    inbox = Inbox(tmp_path, [series])
    for number, patient_id in enumerate(("", " ONE ", "TWO")):
        dataset = make_ct(number)
        dataset.PatientID = patient_id
        assert put(inbox, encoded(dataset)) is (patient_id != "TWO")
    assert "than the instances of its study that arrived before" in inbox.records[UIDS[2]].meaning
    again = make_ct(2)
    again.PatientID = "ONE"
    assert not put(inbox, encoded(again))  # which of the two is right is not known
