"""Session files through the functions."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from gridfs import GridFSBucket

import dcm_processor_service as sdk

from .catalogue import case, defect, job_id

if TYPE_CHECKING:
    from .catalogue import Bench


def _documents(bench: Bench, name: str) -> list[dict[str, Any]]:
    query = {"metadata.name": name, "metadata.job_id": ObjectId(job_id())}
    return list(bench.database["sessionfiles.files"].find(query))


def _stored(bench: Bench, name: str) -> bytes:
    """The content as it lies in the database, past the functions."""
    (document,) = _documents(bench, name)
    return GridFSBucket(bench.database, "sessionfiles").open_download_stream(document["_id"]).read()


class BreakingFile(BytesIO):
    """A source that fails after its first part."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 0:
            raise OSError("the disk is gone")
        return super().read(min(size, 4) if size and size > 0 else 4)


@case
def a_path_is_stored(bench: Bench) -> None:
    path = bench.folder / "path.txt"
    path.write_bytes(b"from a path")
    assert isinstance(sdk.upload_session_file(str(path), "path.txt"), ObjectId)
    assert _stored(bench, "path.txt") == b"from a path"
    sdk.upload_session_file(path, "path-like.txt")
    assert _stored(bench, "path-like.txt") == b"from a path"


@case
def an_open_memory_file_is_stored_from_its_start(bench: Bench) -> None:
    source = BytesIO(b"all of it")
    source.seek(4)
    assert isinstance(sdk.upload_session_file(source, "memory.bin"), ObjectId)
    assert _stored(bench, "memory.bin") == b"all of it"


@case
def bytes_with_a_content_type_are_stored(bench: Bench) -> None:
    uploaded = sdk.upload_session_file(b"content", "typed.bin", content_type="application/x-test")
    assert isinstance(uploaded, ObjectId)
    (document,) = _documents(bench, "typed.bin")
    assert document["_id"] == uploaded
    assert document["contentType"] == "application/x-test"
    assert _stored(bench, "typed.bin") == b"content"


@defect(4)
def bytes_are_stored(bench: Bench) -> None:
    sdk.upload_session_file(b"plain bytes", "bytes.bin")
    assert _stored(bench, "bytes.bin") == b"plain bytes"


@case
def meta_and_extension_are_kept(bench: Bench) -> None:
    sdk.upload_session_file(BytesIO(b"x"), "meta.bin", meta={"threshold": 0.5}, ext=".dat")
    (document,) = _documents(bench, "meta.bin")
    assert document["metadata"]["threshold"] == 0.5
    assert document["filename"].endswith(".dat")


@case
def a_second_upload_replaces_the_first(bench: Bench) -> None:
    sdk.upload_session_file(BytesIO(b"old"), "replaced.bin")
    sdk.upload_session_file(BytesIO(b"new"), "replaced.bin")
    assert _stored(bench, "replaced.bin") == b"new"


@defect(1)
def an_uploaded_file_is_found(_bench: Bench) -> None:
    sdk.upload_session_file(BytesIO(b"found"), "found.bin", meta={"colour": "blue"})
    assert sdk.has_session_file("found.bin") is True
    document = sdk.get_session_file("found.bin")
    assert document is not None
    assert document["metadata"]["name"] == "found.bin"
    assert document["metadata"]["colour"] == "blue"
    assert document["length"] == len(b"found")


@defect(1)
def selected_fields_alone_are_given(_bench: Bench) -> None:
    sdk.upload_session_file(BytesIO(b"selected"), "selected.bin")
    document = sdk.get_session_file("selected.bin", select=["length"])
    assert document is not None
    assert set(document) == {"_id", "length"}


@defect(1)
def an_uploaded_file_is_downloaded(bench: Bench) -> None:
    sdk.upload_session_file(BytesIO(b"down"), "down.bin")
    content = sdk.download_session_file("down.bin")
    assert isinstance(content, BytesIO)
    assert content.read() == b"down"
    path = bench.folder / "down.bin"
    assert sdk.download_session_file("down.bin", filename=str(path)) is None
    assert path.read_bytes() == b"down"


@defect(1)
def an_uploaded_file_is_removed(bench: Bench) -> None:
    sdk.upload_session_file(BytesIO(b"gone"), "gone.bin")
    (document,) = _documents(bench, "gone.bin")
    assert sdk.remove_session_file("gone.bin") is True
    assert not _documents(bench, "gone.bin")
    assert bench.database["sessionfiles.chunks"].find_one({"files_id": document["_id"]}) is None
    assert sdk.has_session_file("gone.bin") is False


@defect(3)
def a_file_of_another_job_is_that_of_the_own_series(bench: Bench) -> None:
    assert sdk.has_session_file("series.txt", job_name="producer") is True
    content = sdk.download_session_file("series.txt", job_name="producer")
    assert content is not None
    assert content.read().decode() == bench.headers["SeriesInstanceUID"]


@case
def an_absent_file_is_none(bench: Bench) -> None:
    assert sdk.has_session_file("absent.bin") is False
    assert sdk.get_session_file("absent.bin") is None
    assert sdk.download_session_file("absent.bin") is None
    assert sdk.download_session_file("absent.bin", filename=str(bench.folder / "absent.bin")) is None
    assert not (bench.folder / "absent.bin").exists()
    assert not sdk.remove_session_file("absent.bin")


@defect(5)
def a_failed_upload_leaves_the_version_before(bench: Bench) -> None:
    sdk.upload_session_file(BytesIO(b"the good version"), "kept.bin", content_type="text/plain")
    try:
        sdk.upload_session_file(BreakingFile(b"the bad version"), "kept.bin", content_type="text/plain")
    except OSError as error:
        assert "disk" in str(error)  # noqa: PT017  a case runs where there is no pytest
    else:
        raise AssertionError("stored")
    assert _stored(bench, "kept.bin") == b"the good version"


@defect(6)
def what_the_caller_gave_is_left_alone(bench: Bench) -> None:
    source, meta = BytesIO(b"mine"), {"colour": "blue"}
    sdk.upload_session_file(source, "mine.bin", meta=meta)
    assert meta == {"colour": "blue"}
    assert not source.closed
    assert _stored(bench, "mine.bin") == b"mine"
