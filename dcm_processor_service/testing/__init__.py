"""Tools for tests of callbacks: contexts over memory, synthetic series, golden files, an archive in the test's process.

The fakes are the memory backend, which passes the same contract tests as SQLite and MongoDB; each of its repositories
can replace another one in one line. :mod:`.contracts` holds these tests, for stores of other packages. pytest finds the
fixtures ``ctx``, ``fake_context``, ``pacs`` and ``mongodb`` without an import. Names are loaded when they are used (PEP
562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.lazy_names import homes, loaded_on_use

if TYPE_CHECKING:
    from dcm_processor_service.backends.memory import (
        MemoryDataRepository,
        MemoryDicomRepository,
        MemoryFileRepository,
        MemoryJobRepository,
        MemoryPeerRepository,
        MemorySessionRepository,
        MemoryStore,
        MemoryWorkspaceRepository,
    )
    from dcm_processor_service.testing.contexts import fake_async_context, fake_context
    from dcm_processor_service.testing.fake_certificates import Certificate, FakeAuthority
    from dcm_processor_service.testing.fake_faults import Faults
    from dcm_processor_service.testing.fake_pacs import FakePacs
    from dcm_processor_service.testing.golden import compare_derived
    from dcm_processor_service.testing.mongo_server import MongoDatabase
    from dcm_processor_service.testing.privacy import assert_no_phi
    from dcm_processor_service.testing.registry_calls import fake_registry
    from dcm_processor_service.testing.synthetic import SyntheticKind, synthetic_series

__all__ = [
    "Certificate",
    "FakeAuthority",
    "FakePacs",
    "Faults",
    "MemoryDataRepository",
    "MemoryDicomRepository",
    "MemoryFileRepository",
    "MemoryJobRepository",
    "MemoryPeerRepository",
    "MemorySessionRepository",
    "MemoryStore",
    "MemoryWorkspaceRepository",
    "MongoDatabase",
    "SyntheticKind",
    "assert_no_phi",
    "compare_derived",
    "fake_async_context",
    "fake_context",
    "fake_registry",
    "synthetic_series",
]

_PLACES = {
    "backends.memory": (
        "MemoryDataRepository MemoryDicomRepository MemoryFileRepository MemoryJobRepository MemoryPeerRepository "
        "MemorySessionRepository MemoryStore MemoryWorkspaceRepository"
    ),
    "testing.contexts": "fake_async_context fake_context",
    "testing.fake_certificates": "Certificate FakeAuthority",
    "testing.fake_faults": "Faults",
    "testing.fake_pacs": "FakePacs",
    "testing.golden": "compare_derived",
    "testing.mongo_server": "MongoDatabase",
    "testing.privacy": "assert_no_phi",
    "testing.registry_calls": "fake_registry",
    "testing.synthetic": "SyntheticKind synthetic_series",
}
"""The module of each name, below this package."""

_HOME = homes(_PLACES)

__getattr__, __dir__ = loaded_on_use(globals(), _HOME)
