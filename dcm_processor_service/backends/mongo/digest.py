"""The checksum of an upload."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Digest"]

_SMALL_BYTES = 128 * 1024
"""Below this size, computing the checksum takes no longer than passing it to a thread."""


class Digest:
    """Computes the checksum of an upload; for large chunks, while they are being sent."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._thread: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None

    def update(self, blocks: list[bytes]) -> None:
        """Waits until earlier blocks are added, then starts to add these, so that at most two batches are in memory."""
        if self._last is None and sum(map(len, blocks)) < _SMALL_BYTES:
            self._add(blocks)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "file-checksum")
        if self._last is not None:
            self._last.result()
        self._last = self._thread.submit(self._add, blocks)

    def _add(self, blocks: list[bytes]) -> None:
        for block in blocks:
            self._sha256.update(block)

    def hexdigest(self) -> str:
        """Returns the checksum of all that was added."""
        if self._last is not None:
            self._last.result()
        return self._sha256.hexdigest()

    def close(self) -> None:
        """Lets the thread end."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)
