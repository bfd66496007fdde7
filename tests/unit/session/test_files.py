"""``session.files``: content that is stored and read back, and the state after a failure."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tempfile
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from dcm_processor_service.backends.memory import MemoryFileRepository
from dcm_processor_service.errors import (
    InvalidNameError,
    JobNotFoundError,
    LocalFileError,
    LocalFileNotFoundError,
    StoredFileNotFoundError,
    StoredValueError,
    UnsupportedValueError,
)
from dcm_processor_service.ports import JobKey, NewFile
from dcm_processor_service.ports.concurrency import inline, run_inline
from dcm_processor_service.session.file_content import sniff_content_type
from dcm_processor_service.session.files import put_file
from dcm_processor_service.testing import fake_context, synthetic_series
from tests.parameters import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service import Container
    from dcm_processor_service.models import StoredFile
    from dcm_processor_service.session.files import Files


@pytest.fixture
def files() -> Files:
    return fake_context().session.files


def dicom_file() -> bytes:
    content = io.BytesIO()
    synthetic_series(slices=1)[0].save_as(content, enforce_file_format=True)
    return content.getvalue()


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("a.txt", "b" * 9000)
    return content.getvalue()


PDF = b"%PDF-1.7\n1 0 obj\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(20)
NIFTI = (348).to_bytes(4, "little") + bytes(340) + b"n+1\0" + bytes(20)


@pytest.mark.parametrize(
    ("name", "content", "content_type"),
    [
        ("a.dcm", dicom_file(), "application/dicom"),
        ("IM0001", dicom_file(), "application/dicom"),
        ("wrong.pdf", dicom_file(), "application/dicom"),
        ("a.pdf", PDF, "application/pdf"),
        ("report", PDF, "application/pdf"),
        ("wrong.json", PDF, "application/pdf"),
        ("a.png", PNG, "image/png"),
        ("preview", PNG, "image/png"),
        ("a.jpg", JPEG, "image/jpeg"),
        ("a.json", b'{"a": 1}', "application/json"),
        ("a.txt", "Grüße".encode(), "text/plain"),
        ("a.txt", b"", "text/plain"),
        ("empty", b"", "application/octet-stream"),
        ("a.csv", b"a,b\n1,2\n", "text/csv"),
        ("a.html", b"<html><body>x</body></html>", "text/html"),
        ("a.nii", NIFTI, "application/octet-stream"),
        ("volume", bytes(range(256)), "application/octet-stream"),
        ("a.zip", archive(), "application/zip"),
        ("bundle", archive(), "application/zip"),
        ("a.npz", archive(), "application/zip"),
        ("one", b"x", "application/octet-stream"),
    ],
)
def test_the_content_type_follows_from_the_content(files: Files, name: str, content: bytes, content_type: str) -> None:
    assert files.put(name, content).content_type == content_type


@pytest.mark.parametrize("name", ["a.nii.gz", "masks/liver.nii.gz", "noextension"])
def test_gzip_is_gzip_whatever_is_inside(files: Files, name: str) -> None:
    assert files.put(name, gzip.compress(NIFTI)).content_type in {"application/gzip", "application/x-gzip"}


def test_a_given_content_type_is_taken(files: Files) -> None:
    assert files.put("a.json", b"{}", content_type="text/x-own").content_type == "text/x-own"


class Stream:
    """A stream that can be read once, as one from a network."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return self._content.read(size)


class NotSeekable(Stream):
    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("kind", [Stream, NotSeekable])
def test_a_stream_that_cannot_go_back_is_stored_whole(files: Files, kind: type[Stream]) -> None:
    stream: Any = kind(PDF)
    stored = files.put("report.pdf", stream)
    assert (stored.size_bytes, stored.content_type) == (len(PDF), "application/pdf")
    assert files.read("report.pdf") == PDF
    assert not stream.closed


def test_a_pipe_is_stored(files: Files) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"from another process")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        files.put("piped", pipe)
    assert files.read("piped") == b"from another process"


def test_the_callers_file_is_read_from_where_it_is_and_left_open(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"head" + PNG)
    with path.open("rb") as source:
        source.seek(4)
        assert files.put("a.png", source).content_type == "image/png"
        assert not source.closed
        assert files.put("rest", source).size_bytes == 0  # it is at its end now
    assert files.read("a.png") == PNG
    buffer = io.BytesIO(b"ab")
    files.put("b", buffer)
    assert not buffer.closed


@pytest.mark.parametrize("make", [lambda: io.BytesIO(b"x" * 10), tempfile.SpooledTemporaryFile, tempfile.TemporaryFile])
def test_any_open_binary_file_is_taken(files: Files, make: Callable[[], BinaryIO]) -> None:
    with make() as source:
        source.write(b"0123456789")
        source.seek(3)
        assert files.put("a", source).size_bytes == 7


def test_an_opened_file_can_be_put_again_and_used_as_a_file(files: Files) -> None:
    files.put("a.zip", archive())
    with files.open("a.zip") as stream:
        assert stream.readable()
        assert stream.seekable()
        assert files.put("copy.zip", stream).size_bytes == len(archive())
        assert zipfile.ZipFile(stream).namelist() == ["a.txt"]
        assert stream.seek(0, os.SEEK_END) == len(archive())
    assert stream.closed
    files.put("t.txt", b"Zeile\n")
    with files.open("t.txt") as stream, io.TextIOWrapper(stream, encoding="utf-8") as text:
        assert text.readline() == "Zeile\n"


@pytest.mark.parametrize("content_type", [None, "text/plain"])
def test_a_file_opened_as_text_is_refused(files: Files, tmp_path: Path, content_type: str | None) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x", encoding="utf-8")
    with path.open(encoding="utf-8") as source:
        given: Any = source
        with pytest.raises(UnsupportedValueError, match="open it with 'rb'"):
            files.put("a.txt", given, content_type=content_type)
    text: Any = io.StringIO("x")
    with pytest.raises(UnsupportedValueError, match="open it with 'rb'"):
        files.put("a.txt", text, content_type=content_type)
    assert files.list() == []


@pytest.mark.parametrize("content", [None, 3, {"a": 1}, ["a"]], ids=shown)
def test_a_value_that_is_no_content_is_refused_with_the_remedy(files: Files, content: Any) -> None:
    with pytest.raises(UnsupportedValueError, match=r"give a path, bytes or a file .*files\.save"):
        files.put("a", content)


def test_a_path_that_is_not_there_is_the_builtin_error(files: Files, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.put("a", tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        files.put("a", str(tmp_path / "missing"))
    assert "a" not in files


@pytest.mark.parametrize("key", ["name", "session_id", "job_id", "sha256"])
def test_the_stores_own_metadata_keys_are_reserved(files: Files, key: str) -> None:
    with pytest.raises(InvalidNameError, match=f"metadata key '{key}'"):
        files.put("a", b"", metadata={key: "x", "fine": 1})
    with pytest.raises(InvalidNameError):
        files.save("a.json", {}, metadata={key: "x"})
    assert files.list() == []


def test_metadata_takes_the_normal_form_and_the_callers_stays_untouched(files: Files) -> None:
    metadata: dict[str, Any] = {"spacing_mm": (1, 2), "inner": {"a": [1]}}
    stored = files.put("a", b"", metadata=metadata)
    assert stored.metadata == {"spacing_mm": [1, 2], "inner": {"a": [1]}}
    assert metadata == {"spacing_mm": (1, 2), "inner": {"a": [1]}}
    assert "spacing" not in repr(stored)
    with pytest.raises(UnsupportedValueError, match=r"value\['bad'\]"):
        files.put("b", b"", metadata={"bad": object()})


def test_a_download_goes_to_a_path_or_into_a_folder(files: Files, tmp_path: Path) -> None:
    files.put("masks/liver.nii", NIFTI)
    into = files.get("masks/liver.nii", tmp_path)
    assert into == tmp_path / "liver.nii"
    target = tmp_path / "new" / "folder" / "x.nii"
    assert files.get("masks/liver.nii", str(target)) == target
    assert target.read_bytes() == NIFTI
    target.write_bytes(b"older")
    files.get("masks/liver.nii", target)
    assert target.read_bytes() == NIFTI
    assert [path.name for path in target.parent.iterdir()] == ["x.nii"]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


class Cutting(MemoryFileRepository):
    """A store whose connection breaks after some bytes."""

    async def fetch(self, key: JobKey, name: str, sink: BinaryIO) -> StoredFile | None:
        sink.write(b"half of i")
        raise StoredValueError("the connection broke")


def test_a_failed_download_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    def customise(container: Container) -> None:
        backend = container.backend()
        container.backend.override(replace(backend, files=Cutting()))

    files = fake_context(customise=customise).session.files
    target = tmp_path / "x.nii"
    target.write_bytes(b"older")
    for attempt in (lambda: files.get("a", target), lambda: files.load("a.nii"), lambda: files.read("a")):
        with pytest.raises(StoredValueError, match="the connection broke"):
            attempt()
    with pytest.raises(StoredValueError), files.open("a"):
        raise AssertionError("never entered")
    assert [path.name for path in tmp_path.iterdir()] == ["x.nii"]
    assert target.read_bytes() == b"older"


def test_an_absent_value_is_reported_with_the_job_that_lacks_it(files: Files, tmp_path: Path) -> None:
    with pytest.raises(
        StoredFileNotFoundError, match=r"this job has no file named 'a'; it has: none; correct the name"
    ):
        files.get("a", tmp_path / "a")
    files.put("b.txt", b"b")
    with pytest.raises(StoredFileNotFoundError, match=r"no file named 'a'; it has: 'b\.txt'; correct the name"):
        files.get("a", tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="this job has no file"):
        files.load("a.nii")
    assert files.delete("a") is False
    assert "a" not in files
    assert 3 not in files
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_checked_wherever_it_is_given(files: Files, tmp_path: Path) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: files.put("../a", b""),
        lambda: files.get("../a", tmp_path),
        lambda: files.read("../a"),
        lambda: files.info("../a"),
        lambda: files.has("../a"),
        lambda: files.delete("../a"),
        lambda: files.save("../a.json", {}),
        lambda: files.load("../a.json"),
        lambda: files.open("../a").__enter__(),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidNameError, match=r"^file name '\.\./a.* is not allowed"):
            attempt()


def test_what_a_path_or_an_open_file_holds_is_looked_at_too(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(PDF)
    with path.open("rb") as opened:
        assert [files.put("x", given).content_type for given in (path, str(path), opened)] == ["application/pdf"] * 3
    assert files.read("x") == PDF


@pytest.mark.parametrize("fails", ["seekable", "tell", "seek", "read"])
def test_a_stream_that_fails_raises_with_its_name(files: Files, fails: str) -> None:
    class Failing(io.BytesIO):
        name = "scan.bin"

    def fail(*_arguments: object) -> None:
        raise OSError(5, "Input/output error")

    stream = Failing(PDF)
    setattr(stream, fails, fail)
    with pytest.raises(LocalFileError, match=r"scan\.bin.*Input/output error"):
        files.put("x", stream)
    assert not files.has("x")


def test_sniffing_leaves_the_position() -> None:
    source = io.BytesIO(b"12" + PDF)
    source.seek(2)
    assert sniff_content_type("x", source) == "application/pdf"
    assert source.tell() == 2


class Reading:
    """A stream whose ``read`` returns or raises one given object."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def read(self, _size: int = -1) -> Any:
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


def closed() -> BinaryIO:
    stream = io.BytesIO(b"x")
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("", LocalFileError),
        ("none/such", LocalFileNotFoundError),
        ("nul\0", LocalFileError),
        ("\ud800", LocalFileError),
        (closed(), LocalFileError),
        (Reading(OSError(5, "Input/output error")), LocalFileError),
        (Reading(ValueError("not open")), LocalFileError),
        (Reading("text"), UnsupportedValueError),
        (Reading(None), UnsupportedValueError),
        (5, UnsupportedValueError),
        (None, UnsupportedValueError),
        ([b"x"], UnsupportedValueError),
    ],
    ids=lambda item: item if isinstance(item, str) else type(item).__name__,
)
def test_content_that_cannot_be_read_is_refused(files: Files, content: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        files.put("a.txt", content)
    assert files.list() == []


def test_every_second_byte_of_a_memoryview_is_stored(files: Files) -> None:
    files.put("a", memoryview(b"abcdef")[::2])
    assert files.read("a") == b"ace"


@pytest.mark.parametrize(
    "given", [{"metadata": [1]}, {"metadata": {1: 2}}, {"content_type": 5}, {"content_type": "\ud800"}], ids=repr
)
def test_metadata_that_no_store_can_keep_is_refused(files: Files, given: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedValueError):
        files.put("a", b"x", **given)
    assert files.list() == []


@pytest.mark.parametrize("target", ["file/below", "nul\0", "\ud800", "n" * 300])
def test_a_download_to_a_place_that_takes_no_file_is_refused(files: Files, tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    files.put("a", b"x")
    with pytest.raises(LocalFileError):
        files.get("a", tmp_path / target)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("job", [5, b"segment", ["segment"]])
def test_a_job_argument_that_is_neither_a_name_nor_a_job_is_refused(files: Files, job: Any) -> None:
    with pytest.raises(JobNotFoundError, match="is not a job; give a name"):
        files.read("a", job=job)


def test_a_file_of_the_former_interface_keeps_the_extension_that_it_was_given() -> None:
    noted: list[Any] = []

    class Noting:
        async def put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> Any:
            noted.append((key, name, source.read(), new))

    repository: Any = Noting()
    key = JobKey("5e" * 12, "1b" * 12)
    run_inline(
        put_file(
            repository, key, inline, "mask", b"data", content_type="image/x", metadata={"n": 1}, extension=".nii.gz"
        )
    )
    assert noted == [(key, "mask", b"data", NewFile("image/x", {"n": 1}, ".nii.gz"))]
