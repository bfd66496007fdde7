"""Stores storage commitment transactions in the data of the jobs that began them, under names hidden from the jobs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcm_processor_service.codec import from_normal, to_normal
from dcm_processor_service.models import InstanceRecord, StorageCommitment
from dcm_processor_service.ports import ANY

if TYPE_CHECKING:
    from dcm_processor_service.ports import DataRepository
    from dcm_processor_service.ports.stores import JobKey

__all__ = ["PART_RECORDS", "CommitmentStore"]

PART_RECORDS = 2_000
"""The most records in one value, so that each value fits into one document of every store."""

_HEAD = re.compile(r"(?P<sending>commitment-[0-9a-f]{32})/(?P<transaction>[0-9a-f]{16})-head")


@dataclass
class _Page:
    records: list[InstanceRecord]


class CommitmentStore:
    """Reads and writes transactions; each is stored as parts with its records, and a head.

    The head is written last, so that a transaction becomes visible only when all its records are stored.
    """

    def __init__(self, repository: DataRepository) -> None:
        self._repository = repository

    async def list(self, job: JobKey) -> list[StorageCommitment]:
        """Lists the transactions of a job, oldest first."""
        found = []
        for name, _ in await self._repository.scan(job, values=False):
            if _HEAD.fullmatch(name) is not None:
                stored = await self._repository.find(job, name)
                if stored is not None:
                    head = from_normal(stored.value, StorageCommitment, name)
                    records = await self._records(job, name.removesuffix("head"))
                    found.append(head.model_copy(update={"records": records}))
        return sorted(found, key=lambda one: one.asked_at)

    async def put(self, job: JobKey, commitment: StorageCommitment) -> None:
        """Writes a transaction, then removes an earlier one of the same sending, which it replaces."""
        prefix = f"{commitment.sending}/{_short(commitment.transaction_uid)}-"
        records = commitment.records
        for number, start in enumerate(range(0, len(records), PART_RECORDS)):
            part = [one.model_dump(mode="json", exclude_defaults=True) for one in records[start : start + PART_RECORDS]]
            await self._repository.put(job, f"{prefix}{number:06}", to_normal({"records": part}), ANY)
        head = commitment.model_copy(update={"records": ()}).model_dump(mode="json", exclude_defaults=True)
        await self._repository.put(job, f"{prefix}head", to_normal(head | {"records": []}), ANY)
        for name, _ in await self._repository.scan(job, values=False):
            if name.startswith(f"{commitment.sending}/") and not name.startswith(prefix):
                await self._repository.delete(job, name)

    async def _records(self, job: JobKey, prefix: str) -> tuple[InstanceRecord, ...]:
        records: list[InstanceRecord] = []
        while (stored := await self._repository.find(job, f"{prefix}{len(records) // PART_RECORDS:06}")) is not None:
            part = from_normal(stored.value, _Page, prefix).records
            records += part
            if len(part) < PART_RECORDS:
                break
        return tuple(records)


def _short(transaction_uid: str) -> str:
    return hashlib.sha256(transaction_uid.encode()).hexdigest()[:16]
