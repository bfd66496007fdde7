"""Fills a context's store before a test begins: output of other jobs, data and files of the job itself."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from dcm_processor_service.codec import check_name, to_normal
from dcm_processor_service.models import Job, JobState
from dcm_processor_service.models.platform_ids import platform_id
from dcm_processor_service.ports import ANY, JobKey, inline
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.files import put_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dcm_processor_service.ports import Backend
    from dcm_processor_service.session.file_content import FileContent
    from dcm_processor_service.session.functions import FileFormats

__all__ = ["store_output", "upstream_jobs"]


def upstream_jobs(names: Mapping[str, object], own: Job) -> tuple[Job, ...]:
    """Returns a finished job for each name, with the subject of the job itself."""
    return tuple(
        Job(
            id=platform_id("upstream", own.session_id, name),
            session_id=own.session_id,
            name=name,
            event=own.event,
            service_name=own.service_name,
            state=JobState.DONE,
            subject=own.subject,
            progress_percent=100,
        )
        for name in names
    )


def store_output(
    backend: Backend, formats: Callable[[], FileFormats], key: JobKey, data: Mapping[str, Any], files: Mapping[str, Any]
) -> None:
    """Stores data and files as the output of a job.

    Args:
        backend: A backend over memory.
        formats: Returns the functions that turn values into files; called only if a value needs it.
        key: The key of the job.
        data: Values by name, as for ``session.data``.
        files: Contents by name: bytes, a path, an open file, or a value as for ``files.save``.
    """
    for name, value in data.items():
        run_inline(backend.data.put(key, check_name(name, "data"), to_normal(value), ANY))
    for name, content in files.items():
        if isinstance(content, (bytes, bytearray, Path, io.BufferedIOBase)):
            run_inline(put_file(backend.files, key, inline, name, cast("FileContent", content)))
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, PurePosixPath(check_name(name, "file")).name)
            formats().write(content, path)
            run_inline(put_file(backend.files, key, inline, name, path))
