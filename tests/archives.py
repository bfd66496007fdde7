"""Real archives of Debian's packages ``orthanc``, ``orthanc-dicomweb`` and ``dcmtk``, on free loopback ports."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import dcmread

from dcm_processor_service.models import Peer
from dcm_processor_service.testing.fake_certificates import FakeAuthority
from tests.missing import missing
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import FileDataset

    from dcm_processor_service.testing.fake_certificates import Certificate

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_READY_S = 120.0
"""Only a test that fails waits so long; a busy machine takes half a minute to start an archive."""


def program(name: str) -> str:
    """Returns the path of a program of the packages; without it the test fails in CI and is skipped elsewhere."""
    # pynetdicom installs scripts of DCMTK's names into environments: skip those
    found = (shutil.which(name, path=folder) for folder in os.get_exec_path())
    path = next((one for one in found if one is not None and not _is_script(one)), None)
    if path is None:
        reason = f"{name} is not installed: apt-get install orthanc orthanc-dicomweb dcmtk openssl nginx"
        missing(reason)
    return path


def _is_script(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(2) == b"#!"


def make_authority(folder: Path, name: str = "authority") -> FakeAuthority:
    """Makes a throw-away authority; without ``openssl`` the test fails in CI and is skipped elsewhere."""
    program("openssl")
    return FakeAuthority(folder, name)


@dataclass(frozen=True)
class StoreScp:
    """DCMTK's ``storescp``."""

    peer: Peer
    folder: Path

    def stored(self) -> dict[str, FileDataset]:
        """Returns the instances that it wrote, by SOPInstanceUID."""
        return {str(dataset.SOPInstanceUID): dataset for dataset in map(dcmread, self.folder.iterdir())}


@contextmanager
def running_storescp(
    folder: Path, *options: str, authority: FakeAuthority | None = None, certificate: Certificate | None = None
) -> Iterator[StoreScp]:
    """Runs ``storescp``, which writes the data sets that it receives unchanged."""
    port = free_port()
    received = folder / "received"
    received.mkdir()
    command = [program("storescp"), "-aet", "STORESCP", "-od", str(received), "--fork", "--bit-preserving", *options]
    if authority is not None and certificate is not None:
        command += ["+tls", certificate.key_file, certificate.cert_file, "+cf", authority.ca_file]
    tls = certificate is not None
    with _running([*command, str(port)], folder, port):
        ca_file = authority.ca_file if authority else None
        peer = Peer(name="STORESCP", ae_title="STORESCP", host="127.0.0.1", port=port, tls=tls, ca_file=ca_file)
        yield StoreScp(peer, received)


@contextmanager
def running_dcmqrscp(folder: Path, destinations: dict[str, int]) -> Iterator[Peer]:
    """Runs DCMTK's archive ``dcmqrscp``; it knows the AE titles of destinations at ports of this machine."""
    port = free_port()
    storage = folder / "dcmqrscp"
    storage.mkdir()
    hosts = "".join(f"{title.lower()} = ({title}, 127.0.0.1, {number})\n" for title, number in destinations.items())
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 65536\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}HostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQRSCP {storage} RW (200, 1024mb) ANY\nAETable END\n",
        encoding="utf-8",
    )
    with _running([program("dcmqrscp"), "-c", str(configuration), "+x="], folder, port):
        yield Peer(name="QRSCP", ae_title="QRSCP", host="127.0.0.1", port=port)


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc; its content is read through its own HTTP interface."""

    peer: Peer
    url: str

    def stored(self) -> dict[str, FileDataset]:
        """Returns the instances that it holds, by SOPInstanceUID."""
        files = (self._get(f"/instances/{number}/file") for number in json.loads(self._get("/instances")))
        return {str(dataset.SOPInstanceUID): dataset for dataset in (dcmread(BytesIO(file)) for file in files)}

    def count(self) -> int:
        """Returns how many instances it holds."""
        return int(json.loads(self._get("/statistics"))["CountInstances"])

    def clear(self) -> None:
        """Removes everything."""
        for patient in json.loads(self._get("/patients")):
            with urllib.request.urlopen(
                urllib.request.Request(f"{self.url}/patients/{patient}", method="DELETE"), timeout=_READY_S
            ):
                pass

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=_READY_S) as answer:
            content: bytes = answer.read()
            return content


@contextmanager
def running_orthanc(
    folder: Path, *, authority: FakeAuthority | None = None, certificate: Certificate | None = None, **settings: Any
) -> Iterator[Orthanc]:
    """Runs Orthanc with its DICOMweb plug-in; with a certificate, over TLS for clients that the authority signed."""
    orthanc = program("Orthanc")
    dicom_port, http_port = free_port(), free_port()
    configuration: dict[str, Any] = {
        "Name": "throw-away",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [str(DICOMWEB_PLUGIN)] if DICOMWEB_PLUGIN.exists() else [],
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "AuthenticationEnabled": False,
        "SaveJobs": False,
        "OverwriteInstances": True,
        **settings,
    }
    if authority is not None and certificate is not None:
        configuration["DicomTlsEnabled"] = True
        configuration["DicomTlsCertificate"] = certificate.cert_file
        configuration["DicomTlsPrivateKey"] = certificate.key_file
        configuration["DicomTlsTrustedCertificates"] = authority.ca_file
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    with _running([orthanc, str(path)], folder, dicom_port, http_port):
        ca_file = authority.ca_file if authority else None
        tls = certificate is not None
        peer = Peer(name="ORTHANC", ae_title="ORTHANC", host="127.0.0.1", port=dicom_port, tls=tls, ca_file=ca_file)
        yield Orthanc(peer, f"http://127.0.0.1:{http_port}")


@contextmanager
def _running(command: list[str], folder: Path, *ports: int) -> Iterator[None]:
    """Runs a server while the block runs; enters the block when the server listens at its ports."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd=folder) as process:
        try:
            for port in ports:
                waited_for(port, process, log)
            yield
        finally:
            process.kill()  # nothing of it is kept; Orthanc takes seconds to end by itself


def waited_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until a server listens at its port; if the server ends instead, the test fails and shows its log."""
    deadline = time.monotonic() + _READY_S
    pause = threading.Event()
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{log.read_text('utf-8', 'replace')}") from None
            pause.wait(0.02)
