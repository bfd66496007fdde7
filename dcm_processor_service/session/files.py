"""``session.files``: named files of a job, and of the jobs before it."""

from __future__ import annotations

import io
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from dcm_processor_service.codec import check_name, to_normal
from dcm_processor_service.disk import file_faults, write_whole
from dcm_processor_service.errors import InvalidNameError, StoredFileNotFoundError, UnsupportedValueError
from dcm_processor_service.ports import NewFile
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.file_content import opened, sniff_content_type
from dcm_processor_service.session.name_lists import listed_names

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from dcm_processor_service.models import Job, StoredFile
    from dcm_processor_service.ports import FileRepository, JobKey, Offload
    from dcm_processor_service.session.file_content import FileContent
    from dcm_processor_service.session.functions import FileFormats
    from dcm_processor_service.session.jobs import AsyncJobs
    from dcm_processor_service.session.scratch import Scratch

__all__ = ["AsyncFiles", "Files", "put_file"]

RESERVED_METADATA = frozenset({"name", "session_id", "job_id", "sha256"})


class AsyncFiles:
    """Named files, for asynchronous callbacks; :class:`Files` explains them.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context
        >>> async def keep(ctx):
        ...     await ctx.session.files.put("report.txt", b"no finding")
        ...     return await ctx.session.files.read("report.txt")
        >>> asyncio.run(keep(fake_async_context()))
        b'no finding'
    """

    def __init__(
        self,
        jobs: AsyncJobs,
        repository: FileRepository,
        formats: Callable[[], FileFormats],
        offload: Offload,
        scratch: Scratch,
    ) -> None:
        self._jobs = jobs
        self._repository = repository
        self._formats = formats
        self._offload = offload
        self._scratch = scratch

    async def put(
        self,
        name: str,
        content: FileContent,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> StoredFile:
        """Stores a file; see :meth:`Files.put`."""
        return await put_file(
            self._repository, self._jobs.key, self._offload, name, content, content_type=content_type, metadata=metadata
        )

    async def get(self, name: str, to: str | os.PathLike[str], *, job: str | Job | None = None) -> Path:
        """Downloads a file; see :meth:`Files.get`."""
        check_name(name, "file")
        target = Path(to)
        with file_faults(target, "written"):
            if target.is_dir():
                target = target / PurePosixPath(name).name
        with write_whole(target) as sink:
            await self._fetch(name, sink, job)
        return target

    async def read(self, name: str, *, job: str | Job | None = None) -> bytes:
        """Returns the content; see :meth:`Files.read`."""
        sink = io.BytesIO()
        await self._fetch(check_name(name, "file"), sink, job)
        return sink.getvalue()

    @asynccontextmanager
    async def open(self, name: str, *, job: str | Job | None = None) -> AsyncIterator[BinaryIO]:
        """Returns the content as an open file; see :meth:`Files.open`."""
        check_name(name, "file")
        # The content goes into the scratch, which a later process removes if this one is killed. A SpooledTemporaryFile
        # would lack methods of a file before Python 3.11.
        with self._scratch.temporary() as folder:
            path = await self.get(name, folder / "content", job=job)
            with file_faults(path, "read"):
                content = path.open("r+b")
            with content:
                yield content

    async def _fetch(self, name: str, sink: BinaryIO, job: str | Job | None) -> StoredFile:
        stored = await self._repository.fetch(await self._jobs.output_key(job), name, sink)
        return await self._found(stored, name, job)

    async def _found(self, stored: StoredFile | None, name: str, job: str | Job | None) -> StoredFile:
        if stored is None:
            whose = "this job" if job is None else f"the job {getattr(job, 'name', job)!r}"
            names = listed_names([one.name for one in await self.list(job=job)])
            raise StoredFileNotFoundError(f"{whose} has no file named {name!r}; it has: {names}; correct the name")
        return stored

    async def info(self, name: str, *, job: str | Job | None = None) -> StoredFile:
        """Returns size, type, checksum and metadata; see :meth:`Files.info`."""
        stored = await self._repository.find(await self._jobs.output_key(job), check_name(name, "file"))
        return await self._found(stored, name, job)

    async def has(self, name: str, *, job: str | Job | None = None) -> bool:
        """Returns whether there is a file; see :meth:`Files.has`."""
        check_name(name, "file")
        key = await self._jobs.output_key_if_any(job)
        return key is not None and await self._repository.find(key, name) is not None

    async def delete(self, name: str) -> bool:
        """Removes a file; see :meth:`Files.delete`."""
        return await self._repository.delete(self._jobs.key, check_name(name, "file"))

    async def save(self, name: str, value: object, *, metadata: Mapping[str, Any] | None = None) -> StoredFile:
        """Stores a value as a file; see :meth:`Files.save`."""
        check_name(name, "file")
        with self._scratch.temporary() as folder:
            path = Path(folder, PurePosixPath(name).name)
            await self._offload(lambda: self._formats().write(value, path))
            return await self.put(name, path, metadata=metadata)

    async def load(self, name: str, *, job: str | Job | None = None) -> Any:
        """Reads a value from a file; see :meth:`Files.load`."""
        with self._scratch.temporary() as folder:
            path = await self.get(check_name(name, "file"), folder, job=job)
            return await self._offload(lambda: self._formats().read(path))

    async def list(self, *, job: str | Job | None = None) -> list[StoredFile]:
        """Lists the files by name; see :meth:`Files.list`."""
        return await self._repository.list(await self._jobs.output_key(job))


async def put_file(
    repository: FileRepository,
    key: JobKey,
    offload: Offload,
    name: str,
    content: FileContent,
    *,
    content_type: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    extension: str = "",
) -> StoredFile:
    """Stores a file as :meth:`Files.put` does; inside the store, its name ends with ``extension``."""
    check_name(name, "file")
    extra = to_normal(metadata or {})
    if not isinstance(extra, dict) or not isinstance(content_type or "", str):
        raise UnsupportedValueError("metadata must be a dictionary, and content_type a text such as application/pdf")
    if clash := sorted(RESERVED_METADATA & extra.keys()):
        raise InvalidNameError(f"the metadata key {clash[0]!r} is reserved for the store; choose another")
    with opened(content) as source:
        kind = to_normal(content_type or await offload(lambda: sniff_content_type(name, source)))
        new = NewFile(content_type=kind, metadata=extra, extension=to_normal(extension))
        return await repository.put(key, name, source, new)


class Files:
    """Named files of this job, and of the jobs before it.

    Replacing a file is atomic: a reader sees the old content or the new one, even if the process crashes at any point.
    A name may contain folders (``masks/liver.nii.gz``). A name that would lead out of the folder that a file is
    downloaded into, such as ``../liver.nii.gz``, is refused.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> files = fake_context().session.files
        >>> files.put("report.txt", b"no finding").size_bytes
        10
        >>> files.save("box.json", {"size_mm": [10, 20, 30]}).content_type
        'application/json'
        >>> files.load("box.json")["size_mm"], files.read("report.txt")
        ([10, 20, 30], b'no finding')
    """

    def __init__(self, files: AsyncFiles) -> None:
        self._async = files

    def put(
        self,
        name: str,
        content: FileContent,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> StoredFile:
        """Stores a file; replaces an earlier one of that name.

        Args:
            name: The file's name.
            content: A path, bytes, or a file opened with ``rb``, which is read from its current position and left open.
            content_type: The type, such as ``application/pdf``; None finds it from the content or the name.
            metadata: Values to keep with the file.

        Raises:
            InvalidNameError: The name, or a key of the metadata, is not allowed.
            LocalFileError: The file at the path cannot be read; LocalFileNotFoundError if there is none.
        """
        return run_inline(self._async.put(name, content, content_type=content_type, metadata=metadata))

    def get(self, name: str, to: str | os.PathLike[str], *, job: str | Job | None = None) -> Path:
        """Downloads a file to a path, or into a folder under its own name; returns the path.

        The file appears under its name only when the content is complete and its checksum is right.

        Raises:
            StoredFileNotFoundError: There is no file of that name.
            StoredValueError: The content is damaged.
            LocalFileError: The file cannot be written.
            JobNotFoundError: This job's subject has no such job; AmbiguousJobError if several jobs match.
            UpstreamFailedError: The other job failed.
        """
        return run_inline(self._async.get(name, to, job=job))

    def read(self, name: str, *, job: str | Job | None = None) -> bytes:
        """Returns the content; raises the errors that :meth:`get` raises."""
        return run_inline(self._async.read(name, job=job))

    def open(self, name: str, *, job: str | Job | None = None) -> AbstractContextManager[BinaryIO]:
        """Opens the content as a file on disk, which is removed at the end of the block.

        Raises the errors that :meth:`get` raises.
        """
        return self._open(name, job)

    @contextmanager
    def _open(self, name: str, job: str | Job | None) -> Iterator[BinaryIO]:
        manager = self._async.open(name, job=job)
        stream = run_inline(manager.__aenter__())
        try:
            yield stream
        finally:
            run_inline(manager.__aexit__(None, None, None))

    def info(self, name: str, *, job: str | Job | None = None) -> StoredFile:
        """Returns size, type, checksum and metadata without the content; raises the errors that :meth:`get` raises."""
        return run_inline(self._async.info(name, job=job))

    def has(self, name: str, *, job: str | Job | None = None) -> bool:
        """Returns whether there is a file of that name."""
        return run_inline(self._async.has(name, job=job))

    def delete(self, name: str) -> bool:
        """Removes a file; returns whether there was one."""
        return run_inline(self._async.delete(name))

    def save(self, name: str, value: object, *, metadata: Mapping[str, Any] | None = None) -> StoredFile:
        """Stores a value as a file, in the format that the extension names.

        ``.nii`` and ``.nii.gz`` take a nibabel image, ``.npy`` an array, ``.npz`` a dictionary of arrays, ``.dcm`` a
        pydicom dataset, ``.json`` any value that session data can hold, ``.txt``, ``.md``, ``.csv`` and ``.html`` text.

        Raises:
            UnsupportedValueError: The extension is unknown, or the value does not fit it.
        """
        return run_inline(self._async.save(name, value, metadata=metadata))

    def load(self, name: str, *, job: str | Job | None = None) -> Any:
        """Reads a value that :meth:`save` stored; the whole value is read into memory.

        Raises:
            StoredValueError: The content does not have the format that the extension names.
        """
        return run_inline(self._async.load(name, job=job))

    def list(self, *, job: str | Job | None = None) -> list[StoredFile]:
        """Lists the files by name."""
        return run_inline(self._async.list(job=job))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.has(name)
