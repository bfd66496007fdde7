"""Lets a run use several machines: the workspace is a database, which each worker of a cluster opens for itself.

The machines share only that database and the code. Before anything runs, each worker is asked whether it sees both: it
looks for a token that the parent has written into the database, and returns a checksum of its code to compare.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.local.chosen_store import ChosenStore
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.models.platform_ids import NO_ID
from dcm_processor_service.ports import ABSENT, JobKey
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import Container, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dcm_processor_service.ports import DataRepository

__all__ = ["begin_once", "code_checksum", "look_at", "run_token", "worker_problem"]

_OF_NO_JOB = JobKey(NO_ID, NO_ID)
_CODE = {".py", ".json"}
_RESULTS_OF_A_RUN = ("run.json", "report.html")


@contextmanager
def _values(store: ChosenStore | None) -> Iterator[DataRepository]:
    """Opens the workspace's database, and yields its repository of values."""
    with opened(Container(settings=Workspace(Path(), store).settings())) as container:
        yield container.data_repository()


@contextmanager
def run_token(store: ChosenStore, run_id: str, subjects: int) -> Iterator[None]:
    """Keeps a token in the database while a run lasts; removes it and the marks of the run's subjects at the end."""
    with _values(store) as values:
        run_inline(values.put(_OF_NO_JOB, run_id, subjects))
    try:
        yield
    finally:
        with _values(store) as values:
            for name in (run_id, *(_mark(run_id, number) for number in range(subjects))):
                run_inline(values.delete(_OF_NO_JOB, name))


def begin_once(chosen: Mapping[str, Any], run_id: str, number: int) -> bool | None:
    """Marks a subject as begun; returns False if it was begun before, None if the run is over."""
    with _values(ChosenStore.of_request(chosen)) as values:
        if run_inline(values.find(_OF_NO_JOB, run_id)) is None:
            return None
        return run_inline(values.put(_OF_NO_JOB, _mark(run_id, number), 1, ABSENT))


def _mark(run_id: str, number: int) -> str:
    return f"{run_id}-{number}"


def code_checksum(folder: Path, service: str | None, callback: str | None, no_code: Sequence[str] = ()) -> str:
    """Returns a checksum of the code that runs; empty if there is no such code.

    Args:
        folder: The folder to which relative paths refer.
        service: Folder of a service, whose ``.py`` and ``.json`` files are included, except those of hidden folders
            and of workspaces.
        callback: A callback, whose file is included if there is no service: ``path/to/file.py:FUNCTION`` or
            ``MODULE:FUNCTION``.
        no_code: Folders in the service's folder whose files are left out.
    """
    digest = hashlib.sha256()
    if service is not None:
        place = folder / service
        files = _files_of(place, {(folder / one).resolve() for one in no_code})
    else:
        place, files = folder, _file_of(folder, callback or "")
    for one in files:
        digest.update(f"{one.relative_to(place) if service is not None else one.name}\n".encode())
        digest.update(one.read_bytes())
    return digest.hexdigest() if files else ""


def _files_of(place: Path, no_code: set[Path]) -> list[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(place):
        here = Path(root)
        folders[:] = [one for one in folders if not one.startswith(".") and _is_code(here / one, no_code)]
        found += (here / name for name in names if Path(name).suffix in _CODE and (here / name).is_file())
    return sorted(found)


def _is_code(folder: Path, no_code: set[Path]) -> bool:
    return folder.resolve() not in no_code and not all((folder / name).is_file() for name in _RESULTS_OF_A_RUN)


def _file_of(folder: Path, callback: str) -> list[Path]:
    """Returns the callback's file; a module is looked for in the folder first, as Python does."""
    place = callback.rpartition(":")[0] or callback
    if place.endswith(".py"):
        found = [folder / place]
    else:
        module = folder.joinpath(*place.split("."))
        found = [module / "__init__.py", module.with_name(f"{module.name}.py"), *_installed(place)]
    return [one for one in found if one.is_file()][:1]


def _installed(module: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(module)
    except (Exception, SystemExit):  # noqa: BLE001  this imports the packages around the module, which may raise anything
        return []
    return [Path(spec.origin)] if spec and spec.origin else []


def look_at(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what this process sees: the version of this package, the token, the code, the folders."""
    folder = Path(asked["folder"])
    try:
        with _values(ChosenStore.of_request(asked["store"])) as values:
            has_token = run_inline(values.find(_OF_NO_JOB, asked["run_id"])) is not None
        problem = "" if has_token else "opens another database than this machine does"
    except DcmProcessorError as error:
        problem = f"cannot open the workspace's database: {error}"
    return {
        "version": version("dcm-processor-service"),
        "store_problem": problem,
        "has_folder": folder.is_dir(),
        "code": code_checksum(folder, asked["service"], asked["callback"], asked["no_code"]),
        "has_data_dir": not asked["data_dir"] or (folder / asked["data_dir"]).is_dir(),
    }


def worker_problem(seen: Mapping[str, Any], own: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Returns why a worker cannot run subjects, and what to do; empty where it can."""
    if seen["version"] != own["version"]:
        return f"has dcm-processor-service {seen['version']}, and this machine {own['version']}; install the same there"
    if seen["store_problem"]:
        return (
            f"{seen['store_problem']}; its environment (DCM_PROCESSOR_SERVICE_DB_URL, …_DB_NAME), or --store, has to "
            "name one that all reach"
        )
    if not seen["has_folder"]:
        return f"has no folder {asked['folder']}, in which this command runs; mount it there, or copy the service to it"
    if not seen["code"]:
        return f"does not find {asked['service'] or asked['callback']} below {asked['folder']}; copy the code there"
    if seen["code"] != own["code"]:
        return f"has other code of {asked['service'] or asked['callback']} than this machine; copy it there again"
    if not seen["has_data_dir"]:
        return f"has no folder {asked['data_dir']}, which --data-dir names; mount it there"
    return ""
