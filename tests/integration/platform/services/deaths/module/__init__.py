"""A service of plain functions, without this package, that end as the platform's queue does not survive."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NoReturn


def calm(headers: dict[str, Any], **_arguments: Any) -> Any:
    """Returns the texts of the header that are hard to pass on."""
    return {name: headers["Metadata"].get(name) for name in ("SeriesDescription", "PatientComments")}


def killed(**_arguments: Any) -> None:
    """Ends as by somebody who kills it."""
    os.kill(os.getpid(), signal.SIGKILL)


def starved(params: dict[str, Any], **_arguments: Any) -> None:
    """Takes more memory than its control group may have, so that the kernel ends it; kills itself without a group."""
    held = []
    if params["memory_group"]:
        Path(params["memory_group"], "cgroup.procs").write_text(str(os.getpid()))
        held += [bytearray(b"x" * (1 << 20)) for _ in range(1024)]
    killed()


def killed_once(params: dict[str, Any], **_arguments: Any) -> str:
    """Is killed at the first attempt."""
    marker = Path(params["folder"]) / "killed"
    if not marker.exists():
        marker.touch()
        killed()
    return "done"


def leaves(**_arguments: Any) -> NoReturn:
    """Leaves its process."""
    sys.exit(0)


def no_json(**_arguments: Any) -> dict[str, Any]:
    """Returns what is not JSON."""
    return {"labels": {1, 2}}


def huge_integer(**_arguments: Any) -> int:
    """Returns what BSON cannot hold."""
    return 2**70


def huge_text(**_arguments: Any) -> str:
    """Returns more than a document can hold."""
    return "x" * (17 * 1024 * 1024)


def waits(job_name: str, params: dict[str, Any], **_arguments: Any) -> str:
    """Runs until somebody lays a file."""
    while not (Path(params["folder"]) / f"{job_name}-may-end").exists():
        time.sleep(0.05)
    return "done"
