"""Fetching from an archive that makes the mistakes that a test orders: nothing is silently missing or wrong."""

from __future__ import annotations

import time
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import build_context

from dcm_processor_service.dicom_network.dicomweb import web_client
from dcm_processor_service.dicom_network.dimse.pdu_stream import LEAST_BYTES
from dcm_processor_service.dicom_network.retrieval import lines
from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.dicom_network.soundness import dataset_position
from dcm_processor_service.errors import (
    ConfigurationError,
    FetchError,
    FetchIncompleteError,
    FindError,
    LocalFileError,
    PeerUnreachableError,
)
from dcm_processor_service.models import FetchOptions, FetchOutcome, FindQuery, FoundSeries
from dcm_processor_service.testing import FakePacs, Faults
from tests.ports import free_port
from tests.scripted_peer import Wire, command, data, scripted_peer
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom import Dataset
    from pynetdicom.presentation import PresentationContext

    from dcm_processor_service.models import FetchRecord, FetchReport, FindLevel, FoundItem

COUNT = 6
UIDS = [str(make_ct(number).SOPInstanceUID) for number in range(COUNT)]
SERIES, STUDY = str(make_ct().SeriesInstanceUID), str(make_ct().StudyInstanceUID)
QUIET = FetchOptions(check=False)
UNCOUNTED = ["NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances"]
WAYS = pytest.mark.parametrize("way", ["C-GET", "C-MOVE", "WADO-RS"])


def holding() -> list[Dataset]:
    return [make_ct(number) for number in range(COUNT)]


class Place:
    """An archive, and one of the three ways to find and fetch instances."""

    def __init__(self, way: str, folder: Path, faults: Faults, held: list[Dataset]) -> None:
        self._port = free_port()
        self.pacs = FakePacs(faults, holds=held, destinations={"OURS": ("127.0.0.1", self._port)})
        self.pauses: list[float] = []
        self.told: list[FetchRecord] = []
        self.retriever = DicomRetriever("OURS", pause=self.pauses.append)
        self._way, self._folder = way, folder

    def found(self, level: FindLevel = "study") -> list[FoundItem]:
        return self.retriever.find(self.pacs.peer, FindQuery(level=level, patient_id="TEST"))

    def fetch(self, found: list[FoundItem] | None = None, options: FetchOptions = QUIET, **more: Any) -> FetchReport:
        way = {"method": "c-move", "listen_host": "127.0.0.1", "listen_port": self._port}
        changed = options.model_copy(update=way if self._way == "C-MOVE" else {})
        peer = self.pacs.web_peer if self._way == "WADO-RS" else self.pacs.peer
        report = self.retriever.fetch(
            self.found() if found is None else found,
            peer,
            self._folder,
            options=changed,
            on_record=self.told.append,
            **more,
        )
        assert report.method == self._way
        return report


def outcomes(report: FetchReport) -> dict[str, str]:
    return {record.sop_instance_uid: record.outcome.value for record in report.records}


def meanings(report: FetchReport) -> dict[str, str]:
    return {record.sop_instance_uid: record.meaning for record in report.not_fetched}


@WAYS
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_all_comes_as_it_is_held_a_file_for_each(way: str, level: FindLevel, tmp_path: Path) -> None:
    place = Place(way, tmp_path, Faults(), holding())
    with place.pacs:
        report = place.fetch(place.found(level))
    assert report.ok
    assert [record.sop_instance_uid for record in report.records] == UIDS
    assert {Path(record.path).relative_to(tmp_path).parts[0] for record in report.records} == {SERIES}
    for record, sent in zip(report.records, holding(), strict=True):
        got = dcmread(record.path)
        assert got == sent
        assert got.file_meta.TransferSyntaxUID == record.transfer_syntax_uid == sent.file_meta.TransferSyntaxUID
    assert len(list(tmp_path.rglob("*.dcm"))) == len(place.told) == COUNT
    assert [path.name for path in tmp_path.iterdir()] == [SERIES]
    assert not place.pauses


@WAYS
def test_instances_that_are_listed_but_not_sent_are_named_as_missing(way: str, tmp_path: Path) -> None:
    place = Place(way, tmp_path, Faults(withholds=[UIDS[2]]), holding())
    with place.pacs:
        report = place.fetch()
    absent = "failed" if way == "WADO-RS" else "missing"  # with WADO-RS, it is asked for singly, and refused
    assert outcomes(report) == {uid: absent if uid == UIDS[2] else "fetched" for uid in UIDS}
    assert not report.ok
    assert report.fetched == COUNT - 1


@WAYS
def test_an_archive_that_names_no_instances_is_held_to_its_count(way: str, tmp_path: Path) -> None:
    place = Place(way, tmp_path, Faults(withholds=[UIDS[2], UIDS[3]], refuses_levels=["IMAGE"]), holding())
    with place.pacs:
        report = place.fetch()
    assert report.fetched == COUNT - 2
    assert [record.sop_instance_uid for record in report.not_fetched] == ["", ""]
    assert "counts 6 instances of the series, but has listed or sent only 4" in report.not_fetched[0].meaning


def test_an_archive_that_names_no_instances_gives_all_where_it_has_all(tmp_path: Path) -> None:
    place = Place("C-GET", tmp_path, Faults(refuses_levels=["IMAGE"]), holding())
    with place.pacs:
        report = place.fetch()
    assert report.ok
    assert report.fetched == COUNT


@WAYS
def test_instances_after_a_lost_association_are_fetched_by_asking_for_the_rest(way: str, tmp_path: Path) -> None:
    place = Place(way, tmp_path, Faults(drop_after=2), holding())
    with place.pacs:
        report = place.fetch()
    assert report.ok
    assert len(place.told) == COUNT
    asked = [query.get("SOPInstanceUID") for query in place.pacs.retrievals]
    assert asked[0] is None
    assert asked[1] is not None  # instances that have arrived are not sent again


def test_an_archive_that_drops_after_each_two_gives_all_in_the_end(tmp_path: Path) -> None:
    place = Place("C-GET", tmp_path, Faults(drop_after=1, drop_times=COUNT), holding())
    with place.pacs:
        assert place.fetch(options=FetchOptions(attempts=1)).ok


def test_an_archive_that_drops_everything_leaves_a_report(tmp_path: Path) -> None:
    place = Place("C-GET", tmp_path, Faults(drop_after=0, drop_times=99), holding())
    with place.pacs, pytest.raises(FetchIncompleteError, match="the peer aborted the association") as caught:
        place.fetch(options=FetchOptions())
    report = caught.value.report
    assert report is not None
    assert outcomes(report) == dict.fromkeys(UIDS, "missing")
    assert report.retryable
    assert place.pauses == [0.5, 1.0]
    assert not list(tmp_path.rglob("*.dcm"))


ALTERED = [
    ({"StudyInstanceUID": "1.9"}, "an instance of another study than was asked for"),
    ({"SeriesInstanceUID": "1.9"}, "an instance of another series than was asked for"),
    ({"PatientID": "OTHER"}, "it belongs to another patient than the peer's answer about its series says"),
]


@WAYS
@pytest.mark.parametrize(("changes", "reason"), ALTERED)
def test_instances_that_were_not_asked_for_are_rejected_and_not_kept(
    way: str, changes: dict[str, str], reason: str, tmp_path: Path
) -> None:
    place = Place(way, tmp_path, Faults(alters={UIDS[1]: changes}), holding())
    with place.pacs:
        report = place.fetch()
    assert outcomes(report) == {uid: "rejected" if uid == UIDS[1] else "fetched" for uid in UIDS}
    assert reason in meanings(report)[UIDS[1]]
    assert "OTHER" not in str(report)
    assert len(list(tmp_path.rglob("*.dcm"))) == COUNT - 1
    assert not report.retryable


def test_an_instance_under_a_uid_that_was_not_told_does_not_stand_for_the_one_that_was(tmp_path: Path) -> None:
    place = Place("C-GET", tmp_path, Faults(alters={UIDS[1]: {"SOPInstanceUID": "1.9"}}), holding())
    with place.pacs:
        report = place.fetch()
    assert outcomes(report)[UIDS[1]] == "missing"
    assert outcomes(report)["1.9"] == "fetched"
    assert not report.ok


def test_certain_instances_are_all_that_comes_and_all_that_is_kept(tmp_path: Path) -> None:
    place = Place("C-GET", tmp_path, Faults(alters={UIDS[1]: {"SOPInstanceUID": "1.9"}}), holding())
    with place.pacs:
        report = place.fetch(place.found("instance")[:2])
    assert outcomes(report) == {UIDS[0]: "fetched", UIDS[1]: "missing", "1.9": "rejected"}


def test_two_that_differ_under_one_uid_are_neither_kept(tmp_path: Path) -> None:
    place = Place("C-GET", tmp_path, Faults(alters={UIDS[1]: {"SOPInstanceUID": UIDS[0]}}), holding())
    with place.pacs:
        report = place.fetch()
    assert outcomes(report)[UIDS[0]] == "rejected"
    assert meanings(report)[UIDS[0]] == "the peer sent two different instances with this UID"
    assert outcomes(report)[UIDS[1]] == "missing"
    assert not list(tmp_path.rglob(f"{UIDS[0]}.dcm"))


def test_an_instance_that_comes_twice_counts_once(tmp_path: Path) -> None:
    changes = {"SOPInstanceUID": UIDS[0], "InstanceNumber": "1"}
    held = [make_ct(0), make_ct(0)]
    held[1].SOPInstanceUID = UIDS[1]
    place = Place("C-GET", tmp_path, Faults(alters={UIDS[1]: changes}, refuses_levels=["IMAGE"]), held)
    with place.pacs:
        report = place.fetch()
    assert outcomes(report)[UIDS[0]] == "fetched"
    assert report.count(FetchOutcome.MISSING) == 1  # the peer counts two instances


@pytest.mark.parametrize(
    ("faults", "error", "match"),
    [
        (Faults(retrieve_status=0xA702), FetchIncompleteError, "A702 the peer lacks the resources to send"),
        (Faults(retrieve_status=0xA900), FetchError, "A900 the peer does not support these keys"),
        (Faults(retrieve_status=0xC001), FetchError, "C001 the peer is unable to process it"),
        (Faults(retrieve=()), FetchError, "offers no C-GET .*; give FetchOptions.listen_port"),
        (Faults(refuses_levels=["SERIES"]), FindError, "A900"),
        (Faults(refuse_classes=[str(make_ct().SOPClassUID)]), FetchError, "accepts none of the SOP classes"),
    ],
)
def test_a_failure_is_reported_with_its_status(
    faults: Faults, error: type[Exception], match: str, tmp_path: Path
) -> None:
    place = Place("C-GET", tmp_path, faults, holding())
    with place.pacs, pytest.raises(error, match=match) as caught:
        place.fetch(options=FetchOptions())
    assert type(caught.value) is error


@pytest.mark.parametrize("way", ["C-GET", "C-MOVE"])
def test_a_refusal_of_the_peer_is_reported_with_its_status_whichever_way_was_taken(way: str, tmp_path: Path) -> None:
    place = Place(way, tmp_path, Faults(retrieve_status=0xC001), holding())
    with place.pacs, pytest.raises(FetchError, match="C001 the peer is unable to process it"):
        place.fetch(options=QUIET.model_copy(update={"check": True}))
    assert place.pacs.received.keys() == set(UIDS)
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_peer_that_offers_no_way_is_told_so(tmp_path: Path) -> None:
    place = Place("C-MOVE", tmp_path, Faults(retrieve=()), holding())
    with place.pacs, pytest.raises(FetchError, match="offers no C-MOVE"):
        place.fetch()


def test_a_refusal_for_good_is_asked_for_once(tmp_path: Path) -> None:
    place = Place("C-GET", tmp_path, Faults(retrieve_status=0xA900), holding())
    with place.pacs:
        assert not place.fetch().retryable
    assert len(place.pacs.retrievals) == 1


def test_c_move_takes_over_where_a_peer_offers_no_c_get(tmp_path: Path) -> None:
    place = Place("C-MOVE", tmp_path, Faults(retrieve=["c-move"]), holding())
    with place.pacs:
        options = FetchOptions(listen_host="127.0.0.1", listen_port=place._port)
        report = place.retriever.fetch(place.found(), place.pacs.peer, tmp_path, options=options)
    assert (report.method, report.fetched) == ("C-MOVE", COUNT)


def two_classes() -> list[Dataset]:
    held = holding()
    for dataset in held[3:]:
        dataset.SeriesInstanceUID, dataset.SOPClassUID = "1.5.1", "1.2.840.10008.5.1.4.1.1.66.5"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    return held


@pytest.mark.parametrize("refused", [0, 3])
def test_a_class_that_a_peer_does_not_send_by_c_get_keeps_no_other_from_coming(refused: int, tmp_path: Path) -> None:
    held = two_classes()
    place = Place("C-GET", tmp_path, Faults(refuse_classes=[str(held[refused].SOPClassUID)]), held)
    with place.pacs:
        report = place.fetch()
    assert report.fetched == 3
    assert len(report.not_fetched) == 3


def test_c_move_brings_what_c_get_does_not(tmp_path: Path) -> None:
    held = two_classes()
    kinds = [str(held[0].SOPClassUID), *(f"1.2.840.10008.5.1.4.1.1.{number}" for number in (1, 4, 6, 7, 20))]
    for dataset, kind in zip(held, kinds, strict=True):  # more classes than one association has room for
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(kind)
        dataset.SeriesInstanceUID = f"1.5.{kind}"
    place = Place("C-MOVE", tmp_path, Faults(refuse_classes=[kinds[5]]), held)
    with place.pacs:
        options = FetchOptions(listen_host="127.0.0.1", listen_port=place._port)
        report = place.retriever.fetch(place.found(), place.pacs.peer, tmp_path, options=options)
    assert (report.method, report.ok) == ("C-GET and C-MOVE", True)


def test_a_c_move_to_a_title_that_the_peer_does_not_know_says_so(tmp_path: Path) -> None:
    place = Place("C-MOVE", tmp_path, Faults(), holding())
    place.retriever = DicomRetriever("STRANGER", pause=place.pauses.append)
    with place.pacs:
        report = place.fetch()
    assert {record.meaning for record in report.records} == {
        "the peer ended the request with A801 the peer does not know our AE title as a destination"
    }
    assert not report.retryable


def test_a_port_that_is_taken_is_reported(tmp_path: Path) -> None:
    with FakePacs(holds=holding()) as pacs:
        options = FetchOptions(method="c-move", listen_host="127.0.0.1", listen_port=pacs.peer.port)
        found = DicomRetriever().find(pacs.peer, FindQuery())
        with pytest.raises(ConfigurationError, match="cannot listen at port"):
            DicomRetriever().fetch(found, pacs.peer, tmp_path, options=options)


@WAYS
def test_a_cancelled_fetch_keeps_what_is_here_and_says_so_of_the_rest(way: str, tmp_path: Path) -> None:
    place = Place(way, tmp_path, Faults(), holding())
    with place.pacs:
        report = place.fetch(cancelled=lambda: len(place.told) >= 2)
    assert report.fetched >= 2
    assert way == "C-MOVE" or report.fetched < COUNT
    assert {record.meaning for record in report.not_fetched} <= {"cancelled"}
    assert len(list(tmp_path.rglob("*.dcm"))) == report.fetched


@pytest.mark.parametrize("way", ["C-GET", "WADO-RS"])
def test_a_cancelled_fetch_of_what_nobody_counts_is_not_called_whole(way: str, tmp_path: Path) -> None:
    place = Place(way, tmp_path, Faults(refuses_levels=["IMAGE"], untold_keys=UNCOUNTED), holding())
    with place.pacs:
        report = place.fetch(cancelled=lambda: len(place.told) >= 2)
    assert report.fetched < COUNT
    assert not report.ok
    assert {record.meaning for record in report.not_fetched} == {"cancelled"}


@pytest.mark.parametrize("level", ["series", "instance"])
def test_what_was_found_elsewhere_comes_from_a_peer_without_a_query(level: FindLevel, tmp_path: Path) -> None:
    place = Place("C-GET", tmp_path, Faults(), holding())
    with place.pacs:
        found = place.found(level)
    with FakePacs(Faults(query="none"), holds=holding()) as pacs:
        assert DicomRetriever().fetch(found, pacs.peer, tmp_path).fetched == COUNT


def test_over_tls_as_the_sender_does(tmp_path: Path) -> None:
    with FakePacs(tls=True, holds=holding()) as pacs:
        found = DicomRetriever().find(pacs.peer, FindQuery())
        assert DicomRetriever().fetch(found, pacs.peer, tmp_path).ok
        stranger = pacs.peer.model_copy(update={"ca_file": None})
        with pytest.raises(PeerUnreachableError, match="authority is not trusted here"):
            DicomRetriever().find(stranger, FindQuery())


def test_a_c_move_over_tls_comes_over_tls_too(tmp_path: Path) -> None:
    port = free_port()
    options = FetchOptions(method="c-move", listen_host="127.0.0.1", listen_port=port)
    with FakePacs(tls=True, holds=holding(), destinations={"OURS": ("127.0.0.1", port)}) as pacs:
        assert pacs.authority is not None
        ours = pacs.authority.issue("ours")
        peer = pacs.peer.model_copy(update={"cert_file": ours.cert_file, "key_file": ours.key_file})
        retriever = DicomRetriever("OURS")
        found = retriever.find(peer, FindQuery())
        assert retriever.fetch(found, peer, tmp_path, options=options).ok
        with pytest.raises(ConfigurationError, match="cert_file is not set"):
            retriever.fetch(found, pacs.peer, tmp_path, options=options)


def test_each_instance_comes_in_its_own_transfer_syntax(tmp_path: Path) -> None:
    held = [make_ct(0), make_ct(1, transfer_syntax_uid=str(ImplicitVRLittleEndian))]
    with FakePacs(holds=held) as pacs:
        report = DicomRetriever().fetch(DicomRetriever().find(pacs.peer, FindQuery()), pacs.peer, tmp_path)
    assert [record.transfer_syntax_uid for record in report.records] == [
        str(one.file_meta.TransferSyntaxUID) for one in held
    ]


def test_how_many_are_expected_is_reported_before_the_first(tmp_path: Path) -> None:
    expected: list[int] = []
    place = Place("C-GET", tmp_path, Faults(), holding())
    with place.pacs:
        place.fetch(on_begin=expected.append)
    assert expected == [COUNT]


def test_a_disk_that_does_not_take_it_is_a_local_fault(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    place = Place("C-GET", tmp_path / "taken", Faults(), holding())
    with place.pacs, pytest.raises(LocalFileError, match="cannot be made"):
        place.fetch()


def test_a_second_fetch_into_the_folder_replaces_the_files(tmp_path: Path) -> None:
    place = Place("C-GET", tmp_path, Faults(), holding())
    with place.pacs:
        fetch = partial(place.fetch)
        assert fetch().ok
        assert fetch().ok
    assert len(list(tmp_path.rglob("*.dcm"))) == COUNT
    assert STUDY in {record.study_instance_uid for record in place.told}


@WAYS
def test_what_nobody_lists_or_counts_is_asked_for_until_a_request_ends_well(way: str, tmp_path: Path) -> None:
    place = Place(way, tmp_path, Faults(refuses_levels=["IMAGE"], untold_keys=UNCOUNTED, drop_after=2), holding())
    with place.pacs:
        report = place.fetch()
    assert report.ok
    assert report.fetched == COUNT
    assert len(place.pacs.retrievals) == 2


def test_the_archive_waits_for_a_destination_that_a_busy_machine_keeps_from_answering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it says that it does not know our AE title, which ends a fetch permanently."""

    def late(*named: Any) -> PresentationContext:
        time.sleep(2.2)
        return build_context(*named)

    monkeypatch.setattr(lines, "build_context", late)
    place = Place("C-MOVE", tmp_path, Faults(refuses_levels=["IMAGE"], untold_keys=UNCOUNTED), holding())
    with place.pacs:
        report = place.fetch()
    assert report.ok
    assert report.fetched == COUNT
    assert len(place.pacs.retrievals) == 1


@WAYS
def test_what_nobody_lists_or_counts_is_not_called_whole_where_every_request_broke(way: str, tmp_path: Path) -> None:
    faults = Faults(refuses_levels=["IMAGE"], untold_keys=UNCOUNTED, drop_after=2, drop_times=99)
    place = Place(way, tmp_path, faults, holding())
    with place.pacs:
        report = place.fetch()
    assert not report.ok
    assert report.retryable
    assert report.fetched < COUNT
    assert report.count(FetchOutcome.MISSING) == 1


@WAYS
def test_an_instance_of_another_patient_than_was_asked_for_is_rejected(way: str, tmp_path: Path) -> None:
    faults = Faults(untold_keys=["PatientID"], alters={UIDS[1]: {"PatientID": "OTHER"}})
    place = Place(way, tmp_path, faults, holding())
    with place.pacs:
        report = place.fetch()
    assert outcomes(report) == {uid: "rejected" if uid == UIDS[1] else "fetched" for uid in UIDS}
    assert "OTHER" not in str(report)


def test_two_patients_within_one_study_are_not_both_taken_where_nobody_said_whose_it_is(tmp_path: Path) -> None:
    faults = Faults(untold_keys=["PatientID"], alters={UIDS[1]: {"PatientID": "OTHER"}})
    place = Place("C-GET", tmp_path, faults, holding())
    with place.pacs:
        report = place.fetch(place.retriever.find(place.pacs.peer, FindQuery(study_instance_uid=STUDY)))
    assert meanings(report) == {
        UIDS[1]: "it belongs to another patient than the instances of its study that arrived before"
    }


@pytest.mark.parametrize("failed", [0, 2])
def test_failures_that_the_peer_counts_and_does_not_name_are_believed(failed: int, tmp_path: Path) -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        asked = wire.read_request()
        ct, file = make_ct(), BytesIO()
        ct.save_as(file, enforce_file_format=True)
        encoded = file.getvalue()[dataset_position(file) :]
        values = {
            0x0002: even(ct.SOPClassUID),
            0x0100: b"\1\0",
            0x0110: b"\7\0",
            0x0700: b"\0\0",
            0x0800: b"\1\0",
            0x1000: even(ct.SOPInstanceUID),
        }
        wire.send(data(3, command(values)) + data(3, encoded, 2))
        wire.read_request()
        ended = {0x0100: b"\x10\x80", 0x0120: b"\1\0", 0x0800: b"\1\1", 0x0900: b"\0\0", 0x1021: b"\1\0"}
        assert int(asked.command.MessageID) == 1
        wire.send(data(1, command({**ended, 0x1022: bytes((failed, 0)), 0x1023: b"\0\0"})))

    series = FoundSeries(study_instance_uid=STUDY, series_instance_uid=SERIES, patient_id="TEST")
    with scripted_peer(refuses_queries, script) as seen:
        report = DicomRetriever().fetch([series], seen.peer, tmp_path, options=FetchOptions(check=False, attempts=1))
    assert report.fetched == 1
    assert report.ok == (not failed)
    if failed:
        assert report.not_fetched[0].meaning == "the peer says that it could not send 2 of them"


def even(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def refuses_queries(wire: Wire) -> None:
    wire.accept(result=3)


def trickling(pause_s: float, bytes_each: int) -> Callable[[Wire], None]:
    """A script that answers a C-GET with an instance which does not end, in small fragments."""

    def script(wire: Wire) -> None:
        wire.accept()
        wire.read_request()
        values = {0x0100: b"\1\0", 0x0110: b"\7\0", 0x0700: b"\0\0", 0x0800: b"\1\0", 0x1000: b"1.2\0"}
        wire.send(data(3, command(values)))
        while True:
            wire.send(data(3, bytes(bytes_each), 0))
            time.sleep(pause_s)

    return script


def test_an_instance_that_only_trickles_in_is_waited_for_no_longer_than_an_answer(tmp_path: Path) -> None:
    series = FoundSeries(study_instance_uid=STUDY, series_instance_uid=SERIES, patient_id="TEST")
    options = FetchOptions(check=False, attempts=1, dimse_timeout_s=0.5)
    with scripted_peer(refuses_queries, trickling(0.05, 2)) as seen:
        started = time.monotonic()
        report = DicomRetriever().fetch([series], seen.peer, tmp_path, options=options)
    assert time.monotonic() - started < 15
    assert "did not answer in time" in report.not_fetched[0].meaning
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_multipart_answer_that_only_trickles_in_ends() -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            time.sleep(0.05)
            yield b"x"

    with pytest.raises(httpx.ReadTimeout, match="too slowly"):
        list(web_client._refusing_a_trickle(trickle(), 0.3))
    pieces = [bytes(LEAST_BYTES)] * 3
    assert list(web_client._refusing_a_trickle(iter(pieces), 0.0)) == pieces
