"""Contract tests: how every store stores named files."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest

from dcm_processor_service.errors import InvalidNameError, StoredFileNotFoundError, UnsupportedValueError
from dcm_processor_service.testing import synthetic_series
from dcm_processor_service.testing.contracts.store import Contract

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.testing.contracts.store import StoreUnderTest

__all__ = ["FilesContract"]

BIG = bytes(range(256)) * 20_000  # more than one chunk of any store


class FilesContract(Contract):
    """The rules of named files."""

    @pytest.mark.parametrize("content", [b"", b"x", BIG], ids=["empty", "one byte", "several chunks"])
    async def test_content_goes_in_and_comes_out_in_every_way(
        self, store: StoreUnderTest, tmp_path: Path, content: bytes
    ) -> None:
        files = store.session().files
        source = tmp_path / "source.bin"
        source.write_bytes(content)
        stream = io.BytesIO(b"skipped" + content)
        stream.seek(7)
        for name, given in (("path", source), ("bytes", content), ("stream", stream), ("view", memoryview(content))):
            stored = await files.put(name, given)
            assert stored.size_bytes == len(content)
            assert stored.sha256 == hashlib.sha256(content).hexdigest()
            assert await files.read(name) == content
            assert (await files.get(name, tmp_path / f"{name}.out")).read_bytes() == content
            async with files.open(name) as opened:
                assert opened.read() == content
        assert not stream.closed

    async def test_info_tells_what_was_stored(self, store: StoreUnderTest) -> None:
        files = store.session().files
        put = await files.put("a.json", b"{}", metadata={"series": "1.2.3", "n": 2})
        info = await files.info("a.json")
        assert info == put
        assert info.metadata == {"series": "1.2.3", "n": 2}
        assert info.content_type == "application/json"
        assert info.job_id == store.session().job.id
        assert info.uploaded_at is not None
        given = await files.put("a.json", b"{}", content_type="text/x-own")
        assert given.content_type == "text/x-own"

    async def test_replacing_leaves_one_file_with_the_new_content(self, store: StoreUnderTest) -> None:
        files = store.session().files
        first = await files.put("a", BIG)
        second = await files.put("a", b"new", metadata={"version": 2})
        assert first.id != second.id
        assert [stored.name for stored in await files.list()] == ["a"]
        assert await files.read("a") == b"new"
        assert (await files.info("a")).metadata == {"version": 2}

    async def test_files_are_listed_by_name_and_deleted(self, store: StoreUnderTest) -> None:
        files = store.session().files
        for name in ("b", "masks/a", "a"):
            await files.put(name, name.encode())
        assert [stored.name for stored in await files.list()] == ["a", "b", "masks/a"]
        assert await files.delete("b")
        assert not await files.delete("b")
        assert not await files.has("b")
        assert await files.has("a")

    async def test_an_absent_file_raises_and_leaves_nothing_behind(self, store: StoreUnderTest, tmp_path: Path) -> None:
        files = store.session().files
        with pytest.raises(StoredFileNotFoundError, match="no file named 'missing'"):
            await files.get("missing", tmp_path / "out")
        with pytest.raises(FileNotFoundError):
            await files.read("missing")
        with pytest.raises(StoredFileNotFoundError):
            await files.info("missing")
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".*part"))

    @pytest.mark.parametrize("name", ["", "../a", "/a", "a/../../b", "a\\..\\b", "con:", "a/"])
    async def test_no_name_leads_out_of_a_folder(self, store: StoreUnderTest, name: str) -> None:
        files = store.session().files
        for attempt in (files.put(name, b""), files.read(name), files.info(name), files.delete(name)):
            with pytest.raises(InvalidNameError):
                await attempt

    async def test_a_download_goes_into_a_folder_under_its_own_name(
        self, store: StoreUnderTest, tmp_path: Path
    ) -> None:
        files = store.session().files
        await files.put("masks/liver.nii.gz", b"mask")
        assert await files.get("masks/liver.nii.gz", tmp_path) == tmp_path / "liver.nii.gz"

    async def test_values_are_saved_and_loaded_by_extension(self, store: StoreUnderTest) -> None:
        files = store.session().files
        image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([1.0, 2, 3, 1]))
        for name in ("v.nii", "v.nii.gz"):
            await files.save(name, image)
            loaded = await files.load(name)
            assert np.array_equal(loaded.dataobj, image.dataobj)
            assert np.array_equal(loaded.affine, image.affine)
            assert loaded.get_data_dtype() == np.int16
        array = np.linspace(0, 1, 5, dtype=np.float32)
        await files.save("a.npy", array)
        assert np.array_equal(await files.load("a.npy"), array)
        await files.save("a.npz", {"x": array, "y": array > 0.5})
        assert (await files.load("a.npz"))["y"].dtype == np.bool_
        (dataset,) = synthetic_series(slices=1)
        await files.save("d.dcm", dataset)
        assert (await files.load("d.dcm")).PixelData == dataset.PixelData
        await files.save("j.json", {"a": [1, None, "ü"]})
        assert await files.load("j.json") == {"a": [1, None, "ü"]}
        await files.save("t.txt", "Grüße\r\n")
        assert await files.load("t.txt") == "Grüße\r\n"

    async def test_a_value_that_does_not_fit_its_extension_is_refused(self, store: StoreUnderTest) -> None:
        files = store.session().files
        values: tuple[tuple[str, object], ...] = (
            ("a.nii", [1]),
            ("a.npy", [object()]),
            ("a.json", b"x"),
            ("a.txt", 1),
            ("a.odd", "x"),
            ("a.dcm", {}),
        )
        for name, value in values:
            with pytest.raises(UnsupportedValueError, match=r"takes|no extension"):
                await files.save(name, value)
        assert await files.list() == []

    async def test_jobs_do_not_see_each_others_files(self, store: StoreUnderTest) -> None:
        await store.session().files.put("a", b"1")
        assert not await store.session("b" * 24).files.has("a")
        assert await store.session("b" * 24).files.list() == []

    async def test_deleting_removes_one_file_of_one_job(self, store: StoreUnderTest) -> None:
        own, other = store.session().files, store.session("b" * 24).files
        for name in ("a", "b", "b/c", "c"):
            await own.put(name, name.encode())
        await other.put("b", b"other")
        assert await own.delete("b")
        assert [stored.name for stored in await own.list()] == ["a", "b/c", "c"]
        assert [await own.read(name) for name in ("a", "b/c", "c")] == [b"a", b"b/c", b"c"]
        assert await other.read("b") == b"other"

    @pytest.mark.parametrize("key", ["name", "session_id", "job_id", "sha256"])
    async def test_metadata_under_a_key_of_the_store_is_refused(self, store: StoreUnderTest, key: str) -> None:
        files = store.session().files
        with pytest.raises(InvalidNameError, match=f"the metadata key '{key}' is reserved for the store"):
            await files.put("a", b"x", metadata={key: "mine"})
        assert not await files.has("a")
