"""The code of a service: its module and its registry, imported as the platform imports them.

The worker puts the module's folder, as the package ``service_module``, into an empty folder, and imports each entry
from it; the scheduler does the same with the registry as ``registry_JOBNAME``. So relative imports work both in the
platform and here, and ``import neighbour`` works in neither.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from dcm_processor_service.disk import is_file, is_folder
from dcm_processor_service.errors import CallbackError, CallbackNotFoundError, CallbackSignatureError
from dcm_processor_service.local.service.worker_arguments import ARGUMENT_NAMES, worker_callback
from dcm_processor_service.runtime.execution.callbacks import CALLBACK_ATTRIBUTE, inspect_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import ModuleType

    from dcm_processor_service.local.service.manifest import Manifest, ServiceJob
    from dcm_processor_service.runtime.execution.callbacks import CallbackFunction

__all__ = [
    "MODULE_NAME",
    "Entry",
    "EntryStyle",
    "LoadedJob",
    "LoadedService",
    "bare_callback_sentence",
    "import_folder",
    "load_service",
    "registry_function",
    "registry_name",
    "takes",
    "worker_entry",
]

MODULE_NAME = "service_module"


class EntryStyle(Enum):
    """How an entry works with the platform's worker."""

    ENTRYPOINT = "made by entrypoint()"
    KEYWORDS = "takes the worker's keyword arguments, as in 0.0.1"
    BARE_CALLBACK = "a callback without entrypoint(), which the worker cannot call"


@dataclass(frozen=True)
class Entry:
    """A function that a manifest names as ``workerEntry``."""

    function: CallbackFunction
    style: EntryStyle

    @property
    def callback(self) -> CallbackFunction:
        """The entry as a callback, so that entries of all styles run alike."""
        return worker_callback(self.function) if self.style is EntryStyle.KEYWORDS else self.function


@dataclass(frozen=True)
class LoadedJob:
    """A job with its code."""

    job: ServiceJob
    callback: CallbackFunction
    decide: Callable[..., Any] | None
    """The registry function; None if the job has none."""


@dataclass(frozen=True)
class LoadedService:
    """A service that can run."""

    name: str
    jobs: tuple[LoadedJob, ...]
    version: str = "0"
    required_services: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Warnings about code that works here and would not work in the platform."""

    def with_params(self, params: Mapping[str, Mapping[str, Any]]) -> LoadedService:
        """Returns the service with further params, by job; they replace params of the same names in the manifest."""
        jobs = [
            replace(one, job=one.job.model_copy(update={"params": {**one.job.params, **params.get(one.job.name, {})}}))
            for one in self.jobs
        ]
        return replace(self, jobs=tuple(jobs))

    def find(self, name: str) -> LoadedJob:
        """Returns the job of that name, which the service has to have."""
        return next(one for one in self.jobs if one.job.name == name)


def load_service(manifest: Manifest) -> LoadedService:
    """Imports the code of a service's jobs.

    Raises:
        CallbackNotFoundError: A folder, module or function that the manifest names is not there or cannot be imported.
    """
    module = import_folder(manifest.module, MODULE_NAME)
    jobs, notes = [], []
    for job in manifest.jobs:
        if job.disabled:
            continue
        entry = worker_entry(module, job)
        if entry.style is EntryStyle.BARE_CALLBACK:
            notes.append(bare_callback_sentence(job))
        registry = import_folder(manifest.registry, registry_name(job))
        jobs.append(LoadedJob(job, entry.callback, registry_function(registry, job)))
    return LoadedService(manifest.name, tuple(jobs), manifest.version, manifest.required_services, tuple(notes))


def bare_callback_sentence(job: ServiceJob) -> str:
    """Returns the warning that an entry runs here, but not in the platform."""
    return (
        f"the workerEntry {job.worker_entry!r} of the job {job.name!r} is a callback, which the platform's worker "
        f"cannot call; make it an entry: {job.worker_entry} = entrypoint({job.worker_entry})"
    )


def registry_name(job: ServiceJob) -> str:
    """Returns the name under which the scheduler imports the registry for a job."""
    return f"registry_{job.name}"


def import_folder(folder: Path, name: str) -> ModuleType:
    """Imports a folder as a package of this name; forgets the modules of an earlier service under the name.

    Raises:
        CallbackNotFoundError: There is no such package, or importing it fails; the import's error is ``__cause__``.
    """
    init = folder / "__init__.py"
    if not is_folder(folder):
        raise CallbackNotFoundError(f"there is no folder {str(folder)!r}, which the manifest names")
    if not is_file(init):
        raise CallbackNotFoundError(
            f"{str(folder)!r} has no __init__.py; make one that imports the entries, such as: from .main import worker"
        )
    for loaded in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        del sys.modules[loaded]
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    importlib.invalidate_caches()
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the platform would install the .pyc files
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise CallbackNotFoundError(
            f"{str(folder)!r} cannot be imported: {type(error).__name__}: {error}{_import_remedy(error, folder)}"
        ) from error
    finally:
        sys.dont_write_bytecode = writes
    return module


def _import_remedy(error: BaseException, folder: Path) -> str:
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing and (is_file(folder / f"{missing}.py") or is_folder(folder / missing)):
        return f"; the folder is a package: write from .{missing} import …, as the platform needs it"
    return "; is it in requirements.txt and installed here?" if missing else ""


def worker_entry(module: ModuleType, job: ServiceJob) -> Entry:
    """Returns the entry of a job.

    Raises:
        CallbackNotFoundError: The module has no such function.
    """
    function = _function(module, job.worker_entry, f"workerEntry of the job {job.name!r}")
    if hasattr(function, CALLBACK_ATTRIBUTE):
        return Entry(function, EntryStyle.ENTRYPOINT)
    return Entry(function, EntryStyle.BARE_CALLBACK if _is_callback(function) else EntryStyle.KEYWORDS)


def _is_callback(function: Callable[..., Any]) -> bool:
    """Returns whether a function asks for a context, a session or a model of its params; no worker passes these."""
    try:
        return bool(inspect_callback(function).wants) and not takes(function, ARGUMENT_NAMES)
    except CallbackSignatureError:
        return "RuntimeContext" in str(getattr(function, "__annotations__", {}))
    except CallbackError:
        return False


def takes(function: Callable[..., Any], names: tuple[str, ...]) -> bool:
    """Returns whether a function can be called with these keyword arguments."""
    try:
        inspect.signature(function).bind(**dict.fromkeys(names))
    except TypeError:
        return False
    except ValueError:  # the function has no signature, as some functions in C
        return True
    return True


def registry_function(module: ModuleType, job: ServiceJob) -> Callable[..., Any]:
    """Returns the registry function of a job.

    Raises:
        CallbackNotFoundError: The registry has no such function.
    """
    return _function(module, job.registry_entry, f"registryEntry of the job {job.name!r}")


def _function(module: ModuleType, name: str, what: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        known = [one for one, item in vars(module).items() if callable(item) and not one.startswith("_")]
        state = "is not a function" if hasattr(module, name) else "is not there"
        raise CallbackNotFoundError(
            f"the {what}, {name!r}, {state} in {module.__file__}; it has: {', '.join(sorted(known)) or 'no function'}"
        )
    found: Callable[..., Any] = function
    return found
