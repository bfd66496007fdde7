"""Uploads as this package makes them, and as the 0.0.1 API does."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from gridfs import GridFSBucket

from dcm_processor_service.ports import NewFile

if TYPE_CHECKING:
    from pymongo.database import Database

    from dcm_processor_service.models import StoredFile
    from tests.integration.mongo.conftest import Store

NEW = NewFile("application/x-nifti", {"label": "liver", "voxels": 2**40})
MIB = 2**20


async def put(store: Store, name: str, content: bytes) -> StoredFile:
    return await store.backend.files.put(store.key, name, io.BytesIO(content), NEW)


async def read(store: Store, name: str) -> bytes | None:
    sink = io.BytesIO()
    found = await store.backend.files.fetch(store.key, name, sink)
    return None if found is None else sink.getvalue()


def upload_as_the_predecessor(
    database: Database[dict[str, Any]],
    owner: dict[str, Any],
    name: str,
    content: bytes,
    file_id: ObjectId | None = None,
) -> ObjectId:
    """Uploads through the driver's bucket; over an existing document as the 0.0.1 API does it: delete, then write."""
    bucket, metadata = GridFSBucket(database, "sessionfiles"), {"name": name, **owner}
    if file_id is not None:
        existing = database["sessionfiles.files"].find_one({"_id": file_id}) or {}
        bucket.delete(file_id)
        metadata = existing.get("metadata", {}) | metadata
    file_id = file_id or ObjectId()
    with bucket.open_upload_stream_with_id(file_id, f"{os.urandom(16).hex()}.nii", metadata=metadata) as stream:
        stream.write(content)
    # PyMongo has deprecated the setter that the 0.0.1 API uses for it
    database["sessionfiles.files"].update_one({"_id": file_id}, {"$set": {"contentType": "text/plain"}})
    return file_id


def file_ids(store: Store, suffix: str, field: str) -> set[Any]:
    return set(store.database[f"sessionfiles.{suffix}"].distinct(field))
