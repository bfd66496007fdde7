"""The functions that a worker of a Dask cluster calls for a run: they look for the workspace, and run subjects."""

from __future__ import annotations

import socket
import threading
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from dcm_processor_service.local.service.cluster_store import begin_once
from dcm_processor_service.local.service.subject_process import ProcessEnd, run_in_process, tell_to_end

if TYPE_CHECKING:
    import subprocess

__all__ = ["Seen", "end_subjects", "look_around", "run_subject"]

_lock = threading.Lock()
_running: dict[str, list[subprocess.Popen[bytes]]] = {}
_ended: dict[str, list[subprocess.Popen[bytes]]] = {}
"""The runs that were asked to end, each with the processes that have got the signal."""

_BEGUN_BEFORE = (
    "the cluster's worker died while it ran this subject; its process may still go on, so no other was begun: wait "
    "until it has ended, or end it, and run the subject again"
)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Seen(NamedTuple):
    """A workspace as a process sees it; equal for two processes that can both use it."""

    version: str
    machine: str
    """Equal for processes of one kernel, which keeps the locks of files."""

    workspace: tuple[int, int]
    """Device and inode number of the folder; zeros if it is not there."""


def look_around(workspace: str) -> Seen:
    """Returns what this process sees of a workspace."""
    machine = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else socket.gethostname()
    try:
        found = Path(workspace).stat()
    except OSError:
        return Seen(version("dcm-processor-service"), machine, (0, 0))
    return Seen(version("dcm-processor-service"), machine, (found.st_dev, found.st_ino))


def run_subject(run_id: str, number: int, request: dict[str, Any], folder: str, marks: str | None) -> ProcessEnd | None:
    """Runs one subject in a process of its own, in a folder; returns None where the run was asked to end before.

    When a worker dies, the scheduler hands its subject to another worker, but the subject's process may go on. So a
    subject is begun only once: a file in the folder of marks, which exists as long as the run, shows that it was begun.
    For a workspace in a database, a value in the database shows it, and results lie in a folder of this worker's own
    until the process has ended.
    """
    with _lock:
        if run_id in _ended:
            return None
        processes = _running.setdefault(run_id, [])
    begun = _begin_once(Path(marks) / str(number)) if marks else begin_once(request["store"], run_id, number)
    if begun is None:  # the run is over
        return None
    if not begun:
        return ProcessEnd(number, [], _BEGUN_BEFORE, cancelled=False)
    if marks:
        return run_in_process(number, request, processes, folder)
    with TemporaryDirectory(prefix="dcm-subject-", ignore_cleanup_errors=True) as own:
        return run_in_process(number, {**request, "workspace": own}, processes, folder)


def _begin_once(mark: Path) -> bool | None:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    except FileNotFoundError:
        return None
    return True


def end_subjects(run_id: str) -> None:
    """Asks the processes of a run to end (SIGTERM), each once, and begins no other."""
    with _lock:
        tell_to_end(_running.get(run_id, []), _ended.setdefault(run_id, []))
