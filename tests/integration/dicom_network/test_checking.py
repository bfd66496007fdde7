"""The result of a check before sending, which must come true when the same instances are sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage, RLELossless

from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import Peer, SendOptions, Verdict
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.integration.dicom_network.test_bad_instances import lie, lose_the_end
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.sender import PynetdicomSender

IMPLICIT, EXPLICIT, RLE = str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian), str(RLELossless)


def data_file(name: str) -> Path:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path)


@pytest.fixture
def items(tmp_path: Path) -> list[Path]:
    paths = write_series(tmp_path, 3)
    lose_the_end(paths[1])
    lie(paths[2])
    names = ["MR_small.dcm", "MR_small_RLE.dcm", "ExplVR_LitEndNoMeta.dcm", "693_J2KR.dcm"]
    return [*paths, *map(data_file, names), tmp_path / "absent.dcm"]


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(accept_syntaxes=[IMPLICIT]),
        Faults(accept_syntaxes=[RLE]),
        Faults(accept_syntaxes=[EXPLICIT, RLE], refuse_classes=[str(MRImageStorage)]),
    ],
)
def test_the_check_says_what_sending_does_and_sends_nothing(
    sender: PynetdicomSender, items: list[Path], faults: Faults
) -> None:
    with FakePacs(faults) as pacs:
        check = sender.check_sending(items, pacs.peer)
        assert not pacs.received
        report = sender.send(items, pacs.peer, options=SendOptions(check=False))
    assert [record.verdict.can_be_sent for record in check.records] == [
        record.outcome.acknowledged for record in report.records
    ]
    for checked, sent in zip(check.records, report.records, strict=True):
        assert checked.sop_instance_uid == sent.sop_instance_uid
        if checked.verdict.can_be_sent:
            assert checked.transfer_syntax_uid == sent.transfer_syntax_uid
            assert (checked.verdict is Verdict.CONVERTED) == bool(sent.transcoded_from)
        else:
            assert checked.meaning == sent.meaning
    assert not check.ok


def test_the_check_tells_each_kind_of_trouble(sender: PynetdicomSender, items: list[Path]) -> None:
    with FakePacs(Faults(refuse_classes=[str(MRImageStorage)])) as pacs:
        check = sender.check_sending(items, pacs.peer)
    assert [record.verdict.value for record in check.records[:5]] == [
        "as_it_is",
        "unsound",
        "unsound",
        "not_taken",
        "not_taken",
    ]
    assert [record.has_meta_information for record in check.records] == [True] * 5 + [False, True, True]
    assert check.records[-1].verdict is Verdict.UNSOUND
    assert check.records[1].path == str(items[1])
    assert "2 not taken: the peer does not accept this SOP class" in str(check)
    assert "1 unsound: the file is cut off: get it again" in str(check)
    assert str(items[1].parent) not in str(check) + repr(check)


def test_without_transcoding_nothing_is_converted(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(accept_syntaxes=[EXPLICIT])) as pacs:
        path = data_file("693_J2KR.dcm")
        (record,) = sender.check_sending(path, pacs.peer, options=SendOptions(transcode=False)).records
    assert record.verdict is Verdict.NOT_TAKEN


def test_a_peer_that_is_not_there_is_an_error(sender: PynetdicomSender) -> None:
    gone = Peer(name="GONE", ae_title="GONE", host="127.0.0.1", port=1)
    with pytest.raises(PeerUnreachableError, match="nothing listens"):
        sender.check_sending(make_ct(), gone)


def test_a_web_peer_is_not_asked(sender: PynetdicomSender) -> None:
    peer = Peer(name="WEB", ae_title="WEB", host="localhost", port=80, url="http://localhost:1/dicom-web")
    (record,) = sender.check_sending(make_ct(), peer).records
    assert record.verdict is Verdict.AS_IT_IS
    assert "shows only when it is sent" in record.meaning
