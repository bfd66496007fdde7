"""Builds documents like the platform's from the repositories' models, for stores that hold no such documents.

The functions of the 0.0.1 API returned such documents; over MongoDB they are the stored ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.codec import equal
from dcm_processor_service.models.platform_ids import platform_id

if TYPE_CHECKING:
    from dcm_processor_service.models import Peer, StoredFile
    from dcm_processor_service.ports import Backend, JobKey, NormalValue

__all__ = ["PlainDocuments"]


class PlainDocuments:
    """Documents over any store; ids are text."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def set_value(self, key: JobKey, name: str, value: NormalValue) -> str | int:
        """Stores a value; returns the id of a new document, else 1 if the value changed and 0 if not."""
        before = await self._backend.data.find(key, name)
        await self._backend.data.put(key, name, value)
        if before is None:
            return platform_id(key.session_id, key.job_id, name)
        return int(not equal(before.value, value))

    async def file(self, key: JobKey, name: str) -> dict[str, Any] | None:
        """Returns the document of a file."""
        stored = await self._backend.files.find(key, name)
        if stored is None:
            return None
        owner = {"name": name, "session_id": key.session_id, "job_id": key.job_id}
        return {
            "_id": stored.id,
            "contentType": stored.content_type,
            "length": stored.size_bytes,
            "uploadDate": stored.uploaded_at,
            "metadata": {**stored.metadata, **owner, "sha256": stored.sha256},
        }

    async def peer(self, *, name: str = "", peer_id: str = "") -> dict[str, Any] | None:
        """Returns the document of a peer."""
        found = await (self._backend.peers.find(name) if name else self._backend.peers.get(peer_id))
        return None if found is None else _peer_document(found)

    def file_id(self, stored: StoredFile) -> str:
        """Returns the id of a file."""
        return stored.id


def _peer_document(peer: Peer) -> dict[str, Any]:
    document = {"_id": peer.id, "name": peer.name, "host": peer.host, "aet": peer.ae_title, "port": peer.port}
    optional = {
        "calling_aet": peer.calling_ae_title,
        "cert_file": peer.cert_file,
        "key_file": peer.key_file,
        "ca_file": peer.ca_file,
    }
    return {**document, "tls": peer.tls, **{field: value for field, value in optional.items() if value is not None}}
