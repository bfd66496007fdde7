"""Scans that are moved or removed after they were filed: every read names the file and says what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import AsyncContainer, Container, opened
from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.errors import InvalidSeriesError, StoredFileNotFoundError
from dcm_processor_service.imaging.headers.folder import files_below
from dcm_processor_service.models import Job, Peer
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.session.images.catalogue import catalogue_files
from dcm_processor_service.testing import FakePacs
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dcm_processor_service.session.images.series import DicomSeries
    from dcm_processor_service.session.session import Session

SESSION_ID, JOB_ID = "5e" * 12, "1b" * 12
NOWHERE = Peer(name="n", ae_title="N", host="127.0.0.1", port=1)
GONE = r"the DICOM file 1\.2\.3\.1\.1\.dcm is no longer where it was found; put it back, or run again over the folder"

READS: dict[str, Callable[[Session, DicomSeries, Path], object]] = {
    "paths": lambda _session, series, _folder: series.paths(),
    "headers": lambda _session, series, _folder: series.headers(),
    "datasets": lambda _session, series, _folder: list(series.datasets()),
    "export": lambda _session, series, folder: series.export(folder / "exported"),
    "inspect": lambda _session, series, _folder: series.inspect(),
    "preview": lambda _session, series, _folder: series.preview(),
    "volume": lambda _session, series, _folder: series.volume(),
    "volumes": lambda _session, series, _folder: series.volumes(),
    "to_nifti": lambda _session, series, folder: series.to_nifti(folder / "volume.nii.gz"),
    "send": lambda session, series, _folder: session.dicom.send(series, to=NOWHERE),
}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "DOE_JANE"
    save(make_series(1, slices=3), folder)
    return folder


@pytest.fixture(params=["memory", "sqlite"])
def container(request: pytest.FixtureRequest, tmp_path: Path, scans: Path) -> Iterator[Container]:
    """A job over a series of three slices, which lie in a folder of their own."""
    settings = RuntimeSettings.without_environment(
        db_provider=request.param,
        db_url=str(tmp_path / "work") if request.param == "sqlite" else "",
        session_id=SESSION_ID,
        job_id=JOB_ID,
    )
    with opened(Container(settings=settings)) as made:
        if request.param == "memory":
            made.backend.override(MemoryStore().backend())
        filed = run_inline(catalogue_files(files_below(scans), made.imaging()).file_into(made.backend()))
        job = Job(id=JOB_ID, session_id=SESSION_ID, name="j", subject=filed.series[0])
        run_inline(made.workspace_repository().add_job(job))
        yield made


def gone(scans: Path) -> Path:
    return scans / "1.2.3.1.1.dcm"


@pytest.mark.parametrize("looked_before", [False, True])
@pytest.mark.parametrize("read", READS)
def test_a_read_of_a_scan_that_was_moved_names_the_file_and_the_remedy(
    container: Container, scans: Path, tmp_path: Path, read: str, *, looked_before: bool
) -> None:
    session = container.session()
    series = session.dicom.get_series()
    if looked_before:
        assert len(series.paths()) == 3
    elsewhere = gone(scans).rename(tmp_path / "elsewhere.dcm")
    with pytest.raises(StoredFileNotFoundError, match=GONE) as caught:
        READS[read](session, series, tmp_path)
    assert "DOE_JANE" not in str(caught.value)  # a folder's name may be a patient's
    assert not (tmp_path / "exported").exists()
    assert not (tmp_path / "volume.nii.gz").exists()
    elsewhere.rename(gone(scans))
    assert len(series.paths()) == 3
    assert series.volume().shape == (16, 16, 3)


def test_the_rest_of_the_iteration_names_the_file_that_went_meanwhile(container: Container, scans: Path) -> None:
    datasets = container.session().dicom.get_series().datasets()
    assert next(datasets).InstanceNumber == 1
    gone(scans).unlink()
    with pytest.raises(InvalidSeriesError, match=r"the file 1\.2\.3\.1\.1\.dcm is unreadable .*check that it exists"):
        next(datasets)


def test_nothing_of_a_series_is_sent_when_a_file_of_it_went(container: Container, scans: Path) -> None:
    session = container.session()
    series = session.dicom.get_series()
    gone(scans).unlink()
    with FakePacs() as pacs:
        with pytest.raises(StoredFileNotFoundError, match=GONE):
            session.dicom.send(series, to=pacs.peer)
        assert pacs.arrivals == []


def test_filing_the_folder_anew_finds_the_scan_where_it_is_now(
    container: Container, scans: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    gone(scans).rename(tmp_path / "elsewhere" / "moved.dcm")
    catalogue = catalogue_files(files_below(tmp_path / "elsewhere"), container.imaging())
    run_inline(catalogue.file_into(container.backend()))
    names = [path.name for path in container.session().dicom.get_series().paths()]
    assert names == ["1.2.3.1.0.dcm", "moved.dcm", "1.2.3.1.2.dcm"]


def test_an_asynchronous_read_raises_the_same(container: Container, scans: Path) -> None:
    async def read(other: Any) -> None:
        series = await other.async_session().dicom.get_series()
        assert len(await series.headers()) == 3
        gone(scans).unlink()
        with pytest.raises(StoredFileNotFoundError, match=GONE):
            await series.volume()
        with pytest.raises(StoredFileNotFoundError, match=GONE):
            _ = [dataset async for dataset in series.datasets()]

    with opened(AsyncContainer(settings=container.settings())) as other:
        other.backend.override(container.backend())
        asyncio.run(read(other))
