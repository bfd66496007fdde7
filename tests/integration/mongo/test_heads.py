"""Headers and inspections read the beginnings of stored files, and no pixels, wherever the beginnings tell all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom.data import get_testdata_file

from dcm_processor_service.errors import StoredFileNotFoundError
from dcm_processor_service.imaging.headers.instance_file import read_header
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.series.order.slice_order import order_files
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.ports import in_thread, inline
from dcm_processor_service.runtime.adapters import imaging_functions
from dcm_processor_service.session.images.series_async import AsyncDicomSeries, SeriesTools
from dcm_processor_service.session.scratch import open_scratch
from tests.integration.mongo.test_dicom import add_files, series_of
from tests.mongo_plans import Commands
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from tests.integration.mongo.conftest import Store

LARGE = Recipe(columns=400, rows=400, slices=12)  # each file has more than one chunk


class Stored:
    """A series in the database, as the session reads it, and the commands that this takes."""

    def __init__(self, store: Store, paths: list[Path], folder: Path) -> None:
        self.commands = Commands()
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        ids = add_files(store, [path.read_bytes() for path in paths])
        self._stack = open_scratch(self.scratch)
        tools = SeriesTools(
            imaging=lambda: imaging_functions(Limits()),
            reading=lambda: pytest.fail("no result is read"),
            converter=lambda: pytest.fail("nothing is converted"),
            scratch=self._stack.__enter__(),
            offload=in_thread if store.mode == "motor" else inline,
        )
        self.series = AsyncDicomSeries(series_of(ids), store.another(self.commands).dicom, tools)

    def chunk_reads(self) -> list[dict[str, object]]:
        return [command["filter"] for command in self.commands.all if command.get("find") == "dicomfiles.chunks"]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "series"
    folder.mkdir()
    return folder


async def test_headers_and_inspection_read_first_chunks_alone_and_write_no_file(
    store: Store, made: Path, tmp_path: Path
) -> None:
    paths = single_frame(LARGE, made)
    stored = Stored(store, paths[::-1], tmp_path)
    headers = await stored.series.headers()
    assert headers == [read_header(path) for path in order_files(paths)]
    report = await stored.series.inspect()
    assert report == inspect_series(paths)
    reads = stored.chunk_reads()
    assert [read["n"] for read in reads] == [0, 0]
    assert list(stored.scratch.iterdir()) == []
    assert await stored.series.headers() == headers  # and once the files are here, out of these
    assert len(await stored.series.paths()) == LARGE.slices
    stored.commands.clear()
    assert (await stored.series.headers(), await stored.series.inspect()) == (headers, report)
    assert stored.commands.all == []


async def test_what_a_beginning_does_not_tell_is_read_out_of_the_whole_file(
    store: Store, made: Path, tmp_path: Path
) -> None:
    enhanced = multi_frame(Recipe(slices=400), made)  # the header alone is longer than a chunk
    compressed = [Path(str(get_testdata_file("JPEG-LL.dcm")))]
    for number, paths in enumerate((enhanced, compressed)):
        folder = tmp_path / str(number)
        folder.mkdir()
        stored = Stored(store, paths, folder)
        assert await stored.series.headers() == [read_header(path) for path in paths]
        assert await stored.series.inspect() == inspect_series(paths)
        assert any("n" not in read for read in stored.chunk_reads())


async def test_an_instance_that_is_stored_twice_is_compared_as_a_whole(
    store: Store, made: Path, tmp_path: Path
) -> None:
    paths = single_frame(LARGE, made)
    stored = Stored(store, [*paths, paths[0]], tmp_path)
    assert (await stored.series.inspect()).codes == {"DUPLICATE_INSTANCES"}


async def test_a_file_that_is_cut_off_in_its_pixels_is_distinguished_from_its_size(
    store: Store, made: Path, tmp_path: Path
) -> None:
    paths = single_frame(LARGE, made)
    paths[3].write_bytes(paths[3].read_bytes()[:-1000])
    stored = Stored(store, paths, tmp_path)
    report = await stored.series.inspect()
    assert report == inspect_series(paths)
    assert [read["n"] for read in stored.chunk_reads()] == [0]


async def test_a_file_without_its_first_chunk_is_reported(store: Store, made: Path, tmp_path: Path) -> None:
    stored = Stored(store, single_frame(LARGE, made), tmp_path)
    store.database["dicomfiles.chunks"].delete_one({"n": 0})
    with pytest.raises(StoredFileNotFoundError, match="is no longer stored"):
        await stored.series.headers()
