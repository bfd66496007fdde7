"""The journal of a sending: the instances that a peer acknowledged, and those under way when a process ended.

It is stored in the job's data, under names hidden from the job. It consists of segments: each process that sends writes
its own, so that no process overwrites the records of another.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dcm_processor_service.codec import from_normal, to_normal
from dcm_processor_service.models import InstanceRecord  # noqa: TC001  pydantic reads it
from dcm_processor_service.ports import ANY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dcm_processor_service.ports import DataRepository
    from dcm_processor_service.ports.stores import JobKey

__all__ = ["SEGMENT_RECORDS", "Journal"]

SEGMENT_RECORDS = 64
"""The most records in one segment, so that each record costs one small write, however many records there are."""


@dataclass
class _Segment:
    records: list[InstanceRecord] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    finished: bool = False


class Journal:
    """Records one sending for this process, for later processes and for processes that send at the same time."""

    def __init__(self, repository: DataRepository, job: JobKey, key: str) -> None:
        self._repository = repository
        self._job = job
        self._prefix = f"{key}/"
        self._own = secrets.token_hex(8)
        self._segment = _Segment()
        self._number = 0
        self._under_way: dict[str, None] = {}
        self._written: frozenset[str] = frozenset()
        self._before: dict[str, _Segment] = {}
        self._others: set[str] = set()

    async def read(self) -> dict[str, InstanceRecord]:
        """Returns the records of acknowledged instances, by SOPInstanceUID; if one was sent twice, the later record.

        If other processes have finished this sending, its records are removed and the result is empty.
        """
        self._before = await self._read()
        if self._before and all(self._is_finished(writer, self._before) for writer in _writers(self._before)):
            await self.forget_all()
        records = [record for segment in self._before.values() for record in segment.records]
        self._others = _uids(self._before.values())
        return {record.sop_instance_uid: record for record in sorted(records, key=_answered)}

    async def forget_all(self) -> None:
        """Removes the records that :meth:`read` found."""
        for name in self._before:
            await self._repository.delete(self._job, self._prefix + name)
        self._before, self._others = {}, set()

    async def begin(self, sop_instance_uids: Sequence[str]) -> None:
        """Records that instances are under way, before any is sent; writes nothing if the first is recorded already."""
        self._under_way.update(dict.fromkeys(sop_instance_uids))
        if not self._written.issuperset(sop_instance_uids[:1]):
            await self._write()

    async def note(self, record: InstanceRecord) -> None:
        """Records an acknowledgement, and that the instance is no longer under way.

        An instance that was sent and not answered is still recorded as under way, because the peer may have stored it.
        """
        uid = record.sop_instance_uid
        if record.outcome.acknowledged:
            await self._append(record)
        elif record.status is not None or not record.attempts:
            self._under_way.pop(uid, None)
            if uid in self._written:
                await self._write()

    async def _append(self, record: InstanceRecord) -> None:
        self._under_way.pop(record.sop_instance_uid, None)
        if len(self._segment.records) >= SEGMENT_RECORDS:
            self._number += 1
            self._segment = _Segment()
        self._segment.records.append(record)
        await self._write()

    async def may_hold(self, sop_instance_uid: str) -> bool:
        """Returns whether another of our processes has sent the instance, or may have; the peer may hold it then."""
        if sop_instance_uid not in self._others:
            found = await self._read()
            others = [segment for name, segment in found.items() if _writer(name) != self._own]
            self._others |= _uids(others)
        return sop_instance_uid in self._others

    async def finish(self) -> None:
        """Removes the records, because the peer has stored all instances.

        If another process is still sending them, it needs the records. Then these are kept, and the records of this
        process are marked as finished.
        """
        now = await self._read()
        others = {writer for writer in _writers(now) if writer != self._own}
        busy = {
            writer
            for writer in others
            if not self._is_finished(writer, now) and _of(writer, now) != _of(writer, self._before)
        }
        if busy:
            self._segment.finished = True
            self._under_way.clear()
            await self._write()
            return
        for name in now:
            await self._repository.delete(self._job, self._prefix + name)

    @staticmethod
    def _is_finished(writer: str, segments: dict[str, _Segment]) -> bool:
        return any(segment.finished for segment in _of(writer, segments).values())

    async def _write(self) -> None:
        segment = self._segment
        segment.under_way = list(self._under_way)
        value: dict[str, object] = {
            "records": [record.model_dump(mode="json", exclude_defaults=True) for record in segment.records],
            "under_way": segment.under_way,
            "finished": segment.finished,
        }
        name = f"{self._prefix}{self._own}-{self._number:06}"
        await self._repository.put(self._job, name, to_normal(value), ANY)
        self._written = frozenset(segment.under_way)

    async def _read(self) -> dict[str, _Segment]:
        rows = await self._repository.scan(self._job, values=False)
        found: dict[str, _Segment] = {}
        for name, _ in rows:
            if name.startswith(self._prefix):
                stored = await self._repository.find(self._job, name)
                if stored is not None:
                    found[name.removeprefix(self._prefix)] = from_normal(stored.value, _Segment, name)
        return found


def _writers(segments: dict[str, _Segment]) -> set[str]:
    return {_writer(name) for name in segments}


def _writer(name: str) -> str:
    return name.partition("-")[0]


def _of(writer: str, segments: dict[str, _Segment]) -> dict[str, _Segment]:
    return {name: segment for name, segment in segments.items() if _writer(name) == writer}


def _uids(segments: Iterable[_Segment]) -> set[str]:
    """Returns the instances that were acknowledged, or under way at the last write of their process."""
    uids: set[str] = set()
    for segment in segments:
        uids.update(record.sop_instance_uid for record in segment.records)
        uids.update(segment.under_way)
    return uids


def _answered(record: InstanceRecord) -> str:
    return "" if record.completed_at is None else record.completed_at.isoformat()
