from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)

from dcm_processor_service.fake_pacs import FakePacs, Faults
from dcm_processor_service.models import SendOptions, SendReport
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.sender import PynetdicomSender

EXPLICIT, IMPLICIT, RLE = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian), str(RLELossless)
J2K = str(JPEG2000)
UNCHECKED = SendOptions(check=False)


def data_file(name: str) -> str:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return path


def outcomes(report: SendReport) -> list[str]:
    return [record.outcome.value for record in report.records]


def test_a_refused_class_is_told(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(refuse_classes=[str(MRImageStorage)])) as pacs:
        report = sender.send([data_file("MR_small.dcm"), make_ct()], pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["refused", "stored"]
    assert report.records[0].meaning == "the peer does not take this SOP class"
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


def test_compressed_and_plain_of_one_class_go_as_they_are(sender: PynetdicomSender) -> None:
    items = [data_file("MR_small.dcm"), data_file("MR_small_RLE.dcm"), data_file("MR_small_jpeg_ls_lossless.dcm")]
    with FakePacs() as pacs:
        report = sender.send(items, pacs.peer)
    assert report.transcoded == 0
    assert len({record.transfer_syntax_uid for record in report.records}) == 3
    assert len(pacs.titles) == 1


def test_transcoding_can_be_forbidden(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(accept_syntaxes=[EXPLICIT])) as pacs:
        report = sender.send(data_file("693_J2KR.dcm"), pacs.peer, options=SendOptions(check=False, transcode=False))
    assert outcomes(report) == ["refused"]
    assert report.records[0].meaning == "the peer does not take this transfer syntax"


def test_what_cannot_be_converted_is_refused_and_the_others_are_not(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(accept_syntaxes=[RLE])) as pacs:
        report = sender.send([data_file("rtplan.dcm"), data_file("CT_small.dcm")], pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["refused", "stored"]
    assert "only images can be compressed" in report.records[0].meaning


def test_what_is_sent_stays_as_it_is(sender: PynetdicomSender) -> None:
    dataset = dcmread(data_file("CT_small.dcm"))
    before = deepcopy(dataset)
    for faults in (Faults(), Faults(accept_syntaxes=[IMPLICIT]), Faults(accept_syntaxes=[RLE]), Faults(status=0xC000)):
        with FakePacs(faults) as pacs:
            sender.send(dataset, pacs.peer, options=UNCHECKED)
    assert dataset == before
    assert dataset.file_meta == before.file_meta
    assert dataset.original_encoding == before.original_encoding
