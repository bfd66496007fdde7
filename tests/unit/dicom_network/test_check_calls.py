"""A check of datasets and files for a DICOMweb peer, which is asked nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.checking import check_sending
from dcm_processor_service.models import CheckedInstance, Peer, SendOptions, Verdict
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydicom import Dataset

PEER = Peer(name="WEB", ae_title="WEB", host="127.0.0.1", port=9, url="http://127.0.0.1:9/dicom-web")


def checked(*items: Dataset | Path) -> Sequence[CheckedInstance]:
    check = check_sending(items, PEER, SendOptions(), "OURS")
    assert check.peer == PEER.address
    return check.records


def test_each_of_two_that_differ_under_one_uid_is_refused_and_only_a_file_has_a_path(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, 1)
    other = make_ct()
    other.PatientName = "Doe^Jane"
    records = checked(path, other, make_ct(1))
    assert [one.verdict for one in records] == [Verdict.UNSOUND, Verdict.UNSOUND, Verdict.AS_IT_IS]
    assert [one.path for one in records] == [str(path), "", ""]
    for one in records[:2]:
        assert (one.sop_instance_uid, one.sop_class_uid) == (str(other.SOPInstanceUID), str(other.SOPClassUID))
        assert "different" in one.meaning
        assert "Doe" not in repr(one)


def test_a_web_peer_is_not_known_to_take_a_sound_instance() -> None:
    dataset = make_ct()
    (one,) = checked(dataset)
    assert (one.verdict, one.transfer_syntax_uid) == (Verdict.AS_IT_IS, str(dataset.file_meta.TransferSyntaxUID))
    assert "whether a DICOMweb peer accepts it shows only when it is sent" in one.meaning
    assert one.has_meta_information
