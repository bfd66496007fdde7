"""Every function of the 0.0.1 API, in a job that the platform's worker runs; and each of its defects."""

from __future__ import annotations

import ssl
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, JPEG2000Lossless

from dcm_processor_service.testing.fake_certificates import FakeAuthority
from tests.integration.platform.application import DEVICE, Application
from tests.integration.platform.archive import Archive, listening_archive
from tests.integration.platform.services.function_api import module as service
from tests.integration.platform.services.function_api.module.catalogue import CASES
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeApplication = Callable[[Path], Application]

pytestmark = pytest.mark.mongodb

SERVICE = Path(service.__file__ or "").parent.parent
DICOMDIR_IMAGES = 31


@dataclass(frozen=True)
class Scans:
    """Folders that the cases read; each is flat."""

    both: Path
    """Two series, the smaller first."""
    larger: Path
    jpeg_2000: Path
    dicomdir: Path


@pytest.fixture(scope="module")
def scans(scan_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Scans:
    folder = tmp_path_factory.mktemp("scans")
    made = Scans(folder / "both", folder / "larger", folder / "jpeg_2000", scan_folder.parent / "DICOMDIR")
    for one in (made.both, made.larger, made.jpeg_2000):
        one.mkdir()
    for name in ("CT2N", "CT5N"):
        for path in sorted((scan_folder / name).iterdir()):
            (made.both / f"{name}-{path.name}.dcm").write_bytes(path.read_bytes())
    for path in sorted((scan_folder / "CT5N").iterdir()):
        slice_ = dcmread(path)
        # JPEG 2000 wants more than the 16 x 16 pixels of these scans
        slice_.set_pixel_data(
            np.kron(slice_.pixel_array, np.ones((4, 4), np.int16)), "MONOCHROME2", 16, generate_instance_uid=False
        )
        slice_.save_as(made.larger / f"{path.name}.dcm")
        slice_.compress(JPEG2000Lossless, generate_instance_uid=False)
        slice_.save_as(made.jpeg_2000 / f"{path.name}.dcm")
    return made


class Neighbourhood:
    """The peers that the cases talk to: each has a manner of its own."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        authority = FakeAuthority(folder)
        own = authority.issue("own")
        self._tls = {"tls": True, "cert_file": own.cert_file, "key_file": own.key_file, "ca_file": authority.ca_file}
        self.archives: dict[str, Archive] = {}
        for name, more in {
            "archive": {},
            "implicit": {"transfer_syntaxes": [ImplicitVRLittleEndian]},
            "narrow": {"sop_classes": [CTImageStorage]},
            "secure": {"tls": self._context(authority, "secure", ["127.0.0.1", "localhost"])},
            "impostor": {"tls": self._context(authority, "impostor", ["elsewhere.example"])},
        }.items():
            self.archives[name] = stack.enter_context(listening_archive(name.upper(), **more))  # type: ignore[arg-type]  # as listed
        self.ports = {f"{name}_port": archive.port for name, archive in self.archives.items()}
        self.ports["closed_port"] = free_port()

    @staticmethod
    def _context(authority: FakeAuthority, name: str, hosts: list[str]) -> ssl.SSLContext:
        certificate = authority.issue(name, hosts)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
        return context

    def introduce(self, application: Application) -> None:
        """Files the peers as peers."""
        for name, archive in self.archives.items():
            more: dict[str, Any] = self._tls if name in {"secure", "impostor"} else {}
            application.add_peer(name, archive.ae_title, archive.port, **more)


def _outcomes(
    application: Application, scans: Scans, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, str], dict[str, Archive]]:
    """Has the platform run the suite for the second series; gives the traceback of each case."""
    with ExitStack() as stack:
        nodes = Neighbourhood(stack, tmp_path_factory.mktemp("certificates"))
        nodes.introduce(application)
        peer_id = application.add_peer("scanner", "SCANNER", free_port())
        params = {
            **nodes.ports,
            "scan_folder": str(scans.larger),
            "scan_slices": len(list(scans.larger.iterdir())),
            "jpeg_2000_folder": str(scans.jpeg_2000),
            "dicomdir": str(scans.dicomdir),
            "dicomdir_images": DICOMDIR_IMAGES,
        }
        job = {"events": ["stable-series"], "registryEntry": "every", "timeout": "10m"}
        manifest = [
            {"jobName": "producer", "workerEntry": "producer", "params": {}, **job},
            {"jobName": "suite", "workerEntry": "suite", "params": params, "dependsOn": ["producer"], **job},
        ]
        application.add_service("function-api", SERVICE, manifest)
        application.run("ingest", peer_id, str(scans.both), "--", "schedule", DEVICE)
        jobs = application.jobs()
        suite = [one for one in jobs if one.get("job_name") == "suite"][-1]
        producers = [str(one["_id"]) for one in jobs if one.get("job_name") == "producer"]
        assert len(producers) == 2
        printed = application.run("run", DEVICE, str(jobs[0]["_id"]), *producers, str(suite["_id"]))
        (done,) = application.jobs(_id=suite["_id"])
        assert not done["error"], f"{done['errorMessage']}\n{printed}"
        outcomes: dict[str, str] = done["result"].get("result") or pytest.fail(f"{done['result']}\n{printed}")
        return outcomes, nodes.archives


@pytest.fixture(scope="module")
def ours(
    make_application: MakeApplication,
    platform_python: Path,
    scans: Scans,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, str], dict[str, Archive]]:
    return _outcomes(make_application(platform_python), scans, tmp_path_factory)


@pytest.fixture(scope="module")
def predecessors(
    make_application: MakeApplication,
    predecessor_python: Path,
    scans: Scans,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, str], dict[str, Archive]]:
    return _outcomes(make_application(predecessor_python), scans, tmp_path_factory)


def _label(name: str) -> str:
    number = CASES[name].defect
    return name if number is None else f"defect_{number}-{name}"


@pytest.mark.parametrize("name", CASES, ids=_label)
def test_function_works(name: str, ours: tuple[dict[str, str], dict[str, Archive]]) -> None:
    outcomes, _archives = ours
    assert outcomes[name] == "", outcomes[name]


@pytest.mark.parametrize("name", [name for name, one in CASES.items() if one.defect is not None], ids=_label)
def test_defect_is_one_of_the_predecessor(name: str, predecessors: tuple[dict[str, str], dict[str, Archive]]) -> None:
    outcomes, _archives = predecessors
    assert outcomes[name], "this case does not show the defect"


def test_the_predecessor_does_all_else_alike(predecessors: tuple[dict[str, str], dict[str, Archive]]) -> None:
    outcomes, _archives = predecessors
    unlike = {
        name: outcomes[name] for name, one in CASES.items() if one.defect is None and not one.clearer and outcomes[name]
    }
    assert not unlike, "\n".join(f"{name}:\n{text}" for name, text in unlike.items())


def test_what_was_sent_is_what_arrived(ours: tuple[dict[str, str], dict[str, Archive]], scans: Scans) -> None:
    archives = ours[1]
    sent = {str(one.SOPInstanceUID): one.pixel_array for one in map(dcmread, sorted(scans.larger.iterdir()))}
    for name in ("archive", "implicit", "narrow", "secure"):
        # the DICOMDIR has these instances as well, with the scans' own 16 x 16 pixels
        received = [one for one in archives[name].datasets if str(one.SOPInstanceUID) in sent and one.Rows == 64]
        assert received
        for dataset in received:
            assert (dataset.pixel_array == sent[str(dataset.SOPInstanceUID)]).all()
    assert {one.file_meta.TransferSyntaxUID for one in archives["implicit"].datasets} == {ImplicitVRLittleEndian}
    assert JPEG2000Lossless in {one.file_meta.TransferSyntaxUID for one in archives["archive"].datasets}
    assert archives["impostor"].datasets == []


def test_defect_31_nothing_needs_libmagic_or_a_package_of_the_platform(job_python: Path) -> None:
    program = """
import importlib.util
import dcm_processor_service as sdk
assert all(getattr(sdk, name) is not None for name in sdk.__all__)
absent = ("magic", "dcm_processor_db_provider", "dcm_processor_utils", "mqas")
print([name for name in absent if importlib.util.find_spec(name)])
"""
    ended = subprocess.run(
        [str(job_python), "-I", "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "[]"
