"""Session files that another program stored, such as the 0.0.1 API: their chunks have no mark of session and job.

If a process is killed, chunks of a file that this package stored may have no document; their mark still finds them.
Nothing could find the chunks of a foreign file without its document. The document therefore stays until the chunks are
removed. Meanwhile it is marked as retired and has no name, so that it is hidden from readers, but the clean-up of its
session still finds it.
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
"""The condition for documents that another program has made."""


async def foreign_files(files: Collection, key: JobKey) -> dict[str, list[Any]]:
    """Lists the ids of a job's foreign files, by name."""
    found: dict[str, list[Any]] = {}
    query = {**files_query(key), **FOREIGN, "retired": {"$exists": False}}
    for row in await files.find(query, projection=["metadata.name"]):
        found.setdefault(str(mapping(row.get("metadata")).get("name")), []).append(row["_id"])
    return found


async def remove_foreign(files: Collection, chunks: Collection, ids: Several[Any]) -> int:
    """Removes foreign files, and returns their number; after a kill, the clean-up of the session finds the rest."""
    ids = list(ids)
    if not ids:
        return 0
    retired = {"$set": {"retired": True}, "$unset": {"metadata.name": ""}}
    removed = await files.update_many({"_id": {"$in": ids}, **FOREIGN}, retired)
    await chunks.delete_many({"files_id": {"$in": ids}})
    await files.delete_many({"_id": {"$in": ids}, "retired": True})
    return removed
