"""Instances that cannot be sent, or that make a peer fail: each fails alone, and all others arrive."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from dcm_processor_service.dicom_network import sources
from dcm_processor_service.dicom_network.conversion import in_processes as conversion
from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import Outcome, SendOptions, SendReport
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.scripted_peer import PATIENCE_S, RELEASE_RQ, Wire, abort, answer, pdu, scripted_peer, stores
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.dicom_network.sender import PynetdicomSender

UNCHECKED = SendOptions(check=False)


def outcomes(report: SendReport) -> list[str]:
    return [record.outcome.value for record in report.records]


def lose_the_end(path: Path) -> None:
    """Cuts a file off in the element after its pixels, which only a walk to its end can find."""
    with path.open("ab") as file:
        file.write(b"\xfc\xff\xfc\xffOB\0\0\x40\0\0\0cut")


def lie(path: Path) -> None:
    """Writes a file in implicit VR whose meta information says explicit VR."""
    dataset = make_ct(7)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    written = path.read_bytes()
    implicit, explicit = ImplicitVRLittleEndian.encode() + b"\0", ExplicitVRLittleEndian.encode() + b"\0"
    at = written.index(implicit)
    path.write_bytes(written[: at - 2] + len(explicit).to_bytes(2, "little") + explicit + written[at + len(implicit) :])


def test_a_file_that_is_cut_off_or_lies_is_reported_and_the_others_are_sent(
    sender: PynetdicomSender, tmp_path: Path
) -> None:
    paths = write_series(tmp_path, 6)
    lose_the_end(paths[0])
    lie(paths[3])
    with FakePacs() as pacs:
        report = sender.send(tmp_path, pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["failed", "stored", "stored", "failed", "stored", "stored"]
    assert report.records[0].meaning == "the file is cut off: get it again"
    assert "encoded in implicit VR little endian" in report.records[3].meaning
    assert [report.records[number].attempts for number in (0, 3)] == [0, 0]
    assert len(pacs.titles) == 1
    assert len(pacs.received) == 4


def test_unsound_files_alone_cost_no_association(sender: PynetdicomSender, tmp_path: Path) -> None:
    paths = write_series(tmp_path, 2)
    for path in paths:
        lose_the_end(path)
    with FakePacs() as pacs:
        report = sender.send(tmp_path, pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["failed", "failed"]
    assert pacs.titles == []


def test_a_file_that_is_cut_off_while_the_others_are_sent_is_reported(sender: PynetdicomSender, tmp_path: Path) -> None:
    paths = write_series(tmp_path, 3)

    def cut(_record: object) -> None:
        os.truncate(paths[1], paths[1].stat().st_size - 100)

    with FakePacs() as pacs:
        report = sender.send(tmp_path, pacs.peer, options=UNCHECKED, on_record=cut)
    assert outcomes(report) == ["stored", "failed", "stored"]
    assert len(pacs.titles) == 1


def test_a_file_that_another_instance_took_the_place_of_is_not_stored_under_a_wrong_name(
    sender: PynetdicomSender, tmp_path: Path
) -> None:
    paths = write_series(tmp_path, 3)

    def replace(_record: object) -> None:
        make_ct(50).save_as(paths[1], enforce_file_format=True)

    with FakePacs() as pacs:
        report = sender.send(tmp_path, pacs.peer, options=UNCHECKED, on_record=replace)
    assert outcomes(report) == ["stored", "failed", "stored"]
    assert report.records[1].meaning == "it was replaced by another instance after the sending began: send it again"
    assert set(pacs.received) == {make_ct(0).SOPInstanceUID, make_ct(2).SOPInstanceUID}


@pytest.mark.parametrize("bad", [range(3), range(5, 14), range(20), (0, 1, 2, 25, 26)])
@pytest.mark.parametrize("associations", [1, 2])
def test_instances_that_make_the_peer_abort_keep_no_other_from_it(
    sender: PynetdicomSender, bad: range, associations: int
) -> None:
    datasets = [make_ct(number) for number in range(27)]
    faults = Faults(abort_on=[datasets[number].SOPInstanceUID for number in bad])
    with FakePacs(faults) as pacs:
        report = sender.send(datasets, pacs.peer, options=SendOptions(check=False, associations=associations))
    assert outcomes(report) == ["failed" if number in bad else "stored" for number in range(27)]
    assert len(pacs.arrivals) == 27 - len(bad)
    assert all(record.attempts == 3 for record in report.records if record.outcome is Outcome.FAILED)


def test_instances_that_a_peer_never_answers_keep_no_other_from_it(sender: PynetdicomSender) -> None:
    datasets = [make_ct(number) for number in range(12)]
    silent = {str(one.SOPInstanceUID) for one in datasets[:4]}

    def script(wire: Wire) -> None:
        wire.accept()
        while True:
            request = wire.read_request()
            if request.command.CommandField == 0x0030:  # C-ECHO
                wire.send(answer(request, kind=0x8030))
            elif request.command.AffectedSOPInstanceUID not in silent:
                wire.send(answer(request))

    with scripted_peer(script) as seen:
        report = sender.send(datasets, seen.peer, options=SendOptions(check=False, dimse_timeout_s=0.6))
    assert outcomes(report) == ["failed"] * 4 + ["stored"] * 8


def test_a_peer_that_answers_no_instance_at_all_is_not_asked_for_each(sender: PynetdicomSender) -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        while True:
            request = wire.read_request()
            if request.command.CommandField == 0x0030:  # C-ECHO
                wire.send(answer(request, kind=0x8030))

    datasets = [make_ct(number) for number in range(60)]
    with (
        scripted_peer(script) as seen,
        pytest.raises(PeerUnreachableError, match="did not answer in time") as caught,
    ):
        sender.send(datasets, seen.peer, options=SendOptions(dimse_timeout_s=0.4))
    assert caught.value.report is not None
    assert caught.value.report.count(Outcome.FAILED) == 9
    assert caught.value.report.count(Outcome.NOT_ATTEMPTED) == 51


def test_a_class_that_makes_the_peer_abort_the_association_keeps_no_other_from_it(sender: PynetdicomSender) -> None:
    classes = [f"1.2.3.{number}" for number in range(6)] + [str(CTImageStorage), str(MRImageStorage)]

    def of(number: int) -> Dataset:
        dataset = make_ct(number)
        dataset.SOPClassUID = classes[number % len(classes)]
        return dataset

    def script(wire: Wire) -> None:
        body = wire.peek_request()
        if b"1.2.3.4" in body:
            wire.read_pdu()
            wire.send(abort(2, 6))
            return
        wire.accept()
        while True:
            request = wire.read_request()
            wire.send(answer(request, kind=0x8000 | request.command.CommandField))

    datasets = [of(number) for number in range(24)]
    with scripted_peer(script) as seen:
        report = sender.send(datasets, seen.peer, options=UNCHECKED)
    failed = {number for number, record in enumerate(report.records) if record.outcome is not Outcome.STORED}
    assert failed == {4, 12, 20}
    assert "a parameter that we sent was invalid" in report.records[4].meaning


def test_a_conversion_that_outlasts_the_association_costs_no_attempt(
    sender: PynetdicomSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, converting = threading.Event(), threading.Event()
    slow: Callable[..., object] = conversion.converted

    def wait_for_the_end(*given: object) -> object:
        converting.set()
        assert ended.wait(PATIENCE_S)
        return slow(*given)

    def idles(wire: Wire) -> None:
        wire.accept(syntax=str(ImplicitVRLittleEndian).encode())
        assert converting.wait(PATIENCE_S)
        wire.send(pdu(RELEASE_RQ, bytes(4)))
        ended.set()

    def then_stores(wire: Wire) -> None:
        wire.accept(syntax=str(ImplicitVRLittleEndian).encode())
        while True:
            wire.send(answer(wire.read_request()))

    monkeypatch.setattr(sources, "converted", wait_for_the_end)
    with scripted_peer(idles, then_stores) as seen:
        (record,) = sender.send(make_ct(), seen.peer, options=UNCHECKED).records
    assert (record.outcome, record.attempts) == (Outcome.STORED, 1)
    assert record.transfer_syntax_uid == ImplicitVRLittleEndian
    assert len(seen.wires) == 2


def test_what_is_sound_is_still_sent_by_several_associations(sender: PynetdicomSender, tmp_path: Path) -> None:
    paths = write_series(tmp_path, 20)
    for path in paths[::2]:
        lose_the_end(path)
    with scripted_peer(stores()) as seen:
        report = sender.send(tmp_path, seen.peer, options=SendOptions(check=False, associations=3))
    assert outcomes(report) == ["failed", "stored"] * 10
