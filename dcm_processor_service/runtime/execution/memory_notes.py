"""Records in the session that a job's memory ran short, so that ``sessions why`` can name the cause if it is killed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dcm_processor_service.codec import to_normal
from dcm_processor_service.memory_records import MEMORY_RECORD
from dcm_processor_service.ports import ANY
from dcm_processor_service.ports.concurrency import run_inline

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.memory_records import MemoryRecord
    from dcm_processor_service.runtime.container import Container

__all__ = ["noting"]


def noting(container: Container) -> Callable[[MemoryRecord], None]:
    """Returns a function that stores a record among the data of the container's job.

    The store is opened only when the returned function is called.

    In an asynchronous job, ``noting`` must be called in the job's event loop. The returned function is called in the
    thread that watches the memory. It only schedules the write on that loop and does not wait for it, because at the
    end of the job the loop's thread waits for the watching thread, and so both would wait for ever.
    """

    async def put(record: MemoryRecord) -> None:
        await container.data_repository().put(container.job_key(), MEMORY_RECORD, to_normal(record.as_value()), ANY)

    if container.mode() == "blocking":
        return lambda record: run_inline(put(record))
    loop = asyncio.get_running_loop()

    def begin(record: MemoryRecord) -> None:
        asyncio.run_coroutine_threadsafe(put(record), loop)

    return begin
