"""Documents as the platform's own packages see them, with BSON types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import ObjectId

from dcm_processor_service.backends.mongo.documents import either, files_query, newest
from dcm_processor_service.codec import check_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dcm_processor_service.backends.mongo.driver.collection import Collection
    from dcm_processor_service.models import StoredFile
    from dcm_processor_service.ports import JobKey, NormalValue

__all__ = ["MongoPlatformDocuments"]


class MongoPlatformDocuments:
    """Reads documents as the functions of the 0.0.1 API returned them: whole, with ids as ObjectId."""

    def __init__(
        self,
        set_value: Callable[[JobKey, str, NormalValue], Awaitable[str | int]],
        collection: Callable[[str], Collection],
    ) -> None:
        self._set_value = set_value
        self._files = collection("sessionfiles.files")
        self._peers = (collection("peers"), collection("dicomnodes"))

    async def set_value(self, key: JobKey, name: str, value: NormalValue) -> str | int:
        """Stores a value; returns the id of a new document, else 1 if the value changed and 0 if not."""
        return await self._set_value(key, name, value)

    async def file(self, key: JobKey, name: str) -> dict[str, Any] | None:
        """Returns the document of a file's newest version."""
        return newest(await self._files.find(files_query(key, name)))

    async def peer(self, *, name: str = "", peer_id: str = "") -> dict[str, Any] | None:
        """Returns the document of a peer of the platform; if there is none, of one of its own listeners."""
        query = {"name": check_text(name, "name of a peer")} if name else {"_id": either(peer_id)}
        for nodes in self._peers:
            if rows := await nodes.find(query, limit=1):
                return rows[0]
        return None

    def file_id(self, stored: StoredFile) -> ObjectId:
        """Returns the id of a file as an ObjectId."""
        return ObjectId(stored.id)
