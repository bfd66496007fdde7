"""Input that is not an instance, certificate or host is reported or refused with an error of this package."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.dicom_network.sources import Outgoing, Unreadable, survey
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import Peer
from tests.unit.session.test_damaged_files import mutated

MUTANTS = 100


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on what it repairs
@pytest.mark.parametrize("name", ["DICOMDIR", "CT_small.dcm", "rtplan.dcm", "image_dfl.dcm", "JPEG2000.dcm"])
def test_mutated_files_are_sent_or_reported(tmp_path: Path, name: str) -> None:
    chance = random.Random(11)
    content = Path(str(get_testdata_file(name))).read_bytes()
    path = tmp_path / "a.dcm"
    kinds: set[type] = set()
    for _ in range(MUTANTS):
        path.write_bytes(mutated(content, chance))
        kinds.update(type(one) for one in survey([path]))
    assert Unreadable in kinds
    assert kinds <= {Unreadable, Outgoing}


@pytest.mark.parametrize("item", ["none", "n" * 300, "nul\0", "\ud800", "/dev/null"])
def test_a_path_that_leads_to_no_instance_is_reported(item: str) -> None:
    [found] = survey([item])
    assert isinstance(found, Unreadable)


@pytest.mark.parametrize("field", ["ca_file", "cert_file", "key_file"])
@pytest.mark.parametrize(
    "content", [b"", b"\0\xff" * 200, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_certificate_file_of_garbage_is_reported_with_its_field(tmp_path: Path, field: str, content: bytes) -> None:
    path = tmp_path / "garbage.pem"
    path.write_bytes(content)
    files: dict[str, Any] = {"cert_file": str(path), field: str(path)} if field == "key_file" else {field: str(path)}
    peer = Peer(name="PACS", ae_title="A", host="h", port=1, tls=True, **files)
    with pytest.raises(ConfigurationError, match=r"TLS for the peer 'PACS': .*_file"):
        PynetdicomSender().check(peer)


@pytest.mark.parametrize("path", ["none", "n" * 300, "nul\0", ".", "/dev/null"])
def test_a_path_that_is_no_certificate_file_is_reported(path: str) -> None:
    peer = Peer(name="PACS", ae_title="A", host="h", port=1, tls=True, ca_file=path)
    with pytest.raises(ConfigurationError, match="names no file on this machine"):
        PynetdicomSender().check(peer)


@pytest.mark.parametrize("host", ["a" * 300, "a..b", "é" * 70, "nul\0", " ", "["])
def test_an_echo_to_an_invalid_host_reports_that_it_does_not_answer(host: str) -> None:
    result = PynetdicomSender().echo(Peer(name="PACS", ae_title="A", host=host, port=1))
    assert not result.ok
