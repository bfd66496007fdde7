"""Opens the platform's database for an operator, lets one process at a time change it, and records every change."""

from __future__ import annotations

import getpass
import logging
import platform
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models.platform_ids import NO_ID
from dcm_processor_service.ports import StoreLocation
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.runtime.stores import platform_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.backends.mongo.operator.repository import PlatformDatabase

__all__ = ["audit", "environment_settings", "lease", "opened_database", "take_lease"]

_log = logging.getLogger("dcm_processor_service.operations")


def audit(database: PlatformDatabase, entry: dict[str, object]) -> None:
    """Writes a change of a session into the audit trail, with the user who made it, and into the log."""
    by = {"by": f"{_user()}@{platform.node()}"}
    run_inline(database.changes.audit({**entry, **by}))
    _log.info("%s of the session %s", entry["action"], entry["session_id"])


def _user() -> str:
    with suppress(OSError, KeyError, ImportError):  # a process without an account
        return getpass.getuser()
    return "unknown"


def take_lease(database: PlatformDatabase) -> None:
    """Takes or renews the lease that keeps sweeps and retries from running at the same time.

    Raises:
        SessionsLockedError: Another process holds the lease.
    """
    run_inline(database.changes.take_lease(run_inline(database.overview.clock()).now))


@contextmanager
def lease(database: PlatformDatabase) -> Iterator[None]:
    """Holds the lease within the block; the lease of a process that dies ends by the server's clock.

    Raises:
        SessionsLockedError: Another process holds the lease.
    """
    take_lease(database)
    try:
        yield
    finally:
        run_inline(database.changes.release_lease())


@contextmanager
def opened_database(settings: RuntimeSettings | None) -> Iterator[PlatformDatabase]:
    """Opens the database of the settings, or of the environment.

    Raises:
        ConfigurationError: The settings name no MongoDB.
    """
    chosen = settings or environment_settings()
    if chosen.backend_name != "mongodb":
        raise ConfigurationError(
            f"the platform keeps its sessions in MongoDB, and the settings name the store {chosen.backend_name}; set "
            "DCM_PROCESSOR_SERVICE_DB_PROVIDER=mongodb with its URL and name"
        )
    location = StoreLocation(
        url=chosen.db_url.get_secret_value(),
        database=chosen.db_name,
        timeout_s=chosen.store_timeout_s,
        mode="blocking",
        durability=chosen.durability,
        operation_timeout_s=chosen.store_operation_timeout_s,
        transfer_timeout_s=chosen.store_transfer_timeout_s,
    )
    with platform_database(location) as database:
        yield database


def environment_settings() -> RuntimeSettings:
    """Returns the settings of the environment; it must name the store, but no job, because an operator has none.

    Raises:
        ConfigurationError: The environment does not name a store.
    """
    return RuntimeSettings(session_id=NO_ID, job_id=NO_ID)
