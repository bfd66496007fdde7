"""Session files that another program stored, such as the 0.0.1 API: their chunks say nothing of whose they are.

Of a version of ours, chunks that a killed process left without a document are found by their mark. Of a foreign one
nothing would find them. So its document stays until its chunks are gone: retired, without a name, it shows nothing to
readers and everything to the clean-up of its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.backends.mongo.documents import files_query, mapping

if TYPE_CHECKING:
    from collections.abc import Collection as Several

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.collection import Collection
    from dcm_processor_service.ports import JobKey

__all__ = ["FOREIGN", "foreign_files", "remove_foreign"]

FOREIGN: Document = {"version": {"$exists": False}}
"""Finds documents that this package has not made."""


async def foreign_files(files: Collection, key: JobKey) -> dict[str, list[Any]]:
    """Lists the ids of a job's foreign files, by name."""
    found: dict[str, list[Any]] = {}
    query = {**files_query(key), **FOREIGN, "retired": {"$exists": False}}
    for row in await files.find(query, projection=["metadata.name"]):
        found.setdefault(str(mapping(row.get("metadata")).get("name")), []).append(row["_id"])
    return found


async def remove_foreign(files: Collection, chunks: Collection, ids: Several[Any]) -> int:
    """Removes foreign files; killed at any point, the clean-up of the session finds the rest. Returns their number."""
    ids = list(ids)
    if not ids:
        return 0
    retired = {"$set": {"retired": True}, "$unset": {"metadata.name": ""}}
    removed = await files.update_many({"_id": {"$in": ids}, **FOREIGN}, retired)
    await chunks.delete_many({"files_id": {"$in": ids}})
    await files.delete_many({"_id": {"$in": ids}, "retired": True})
    return removed
