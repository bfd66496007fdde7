"""Instances that are sent to real archives arrive there unchanged, bit by bit."""

from __future__ import annotations

import gzip
from io import BytesIO
from pathlib import Path
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
    JPEGBaseline8Bit,
)

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import Outcome, SendOptions
from tests.archives import DICOMWEB_PLUGIN, Orthanc, make_authority, running_orthanc, running_storescp
from tests.integration.dicom_network.test_resuming import open_session
from tests.ports import free_port
from tests.shared_data import shared_folder
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydicom import Dataset

COMMITMENT_PORT = free_port()
NAMES = [
    "CT_small.dcm",  # explicit VR
    "rtplan.dcm",  # implicit VR
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",  # deflated, with an odd length
    "693_J2KR.dcm",
    "JPEG2000.dcm",
    "JPEG-lossy.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_rle_2frame.dcm",
    "emri_small_jpeg_ls_lossless.dcm",
    "test-SR.dcm",
]


def data_files() -> list[Path]:
    paths = [get_testdata_file(name) for name in NAMES]
    return [Path(path) for path in paths if isinstance(path, str)]


def assert_same(sent: Mapping[str, Dataset], held: Mapping[str, Dataset]) -> None:
    """Compares transfer syntax and bytes, which are then the same voxels."""
    assert set(sent) == set(held)
    for uid, dataset in sent.items():
        assert held[uid].file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
        assert held[uid].get("PixelData") == dataset.get("PixelData")
        assert held[uid].get("Rows") == dataset.get("Rows")


def by_uid(paths: list[Path]) -> dict[str, Dataset]:
    return {str(dataset.SOPInstanceUID): dataset for dataset in map(dcmread, paths)}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    modality = {"AET": "OURS", "Host": "127.0.0.1", "Port": COMMITMENT_PORT, "AllowStorageCommitment": True}
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), DicomModalities={"ours": modality}) as archive:
        yield archive


@pytest.fixture
def orthanc(running: Orthanc) -> Orthanc:
    running.clear()
    return running


def test_storescp_has_every_syntax_as_it_was(tmp_path: Path) -> None:
    with running_storescp(tmp_path, "--accept-all") as archive:
        report = PynetdicomSender().send(data_files(), archive.peer)
        assert report.transcoded == 0
        assert_same(by_uid(data_files()), archive.stored())


@pytest.mark.parametrize(
    ("option", "syntax"),
    [
        ("--prefer-little", ExplicitVRLittleEndian),
        ("--implicit", ImplicitVRLittleEndian),
        ("--prefer-big", ExplicitVRBigEndian),
        ("--prefer-j2k-lossless", JPEG2000Lossless),
        ("--prefer-jpeg8", JPEGBaseline8Bit),
    ],
)
def test_storescp_with_preferred_syntaxes_has_the_same_voxels(tmp_path: Path, option: str, syntax: str) -> None:
    names = ["CT_small.dcm", "693_J2KR.dcm", "MR_small_RLE.dcm"]
    paths = [Path(str(get_testdata_file(name))) for name in names]
    sent = by_uid(paths)
    with running_storescp(tmp_path, option) as archive:
        report = PynetdicomSender().send(paths, archive.peer)
        held = archive.stored()
    assert set(held) == set(sent)
    for uid, dataset in sent.items():
        assert (held[uid].pixel_array == dataset.pixel_array).all()
    assert {record.transfer_syntax_uid for record in report.records} <= {
        str(uid) for uid in (syntax, ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    }


def test_storescp_side_by_side(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "series", 40, rows=128)
    with running_storescp(tmp_path) as archive:
        assert PynetdicomSender().send(tmp_path / "series", archive.peer, options=SendOptions(associations=3)).ok
        assert_same(by_uid(paths), archive.stored())


def test_storescp_checks_tls_on_both_sides(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    ours = authority.issue("ours")
    with running_storescp(tmp_path, authority=authority, certificate=authority.issue("scp")) as archive:
        peer = archive.peer.model_copy(update={"cert_file": ours.cert_file, "key_file": ours.key_file})
        assert PynetdicomSender().send(make_ct(rows=700), peer).ok
        assert PynetdicomSender().echo(peer).ok
        (held,) = archive.stored().values()
        assert held.PixelData == make_ct(rows=700).PixelData
        with pytest.raises(PeerUnreachableError, match="no TLS with the peer"):
            PynetdicomSender().send(make_ct(), archive.peer, options=SendOptions(attempts=1))


def test_orthanc_has_every_syntax_as_it_was(orthanc: Orthanc) -> None:
    report = PynetdicomSender("OURS").send(data_files(), orthanc.peer)
    assert report.transcoded == 0
    assert_same(by_uid(data_files()), orthanc.stored())


def test_orthanc_commits_over_an_association_to_us(orthanc: Orthanc) -> None:
    options = SendOptions(commit=True, commitment_timeout_s=30, listen_host="127.0.0.1", listen_port=COMMITMENT_PORT)
    report = PynetdicomSender("OURS").send([make_ct(number) for number in range(3)], orthanc.peer, options=options)
    assert report.count(Outcome.COMMITTED) == 3


def test_orthanc_commits_when_a_later_process_asks_again(orthanc: Orthanc, tmp_path: Path) -> None:
    series = [make_ct(number) for number in range(3)]
    with open_session(str(tmp_path), ae_title="OURS") as session:
        # Orthanc tries once to send its answer, while nothing listens
        session.dicom.send(series, to=orthanc.peer, options=SendOptions(commit=True, wait_for_commitment=False))
    listening = SendOptions(commitment_timeout_s=30, listen_host="127.0.0.1", listen_port=COMMITMENT_PORT)
    with open_session(str(tmp_path), ae_title="OURS") as session:
        (settled,) = session.dicom.commitments.wait(options=listening, ask_again=True)
        assert session.dicom.commitments.list() == [settled]
    assert [record.outcome for record in settled.records] == [Outcome.COMMITTED] * 3


def test_orthanc_rejects_a_wrong_title_with_its_reason(orthanc: Orthanc) -> None:
    with pytest.raises(PeerUnreachableError, match="it is not 'WRONG'"):
        PynetdicomSender().send(make_ct(), orthanc.peer.model_copy(update={"ae_title": "WRONG"}))


def test_orthanc_is_probed(orthanc: Orthanc) -> None:
    found = {context.name: context for context in PynetdicomSender("OURS").probe(orthanc.peer)}
    assert str(JPEG2000) in found["CT Image Storage"].transfer_syntax_uids
    assert found["Storage Commitment Push Model SOP Class"].accepted


def test_orthanc_over_tls(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    ours = authority.issue("ours")
    with running_orthanc(tmp_path, authority=authority, certificate=authority.issue("orthanc")) as archive:
        peer = archive.peer.model_copy(update={"cert_file": ours.cert_file, "key_file": ours.key_file})
        assert PynetdicomSender().send(data_files(), peer).ok
        assert_same(by_uid(data_files()), archive.stored())


def test_orthanc_over_dicomweb(orthanc: Orthanc) -> None:
    assert DICOMWEB_PLUGIN.exists(), "the plug-in is a package of its own: apt-get install orthanc-dicomweb"
    peer = orthanc.peer.model_copy(update={"url": f"{orthanc.url}/dicom-web"})
    report = PynetdicomSender().send(data_files(), peer)
    assert report.ok
    assert_same(by_uid(data_files()), orthanc.stored())


@pytest.mark.parametrize("over", ["dimse", "web"])
def test_real_scans_arrive_whole(orthanc: Orthanc, tmp_path: Path, over: str) -> None:
    scans = shared_folder("data")
    for name in ("dcm_qa_ct", "dcm_qa_12bit"):
        for path in sorted((scans / name).rglob("*.dcm*"))[::2]:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            uid = dcmread(BytesIO(content), specific_tags=["SOPInstanceUID"]).SOPInstanceUID
            if not (
                tmp_path / uid
            ).exists():  # one of the data sets has different images under one UID, which are refused
                (tmp_path / uid).write_bytes(content)
    sent = by_uid(sorted(tmp_path.iterdir()))
    peer = orthanc.peer.model_copy(update={"url": f"{orthanc.url}/dicom-web"}) if over == "web" else orthanc.peer
    assert PynetdicomSender().send(tmp_path, peer).ok
    assert len(sent) > 10
    assert_same(sent, orthanc.stored())
