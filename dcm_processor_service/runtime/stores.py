"""Finds the function that opens a store of a given name, among the built-in stores and those of other packages.

Adapters are imported when they are asked for. The arguments that the platform's worker passes to an entry are parts of
documents in the platform's store, so this module reads them too.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from importlib.metadata import EntryPoint
    from typing import Any

    from dcm_processor_service.backends.mongo.operator.repository import PlatformDatabase
    from dcm_processor_service.models import Job
    from dcm_processor_service.ports import BackendOpener, Mode, StoreLocation

__all__ = ["backend_names", "backend_opener", "job_of_arguments", "platform_database"]

BACKEND_GROUP = "dcm_processor_service.backends"


def _mongodb(mode: Mode) -> BackendOpener:
    if mode == "async":
        from dcm_processor_service.backends.mongo.driver.asynchronous import open_async

        return open_async
    from dcm_processor_service.backends.mongo.driver.blocking import open_blocking

    return open_blocking


def _sqlite(_mode: Mode) -> BackendOpener:
    from dcm_processor_service.backends.sqlite import open_sqlite

    return open_sqlite


def _memory(_mode: Mode) -> BackendOpener:
    from dcm_processor_service.backends.memory import open_memory

    return open_memory


_BUILT_IN = {"memory": _memory, "mongodb": _mongodb, "sqlite": _sqlite}


def backend_names() -> list[str]:
    """Lists the stores that this installation knows: the built-in ones and those of other packages."""
    return sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=BACKEND_GROUP))})


def backend_opener(name: str, mode: Mode) -> BackendOpener:
    """Returns the function that opens a store of this name.

    Raises:
        ConfigurationError: There is no such store, or the package that adds it cannot be loaded.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name](mode)
    for entry in entry_points(group=BACKEND_GROUP):
        if entry.name.lower() == name:
            return _loaded(entry)
    raise ConfigurationError(
        f"DCM-PROCESSOR-SERVICE-DB-PROVIDER names the store {name!r}, which this installation does not know; known: "
        f"{', '.join(backend_names())}"
    )


def _loaded(entry: EntryPoint) -> BackendOpener:
    try:
        opener: object = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the store {entry.name!r} comes from {entry.value}, which cannot be loaded: {type(error).__name__}: "
            f"{error}; reinstall the package that adds it"
        ) from error
    if not callable(opener):
        raise ConfigurationError(
            f"the store {entry.name!r} comes from {entry.value}, which is not a function that opens a store, but a "
            f"{type(opener).__name__}; correct the entry point of the package that adds it"
        )
    return cast("BackendOpener", opener)


def job_of_arguments(arguments: Mapping[str, Any]) -> Job | None:
    """Returns the job that a worker's keyword arguments name; None if they name no job.

    Raises:
        StoredValueError: A part of the arguments is malformed.
    """
    from dcm_processor_service.backends.mongo.driver import arguments as platform

    return platform.job_of_arguments(arguments)


def platform_database(location: StoreLocation) -> AbstractContextManager[PlatformDatabase]:
    """Returns the context manager that opens the platform's own database for an operator."""
    from dcm_processor_service.backends.mongo.operator.repository import open_platform_database

    return open_platform_database(location)
