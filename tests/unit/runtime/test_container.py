"""The composition root: nothing until used, anything overridden in a line, everything closed."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dependency_injector import providers

from dcm_processor_service import AsyncContainer, AsyncSession, Container, RuntimeSettings, Session, opened
from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import Peer
from dcm_processor_service.models.images.nifti import NiftiFiles
from dcm_processor_service.ports import in_thread, inline
from dcm_processor_service.runtime.container import backend_names
from dcm_processor_service.session.functions import FileFormats
from dcm_processor_service.session.scratch import Scratch
from dcm_processor_service.testing import synthetic_series

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PEER = Peer(id="d" * 24, name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242)


def settings(**values: Any) -> RuntimeSettings:
    return RuntimeSettings.without_environment(
        **({"db_provider": "memory", "session_id": "a" * 24, "job_id": "b" * 24} | values)
    )


def python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


def test_making_a_container_reads_no_environment_opens_nothing_and_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff not text")
    code = (
        "import json, sys\n"
        "opened = []\n"
        "watching = False\n"
        "def audit(event, arguments):\n"
        "    if watching and event in ('open', 'socket.connect', 'sqlite3.connect', 'os.mkdir', 'os.getenv'):\n"
        "        opened.append((event, str(arguments[0])))\n"
        "sys.addaudithook(audit)\n"
        "from dcm_processor_service import AsyncContainer, Container\n"
        "watching = True\n"
        "for kind in (Container, AsyncContainer):\n"
        "    container = kind()\n"
        "watching = False\n"
        "heavy = {'pydicom', 'numpy', 'nibabel', 'pynetdicom', 'dicom2nifti', 'pymongo', 'motor', 'sqlite3'}\n"
        "print(json.dumps([opened, sorted(heavy & sys.modules.keys())]))\n"
        "try:\n"
        "    container.settings()\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    hostile = {
        "DCM-PROCESSOR-SERVICE-DB-PROVIDER": "mongodb",
        "DCM_PROCESSOR_SERVICE_DB_PROVIDER": "sqlite",
        "DCM_PROCESSOR_SERVICE_JOB_ID": "not an id",
    }
    ran = python(code, tmp_path, **hostile)
    assert ran.returncode == 0, ran.stderr
    found, used = ran.stdout.splitlines()
    assert json.loads(found) == [[], []]
    assert used == "ConfigurationError"
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_an_unused_container_closes_without_opening(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    with opened(Container(settings=settings(db_provider="sqlite", db_url=str(folder)))) as container:
        container.session()
        container.context()
    assert not folder.exists()


def test_sessions_of_one_container_are_one_and_of_two_are_two() -> None:
    with opened(Container(settings=settings())) as one, opened(Container(settings=settings())) as other:
        assert one.session() is one.session() is one.context().session
        one.session().data["x"] = 1
        assert "x" not in other.session().data
        assert isinstance(one.session(), Session)


def test_the_async_container_has_its_own_colour_throughout() -> None:
    with opened(AsyncContainer(settings=settings())) as container:
        assert container.session() is container.async_session() is container.context().session
        assert isinstance(container.session(), AsyncSession)
        assert container.offload() is in_thread
    assert Container(settings=settings()).offload() is inline


class FakePeers:
    async def get(self, peer_id: str) -> Peer | None:
        return PEER if peer_id == PEER.id else None

    async def find(self, name: str) -> Peer | None:
        return PEER if name == PEER.name else None

    async def list(self) -> list[Peer]:
        return [PEER]


def write_fake(value: object, path: Path) -> None:
    path.write_text(f"fake {value}", encoding="utf-8")


class FakeConverter:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def convert(self, paths: Sequence[Path], destination: Path, **_options: object) -> NiftiFiles:
        self.seen.append(len(paths))
        return NiftiFiles((destination,), "fake", "asked for")


def test_any_provider_is_overridden_by_a_fake_in_one_line(fake_context: Any) -> None:
    converter = FakeConverter()

    def customise(container: Container) -> None:
        container.peer_repository.override(FakePeers())
        container.converter.override(converter)
        container.formats.override(FileFormats(read=Path.read_text, write=write_fake))
        container.imaging.override(replace(container.imaging(), preview=lambda _paths: b"drawn"))

    context = fake_context(series=synthetic_series(slices=3), customise=customise, peer_id=PEER.id)
    assert context.session.peers.current() == PEER
    assert context.session.peers.list() == [PEER]
    assert context.session.dicom.get_series().to_nifti("x.nii").engine == "fake"
    assert converter.seen == [3]
    context.session.files.save("a.odd", "value")
    assert context.session.files.load("a.odd") == "fake value"
    assert context.session.dicom.get_series().preview() == b"drawn"
    assert context.session.dicom.get_series().inspect().frame_count == 3


@pytest.mark.parametrize(
    "name", ["data", "file", "job", "peer", "dicom", "workspace"], ids=lambda name: f"{name}_repository"
)
def test_every_repository_can_be_overridden_alone(name: str) -> None:
    fake = object()
    with opened(Container(settings=settings())) as container:
        provider: providers.Provider[Any] = getattr(container, f"{name}_repository")
        provider.override(fake)
        assert provider() is fake
        container.session()


class Noted:
    """Two resources whose opening and closing is noted."""

    def __init__(self, *, failing: str = "") -> None:
        self.events: list[str] = []
        self._failing = failing

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        self.events.append(f"{name} opened")
        try:
            yield
        finally:
            self.events.append(f"{name} closed")
            if name == self._failing:
                raise OSError(f"{name} does not close")

    def container(self) -> Container:
        def backend() -> Iterator[Any]:
            with self._part("store"):
                yield MemoryStore().backend()

        def scratch() -> Iterator[Scratch]:
            with self._part("scratch"):
                yield Scratch(None)

        container = Container(settings=settings())
        container.backend.override(providers.Resource(backend))
        container.scratch.override(providers.Resource(scratch))
        return container


@pytest.mark.parametrize("first", ["backend", "scratch"])
@pytest.mark.parametrize("failing", ["", "store", "scratch"])
def test_what_was_opened_is_closed_in_order_whatever_fails(first: str, failing: str) -> None:
    noted = Noted(failing=failing)

    def use() -> None:
        with opened(noted.container()) as container:
            getattr(container, first)()
            container.backend()
            container.scratch()

    if failing:
        with pytest.raises(OSError, match=f"{failing} does not close"):
            use()
    else:
        use()
    assert noted.events[2:] == ["store closed", "scratch closed"]


def test_what_was_opened_is_closed_after_an_error_which_is_kept() -> None:
    noted = Noted()

    def use() -> None:
        with opened(noted.container()) as container:
            container.backend()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert noted.events == ["store opened", "store closed"]


def test_the_scratch_folder_goes_with_the_container(tmp_path: Path) -> None:
    with opened(Container(settings=settings(scratch=tmp_path))) as container:
        folder = container.scratch().folder("series")
        (folder / "x.dcm").write_bytes(b"x")
        assert folder.is_dir()
        assert tmp_path in folder.parents
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_store_is_a_sentence_that_lists_the_known_ones() -> None:
    with opened(Container(settings=settings(db_provider="Oracle", db_url="x"))) as container:
        with pytest.raises(
            ConfigurationError, match=r"DB-PROVIDER names the store 'oracle'.*memory, mongodb, sqlite"
        ) as caught:
            container.session().data.keys()
        assert caught.value.exit_code == 2
    assert {"memory", "mongodb", "sqlite"} <= set(backend_names())


THIRD_PARTY = """
from contextlib import contextmanager
from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.ports import inline

@contextmanager
def open_store(location, offload):
    where = "inline" if offload is inline else "in_thread"
    print("open", location.url, location.database, location.timeout_s, location.mode, where)
    yield MemoryStore().backend()
    print("close")
"""


def install(folder: Path, target: str) -> None:
    metadata = folder / "third_party-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(
        f"[dcm_processor_service.backends]\nMyStore = {target}\n", encoding="utf-8"
    )


def use_third_party(folder: Path) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "from dcm_processor_service import AsyncContainer, Container, RuntimeSettings, opened\n"
        "from dcm_processor_service.runtime.container import backend_names\n"
        "settings = RuntimeSettings.without_environment(db_provider='MyStore', db_url='where', db_name='which',\n"
        "    session_id='a' * 24, job_id='b' * 24)\n"
        "print('MyStore' in backend_names())\n"
        "for kind in (Container, AsyncContainer):\n"
        "    with opened(kind(settings=settings)) as container:\n"
        "        container.data_repository()\n"
    )
    return python(code, folder)


def test_another_package_adds_a_store_by_entry_point(tmp_path: Path) -> None:
    (tmp_path / "third_party.py").write_text(THIRD_PARTY, encoding="utf-8")
    install(tmp_path, "third_party:open_store")
    ran = use_third_party(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "True",
        "open where which 4.0 blocking inline",
        "close",
        "open where which 4.0 async in_thread",
        "close",
    ]


def test_another_packages_store_that_is_no_function_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "third_party.py").write_text(f"{THIRD_PARTY}\nNAME = 'store'\n", encoding="utf-8")
    install(tmp_path, "third_party:NAME")
    ran = use_third_party(tmp_path)
    assert ran.returncode == 1
    assert "ConfigurationError: the store 'MyStore' comes from third_party:NAME, which is not a function" in ran.stderr


def test_another_packages_store_that_cannot_be_loaded_is_a_sentence(tmp_path: Path) -> None:
    install(tmp_path, "not_there:open_store")
    ran = use_third_party(tmp_path)
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert "ConfigurationError: the store 'MyStore' comes from not_there:open_store, which cannot be loaded" in last
