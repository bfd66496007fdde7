from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)

from dcm_processor_service.errors import SendRejectedError
from dcm_processor_service.models import Outcome, SendOptions, SendReport
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.sender import PynetdicomSender
    from dcm_processor_service.ports import Sendable

EXPLICIT, IMPLICIT, RLE = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian), str(RLELossless)
J2K = str(JPEG2000)
UNCHECKED = SendOptions(check=False)


def data_file(name: str) -> str:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return path


def outcomes(report: SendReport) -> list[str]:
    return [record.outcome.value for record in report.records]


def test_a_refused_class_is_reported(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(refuse_classes=[str(MRImageStorage)])) as pacs:
        report = sender.send([data_file("MR_small.dcm"), make_ct()], pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["refused", "stored"]
    assert report.records[0].meaning == "the peer does not accept this SOP class"
    assert report.records[0].attempts == 0


@pytest.mark.parametrize(
    ("name", "accepted", "sent"),
    [
        ("CT_small.dcm", [IMPLICIT], IMPLICIT),
        ("MR_small_bigendian.dcm", [EXPLICIT], EXPLICIT),
        ("MR_small_bigendian.dcm", [IMPLICIT, str(ExplicitVRBigEndian)], str(ExplicitVRBigEndian)),
        ("693_J2KR.dcm", [IMPLICIT], IMPLICIT),
        ("image_dfl.dcm", [EXPLICIT], EXPLICIT),
        ("MR_small_RLE.dcm", [EXPLICIT, IMPLICIT], EXPLICIT),
        ("CT_small.dcm", [RLE], RLE),
        ("693_J2KR.dcm", [RLE], RLE),
        ("CT_small.dcm", [str(JPEG2000Lossless)], str(JPEG2000Lossless)),
    ],
)
def test_a_refused_syntax_is_converted_without_loss(
    sender: PynetdicomSender, name: str, accepted: list[str], sent: str
) -> None:
    dataset = dcmread(data_file(name))
    own = str(dataset.file_meta.TransferSyntaxUID)
    with FakePacs(Faults(accept_syntaxes=accepted)) as pacs:
        (record,) = sender.send(data_file(name), pacs.peer).records
    assert record.transfer_syntax_uid == sent
    assert record.transcoded_from == ("" if own == sent else own)
    (received,) = pacs.datasets()
    assert (received.pixel_array == dataset.pixel_array).all()


def test_a_peer_that_takes_big_endian_alone_gets_the_same_values(sender: PynetdicomSender) -> None:
    names = [
        "MR_small_bigendian.dcm",
        "MR_small.dcm",
        "MR_small_RLE.dcm",
    ]  # the context of the first instance is used for the others
    items = [dcmread(data_file(name)) for name in names]
    for number, item in enumerate(items):
        item.SOPInstanceUID = f"1.2.3.{number}"
    with FakePacs(Faults(accept_syntaxes=[str(ExplicitVRBigEndian)])) as pacs:
        report = sender.send(items, pacs.peer)
    assert report.ok
    received = {str(one.SOPInstanceUID): one for one in pacs.datasets()}
    for item in items:
        assert received[item.SOPInstanceUID].file_meta.TransferSyntaxUID == ExplicitVRBigEndian
        assert (received[item.SOPInstanceUID].pixel_array == item.pixel_array).all()


def test_compressed_and_plain_of_one_class_go_as_they_are(sender: PynetdicomSender) -> None:
    items = [dcmread(data_file(f"MR_small{name}.dcm")) for name in ("", "_RLE", "_jpeg_ls_lossless")]
    for number, item in enumerate(items):  # with new UIDs, because different instances of one UID would be refused
        item.SOPInstanceUID = UID(f"{item.SOPInstanceUID}.{number}")
        item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID
    with FakePacs() as pacs:
        report = sender.send(items, pacs.peer)
    assert report.transcoded == 0
    assert len({record.transfer_syntax_uid for record in report.records}) == 3
    assert len(pacs.titles) == 1


def test_transcoding_can_be_forbidden(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(accept_syntaxes=[EXPLICIT])) as pacs:
        report = sender.send(data_file("693_J2KR.dcm"), pacs.peer, options=SendOptions(check=False, transcode=False))
    assert outcomes(report) == ["refused"]
    assert report.records[0].meaning == "the peer does not accept this transfer syntax"


def test_without_transcoding_each_instance_is_stored_as_it_is_or_refused_with_the_reason(
    sender: PynetdicomSender,
) -> None:
    # the peer would accept the refused instances in explicit VR little endian, and in RLE
    names = ["CT_small.dcm", "JPEGLSNearLossless_16.dcm", "MR_small_RLE.dcm", "693_J2KR.dcm", "JPEG-lossy.dcm"]
    items: list[Sendable] = [*map(data_file, names), make_ct()]
    before = [Path(data_file(name)).read_bytes() for name in names]
    options = UNCHECKED.model_copy(update={"transcode": False})
    with FakePacs(Faults(accept_syntaxes=[EXPLICIT, RLE])) as pacs:
        report = sender.send(items, pacs.peer, options=options)
    assert outcomes(report) == ["stored", "refused", "stored", "refused", "refused", "stored"]
    assert [record.sop_instance_uid for record in report.records] == sender.identify(items)
    refused = [record for record in report.records if record.outcome is Outcome.REFUSED]
    assert {record.meaning for record in refused} == {"the peer does not accept this transfer syntax"}
    assert {(record.attempts, record.status, record.transfer_syntax_uid) for record in refused} == {(0, None, "")}
    assert report.transcoded == 0
    assert [str(received.file_meta.TransferSyntaxUID) for received in pacs.datasets()] == [EXPLICIT, RLE, EXPLICIT]
    assert pacs.datasets() == [dcmread(data_file(names[0])), dcmread(data_file(names[2])), make_ct()]
    assert [Path(data_file(name)).read_bytes() for name in names] == before
    assert len(pacs.titles) == 1


def test_without_transcoding_a_refusal_is_an_error_that_counts_what_was_stored(sender: PynetdicomSender) -> None:
    items = [data_file("MR_small.dcm"), data_file("MR_small_RLE.dcm")]
    with (
        FakePacs(Faults(accept_syntaxes=[EXPLICIT])) as pacs,
        pytest.raises(SendRejectedError, match="1 of 2 instances stored") as caught,
    ):
        sender.send(items, pacs.peer, options=SendOptions(transcode=False))
    assert caught.value.report is not None
    assert outcomes(caught.value.report) == ["stored", "refused"]


def test_what_cannot_be_converted_is_refused_and_the_others_are_not(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(accept_syntaxes=[RLE])) as pacs:
        report = sender.send([data_file("rtplan.dcm"), data_file("CT_small.dcm")], pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["refused", "stored"]
    assert "only images can be compressed" in report.records[0].meaning


def test_sending_does_not_change_what_is_sent(sender: PynetdicomSender) -> None:
    dataset = dcmread(data_file("CT_small.dcm"))
    before = deepcopy(dataset)
    for faults in (Faults(), Faults(accept_syntaxes=[IMPLICIT]), Faults(accept_syntaxes=[RLE]), Faults(status=0xC000)):
        with FakePacs(faults) as pacs:
            sender.send(dataset, pacs.peer, options=UNCHECKED)
    assert dataset == before
    assert dataset.file_meta == before.file_meta
    assert dataset.original_encoding == before.original_encoding
