"""A store of your own: wraps another store, and writes a line into a journal for each value that a job changes.

A package names ``open_store`` in its ``pyproject.toml``, and ``DCM_PROCESSOR_SERVICE_DB_PROVIDER=audited`` chooses it::

    [project.entry-points."dcm_processor_service.backends"]
    audited = "custom_backend:open_store"

Try it::

    python examples/custom_backend.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.ports import ANY, Backend, DataRepository, Found, JobKey, Offload, StoreLocation, inline
from dcm_processor_service.testing import MemoryStore, fake_context

Write = Callable[[str], object]
STORES: dict[str, MemoryStore] = {}


@dataclass(frozen=True)
class AuditedData:
    """The named values of another store, with a journal; has the five methods of ``DataRepository``."""

    inner: DataRepository
    write: Write

    async def find(self, key: JobKey, name: str) -> Found | None:
        """Returns the value."""
        return await self.inner.find(key, name)

    async def put(self, key: JobKey, name: str, value: Any, expected: Any = ANY) -> bool:
        """Stores a value."""
        return self._noted("put", key, name, done=await self.inner.put(key, name, value, expected))

    async def increment(self, key: JobKey, name: str, by: float) -> Any:
        """Adds to a value."""
        total = await self.inner.increment(key, name, by)
        self._noted("increment", key, name, done=total is not None)
        return total

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes a value."""
        return self._noted("delete", key, name, done=await self.inner.delete(key, name))

    async def scan(self, key: JobKey, *, values: bool) -> list[tuple[str, Any]]:
        """Lists the values."""
        return await self.inner.scan(key, values=values)

    def _noted(self, what: str, key: JobKey, name: str, *, done: bool) -> bool:
        if done:  # the name, and never the value, which may be patient data
            self.write(json.dumps({"what": what, "session": key.session_id, "job": key.job_id, "name": name}) + "\n")
        return done


@contextmanager
def open_store(location: StoreLocation, _offload: Offload) -> Iterator[Backend]:
    """Opens the store; the URL is the path of the journal."""
    if not location.url:
        raise ConfigurationError("the store audited has no journal; set DCM_PROCESSOR_SERVICE_DB_URL to its path")
    backend = STORES.setdefault(location.database, MemoryStore()).backend()
    with Path(location.url).open("a", encoding="utf-8", buffering=1) as journal:
        yield replace(backend, data=AuditedData(backend.data, journal.write))


if __name__ == "__main__":
    with open_store(StoreLocation("journal.jsonl", "", 4, "blocking"), inline) as audited:
        ctx = fake_context(customise=lambda container: container.backend.override(audited))
        ctx.session.data["volume_ml"] = 12.5
    print(Path("journal.jsonl").read_text(encoding="utf-8"))
