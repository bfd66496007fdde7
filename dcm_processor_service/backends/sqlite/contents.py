"""Stores contents of session files beside the database, and removes contents that no row points to.

Before a process writes or removes a content, it writes the content's name into a claim, a file that it keeps locked as
long as it lives. A process killed at any point leaves a claim that no process holds. The next process that writes or
cleans up removes the contents that this claim names and no row points to.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dcm_processor_service.backends.sqlite.database import CLAIM_FOLDER, CONTENT_FOLDER
from dcm_processor_service.backends.sqlite.failures import translated
from dcm_processor_service.disk import claim_file, open_new, sync_folder
from dcm_processor_service.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from dcm_processor_service.backends.sqlite.store import SqliteStore

__all__ = ["Claim", "Contents"]

_BLOCK_BYTES = 1024 * 1024
_KEPT = "SELECT content FROM files WHERE content IN (SELECT value FROM json_each(?))"


class Claim:
    """A file with the names of contents; each name is written to it before the content is written or removed."""

    def __init__(self, file: BinaryIO, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self.going: list[str] = []

    def names(self, content: str, need_bytes: Callable[[], int]) -> None:
        """Writes the name of a content that will be written; if the disk is full, the error names ``need_bytes()``."""
        self._write([content], need_bytes)

    def removes(self, *contents: str) -> None:
        """Writes the names of contents that are removed when the claim ends without an error."""
        self._write(contents, lambda: 0)
        self.going.extend(contents)

    def _write(self, contents: Iterable[str], need_bytes: Callable[[], int]) -> None:
        with translated(self._folder, need_bytes):
            left = memoryview("".join(f"{content}\n" for content in contents).encode())
            while left:  # a disk that is nearly full may write only a part
                left = left[self._file.write(left) :]


class Contents:
    """The folders of contents and of claims."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._swept = False

    def path(self, content: str) -> Path:
        """Returns the path of a content."""
        return self._store.folder / CONTENT_FOLDER / content

    @property
    def _claims(self) -> Path:
        return self._store.folder / CLAIM_FOLDER

    @contextmanager
    def claim(self) -> Iterator[Claim]:
        """Yields a claim; after a failure, removes the contents that it names and no row points to."""
        self._store.require_writable()
        with translated(self._store.folder):
            path, file = self._new_claim()
        with file:
            claim = Claim(file, self._store.folder)
            try:
                yield claim
            except BaseException:
                # a failed removal must not hide the failure; the next process removes the rest
                with suppress(StoreError, OSError):
                    self._settle(path)
                raise
            with suppress(OSError):
                self._unlink(claim.going)
                path.unlink()

    def _new_claim(self) -> tuple[Path, BinaryIO]:
        while True:
            path = self._claims / uuid.uuid4().hex
            file = claim_file(path, new=True)
            if file is not None:  # None: another process took it for the claim of a dead process, and locked it
                return path, file

    def write(self, claim: Claim, content: str, source: BinaryIO) -> tuple[int, str]:
        """Writes a content, after the claim names it; returns its size in bytes and its SHA-256."""
        counted = _Counted(source)
        claim.names(content, counted.total)
        path = self.path(content)
        with translated(self._store.folder, counted.total), open_new(path, private=True) as sink:
            for block in counted.blocks():
                sink.write(block)
            sink.flush()
            if self._store.durability == "full":
                os.fsync(sink.fileno())
                sync_folder(path.parent)
        return counted.size_bytes, counted.digest.hexdigest()

    def sweep(self, *, whole: bool = False) -> None:
        """Removes unused contents that dead processes claimed; at the first call, or if ``whole``, all unused contents.

        Raises:
            StoreError: A content cannot be removed.
        """
        self._store.require_writable()
        with translated(self._store.folder):
            whole = whole or not self._swept
            # lists the contents before it reads the claims, so that ``found`` has no content that is written later
            found = {path.name for path in self.path("").iterdir()} if whole else set()
            for path in list(self._claims.iterdir()):
                with suppress(FileNotFoundError):  # the claim has just ended
                    found -= self._end(path)
            self._unlink(found - self._find_used(found))
            self._swept = True

    def _end(self, path: Path) -> set[str]:
        """Ends the claim of a dead process; returns the names in the claim of a living one."""
        file = claim_file(path)
        if file is None:
            return set(path.read_text(encoding="utf-8").split())
        with file:
            self._settle(path)
        return set()

    def _settle(self, claim: Path) -> None:
        names = set(claim.read_text(encoding="utf-8").split())
        self._unlink(names - self._find_used(names))
        claim.unlink()

    def _find_used(self, names: Iterable[str]) -> set[str]:
        return {content for (content,) in self._store.rows(_KEPT, (json.dumps(sorted(names)),))}

    def _unlink(self, contents: Iterable[str]) -> None:
        for content in contents:
            self.path(content).unlink(missing_ok=True)


class _Counted:
    """A source whose bytes are counted and digested while they are read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def blocks(self) -> Iterator[bytes]:
        """Yields the rest of the source."""
        while block := self._source.read(_BLOCK_BYTES):
            self.digest.update(block)
            self.size_bytes += len(block)
            yield block

    def total(self) -> int:
        """Returns the size of the whole source; reads the rest to find it."""
        for _block in self.blocks():
            continue
        return self.size_bytes
