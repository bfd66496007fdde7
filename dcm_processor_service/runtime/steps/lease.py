"""The record of one step in the store: a lease while the step runs, and the pointer to its outputs when it is done.

Every change is a compare-and-set of the whole record, so only one of two runs can end a step. A lease is alive as long
as its ``beat`` changes; a waiting process measures that by its own clock, since clocks of machines differ.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dcm_processor_service.codec import modelled
from dcm_processor_service.errors import StepBusyError, StoreError, StoreUnavailableError
from dcm_processor_service.models.platform_ids import platform_id
from dcm_processor_service.models.steps import StepRecord
from dcm_processor_service.ports import ABSENT, JobKey

if TYPE_CHECKING:
    from types import TracebackType

    from dcm_processor_service.ports import DataRepository, FileRepository
    from dcm_processor_service.runtime.steps.tools import StepTiming

__all__ = ["StepLease", "overtaken"]

_LOG = logging.getLogger(__name__)

_MOST_TRIES = 5


def overtaken(name: str) -> str:
    """Returns the error message of a run whose lease another run has taken."""
    return (
        f"the step {name!r} gave no sign of life until its lease expired, and another run of this job has begun it "
        "again; try again when that run has ended"
    )


class _OneAtATime(AbstractAsyncContextManager[None]):
    """A lock for changes of the record: between threads in the blocking mode, between tasks in the asynchronous one."""

    def __init__(self, *, in_loop: bool) -> None:
        self._task_lock = asyncio.Lock() if in_loop else None
        self._thread_lock = threading.Lock()

    async def __aenter__(self) -> None:
        if self._task_lock is not None:
            await self._task_lock.acquire()
        else:
            self._thread_lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self._task_lock or self._thread_lock).release()


@dataclass
class StepLease:
    """The lease of one run on one step."""

    key: JobKey
    name: str
    digest: str
    data: DataRepository
    files: FileRepository
    timing: StepTiming
    in_loop: bool
    record: StepRecord = field(init=False)
    lost: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._own = uuid.uuid4().hex[:24]
        self._stored: dict[str, Any] = {}
        self._lock = _OneAtATime(in_loop=self.in_loop)
        self._place = JobKey(self.key.session_id, platform_id("steps", self.key.session_id, self.key.job_id))

    @property
    def outputs(self) -> JobKey:
        """The key of the outputs of this run, or of the run that ended the step."""
        return JobKey(self.key.session_id, self.record.attempt)

    async def take(self) -> None:
        """Takes the lease, or finds the step done.

        Raises:
            StepBusyError: Another run has the lease and is alive.
        """
        while True:
            found = await self.data.find(self._place, self.digest)
            if found is None:
                if await self._begin(ABSENT, attempts=1):
                    return
                continue
            before = self._read(found.value)
            if before.state == "done":
                self.record = before
                return
            if before.state == "running":
                await self._wait_for_expiry(before)
            if await self._begin(found.value, attempts=before.attempts + 1):
                await self._remove(before.attempt)  # incomplete outputs of a run that did not end
                return

    def _read(self, value: Any) -> StepRecord:
        return modelled(StepRecord, f"the record of the step {self.name!r}", value)

    async def _begin(self, expected: Any, *, attempts: int) -> bool:
        self.record = StepRecord(
            name=self.name,
            state="running",
            attempt=self._own,
            attempts=attempts,
            started_at=datetime.now(timezone.utc),
        )
        self._stored = self.record.model_dump(mode="json")
        return await self.data.put(self._place, self.digest, self._stored, expected)

    async def _wait_for_expiry(self, before: StepRecord) -> None:
        """Waits until the lease of another run has expired without a sign of life.

        Raises:
            StepBusyError: The other run gave a sign of life.
        """
        _LOG.info("the step %r was begun by another run, which may have been killed; waiting for its lease", self.name)
        ends_s = self.timing.clock() + self.timing.lease_s
        while self.timing.clock() < ends_s:
            await self.pause(min(self.timing.beat_s, 1.0))
            found = await self.data.find(self._place, self.digest)
            now = None if found is None else self._read(found.value)
            if now is None or now.state != "running":
                return  # done, failed or gone: the caller reads the record again
            if (now.attempt, now.beat) != (before.attempt, before.beat):
                raise StepBusyError(
                    f"the step {self.name!r} is being done by another run of this job, which is alive; try again when "
                    "that run has ended, to get its result"
                )

    async def pause(self, seconds: float) -> None:
        """Waits: blocks the thread in the blocking mode, awaits in the asynchronous one."""
        if self.timing.sleep is not None:
            self.timing.sleep(seconds)
        elif self.in_loop:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)  # noqa: ASYNC251  there is no loop in the blocking mode

    async def change(self, **fields: Any) -> bool:
        """Writes fields of the record; returns whether the lease is still this run's.

        A write whose answer was lost is recognised by the run's own id.
        """
        async with self._lock:
            for _ in range(_MOST_TRIES):
                if self.lost:
                    return False
                # The step has ended. Either this change ended it, and the store's answer was lost; or this is a beat
                # that comes after the end.
                if self.record.state != "running":
                    return fields.get("state") == self.record.state
                record = self.record.model_copy(update={**fields, "beat": self.record.beat + 1})
                stored = record.model_dump(mode="json")
                if await self.data.put(self._place, self.digest, stored, self._stored):
                    self.record, self._stored = record, stored
                    return True
                found = await self.data.find(self._place, self.digest)
                now = None if found is None else self._read(found.value)
                if found is None or now is None or now.attempt != self._own:
                    self.lost = True
                else:
                    self.record, self._stored = now, found.value
            raise StoreUnavailableError(f"the record of the step {self.name!r} could not be written; try again")

    async def beat(self, **fields: Any) -> bool:
        """Writes a sign of life; returns whether there is a lease to keep alive."""
        try:
            return await self.change(**fields)
        except StoreError as error:  # the next beat may succeed; the lease outlives several missed beats
            _LOG.warning("the lease of the step %r was not renewed: %s", self.name, type(error).__name__)
            return True

    async def adopt(self) -> None:
        """Removes the outputs of this run, and uses those of the other run, which ended the step meanwhile.

        Raises:
            StepBusyError: That run has not ended.
        """
        await self._remove(self._own)
        found = await self.data.find(self._place, self.digest)
        record = None if found is None else self._read(found.value)
        if record is None or record.state != "done":
            raise StepBusyError(overtaken(self.name))
        self.record = record

    async def give_up(self) -> None:
        """Ends a run that failed: removes its outputs, so that the next run may begin at once."""
        try:
            await self.change(state="failed")
            # the state is "done" if the task was cancelled after the store had written that state
            if self.record.state != "done":
                await self._remove(self._own)
        except StoreError as error:  # only logged, so that the caller gets the error that made the step fail
            _LOG.warning("the outputs of the failed step %r were not removed: %s", self.name, type(error).__name__)

    async def _remove(self, attempt: str) -> None:
        key = JobKey(self.key.session_id, attempt)
        for name, _value in await self.data.scan(key, values=False):
            await self.data.delete(key, name)
        for stored in await self.files.list(key):
            await self.files.delete(key, stored.name)
