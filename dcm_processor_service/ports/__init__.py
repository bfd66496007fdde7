"""The interfaces between the facades and the outside: one small Protocol for each kind of store or tool.

Repositories store, fetch and list; they decide nothing. They report absence as ``None`` or ``False``, never as an
exception. Methods of repositories are ``async def``: in the blocking mode they never suspend, in the asynchronous mode
they await a driver or a thread (see :class:`Offload`). The converter, the sender and the retriever are ordinary
functions, and the facade offloads them.

To add a store, write a function that takes a :class:`StoreLocation` and an :class:`Offload` and returns a context
manager of a :class:`Backend`. In your package, give it a name in the entry-point group
``dcm_processor_service.backends``; ``DCM_PROCESSOR_SERVICE_DB_PROVIDER`` with this name selects the store::

    [project.entry-points."dcm_processor_service.backends"]
    their-store = "their_package:open_store"

The location's URL and database may be empty. A function that needs one of them raises a ``ConfigurationError``.
Several threads, and forked child processes, may use the store that the function opens. :class:`OfOneProcess`,
:class:`SharedLock` and :func:`pause_at_forks` help to keep the connections and locks of different processes apart.
Run the tests of :mod:`dcm_processor_service.testing.contracts` to show that the store keeps the same rules as the
others.
"""

from dcm_processor_service.ports.concurrency import (
    Mode,
    Offload,
    Turns,
    in_thread,
    inline,
    iterate_inline,
    run_inline,
)
from dcm_processor_service.ports.forks import OfOneProcess, Pausable, SharedLock, pause_at_forks
from dcm_processor_service.ports.imaging import NiftiConverter
from dcm_processor_service.ports.network import Retriever, Sendable, Sender
from dcm_processor_service.ports.stores import (
    ABSENT,
    ANY,
    MISSING,
    Backend,
    BackendOpener,
    DataRepository,
    DicomRepository,
    Durability,
    FileRepository,
    Found,
    JobKey,
    JobRepository,
    NewFile,
    NormalValue,
    PeerRepository,
    PlatformDocuments,
    Sentinel,
    SessionRepository,
    StoreLocation,
    WorkspaceRepository,
    is_gone,
    is_lost,
    require_scan,
)

__all__ = [
    "ABSENT",
    "ANY",
    "MISSING",
    "Backend",
    "BackendOpener",
    "DataRepository",
    "DicomRepository",
    "Durability",
    "FileRepository",
    "Found",
    "JobKey",
    "JobRepository",
    "Mode",
    "NewFile",
    "NiftiConverter",
    "NormalValue",
    "OfOneProcess",
    "Offload",
    "Pausable",
    "PeerRepository",
    "PlatformDocuments",
    "Retriever",
    "Sendable",
    "Sender",
    "Sentinel",
    "SessionRepository",
    "SharedLock",
    "StoreLocation",
    "Turns",
    "WorkspaceRepository",
    "in_thread",
    "inline",
    "is_gone",
    "is_lost",
    "iterate_inline",
    "pause_at_forks",
    "require_scan",
    "run_inline",
]
