"""Orthanc's DICOMweb behind a server that requires certificates, because this build of Orthanc crashes if it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import FindError, PeerUnreachableError
from dcm_processor_service.models import FindQuery, Peer
from tests.archives import make_authority, running_orthanc
from tests.unit.dicom_network.instances import make_ct
from tests.web_front import running_nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dcm_processor_service.testing.fake_certificates import FakeAuthority
    from tests.archives import Orthanc


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> FakeAuthority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, authority: FakeAuthority) -> Iterator[tuple[Orthanc, Peer]]:
    """Runs an archive behind a server that requires a certificate."""
    folder = tmp_path_factory.mktemp("front")
    certificate = authority.issue("front", ["localhost"])
    with (
        running_orthanc(folder) as archive,
        running_nginx(folder, archive.url, authority, certificate) as url,
    ):
        way = {"url": f"{url}/dicom-web", "ca_file": authority.ca_file}
        yield archive, archive.peer.model_copy(update=way)


def test_who_has_a_certificate_sends_finds_and_fetches(
    guarded: tuple[Orthanc, Peer], authority: FakeAuthority, tmp_path: Path
) -> None:
    archive, peer = guarded
    ours = authority.issue("ours", ["client.example"])
    peer = peer.model_copy(update={"cert_file": ours.cert_file, "key_file": ours.key_file})
    sent = [make_ct(number) for number in range(3)]
    assert PynetdicomSender().send(sent, peer).ok
    assert archive.stored().keys() == {one.SOPInstanceUID for one in sent}
    found = DicomRetriever().find(peer, FindQuery(patient_id="TEST", level="series"))
    report = DicomRetriever().fetch(found, peer, tmp_path)
    assert report.ok
    assert len(list(tmp_path.rglob("*.dcm"))) == 3


@pytest.mark.parametrize("certificate", ["none", "of a stranger"])
def test_who_has_none_or_a_strange_one_is_told_so(
    guarded: tuple[Orthanc, Peer], tmp_path: Path, certificate: str
) -> None:
    archive, peer = guarded
    archive.clear()
    if certificate != "none":
        strange = make_authority(tmp_path, "stranger").issue("ours", ["client.example"])
        peer = peer.model_copy(update={"cert_file": strange.cert_file, "key_file": strange.key_file})
    with pytest.raises(PeerUnreachableError, match="wants a client certificate") as caught:
        PynetdicomSender().send([make_ct(0), make_ct(1)], peer)
    assert not caught.value.retryable
    with pytest.raises(FindError, match="wants a client certificate"):
        DicomRetriever().find(peer, FindQuery(patient_id="TEST"))
    assert archive.count() == 0
