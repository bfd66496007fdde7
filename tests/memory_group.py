"""A control group that really limits memory, where this machine lets a test make one: of version 2, or of version 1."""

from __future__ import annotations

import sys
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["joining", "kills_in", "memory_group"]

_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path | None]:
    """Makes a group with a limit of resident memory, without swap; yields None if this process may make none."""
    group = _made(limit_bytes)
    try:
        yield group
    finally:
        if group is not None:
            with suppress(OSError):  # a process that was killed may not have gone yet
                group.rmdir()


def _made(limit_bytes: int) -> Path | None:
    for parent, limits in _places():
        group = parent / f"dcm-test-{uuid.uuid4().hex[:8]}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            for name, value in limits:
                if name in {"memory.swap.max", "memory.memsw.limit_in_bytes"} and not (group / name).exists():
                    continue
                (group / name).write_text(str(limit_bytes if value is None else value), encoding="ascii")
        except OSError:
            group.rmdir()
            continue
        return group
    return None


def _places() -> Iterator[tuple[Path, list[tuple[str, int | None]]]]:
    """Lists where a group may be made: below this process's own, then at the top."""
    second: list[tuple[str, int | None]] = [("memory.max", None), ("memory.swap.max", 0)]
    first: list[tuple[str, int | None]] = [("memory.limit_in_bytes", None), ("memory.memsw.limit_in_bytes", None)]
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _number, controllers, path = line.split(":", 2)
        if not controllers:
            for parent in dict.fromkeys((_ROOT / path.strip("/"), _ROOT)):
                if "memory" in _words(parent / "cgroup.subtree_control"):
                    yield parent, second
        elif "memory" in controllers.split(","):
            yield _ROOT / "memory" / path.strip("/"), first


def _words(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text(encoding="ascii").split()
    return []


def joining(group: Path, command: list[str]) -> list[str]:
    """Returns the command that runs another one in a group."""
    join = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
    return [sys.executable, "-c", join, str(group / "cgroup.procs"), *command]


def kills_in(group: Path) -> int:
    """Returns how many processes of a group the kernel has ended for lack of memory."""
    for name in ("memory.events", "memory.oom_control"):
        for line in _lines(group / name):
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text(encoding="ascii").splitlines()
    return []
