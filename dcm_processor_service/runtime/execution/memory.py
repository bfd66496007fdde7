"""Measures the memory that this process uses, and warns before the kernel ends it for lack of memory.

A container that exceeds its limit is killed without a message, so only its earlier log lines can show the cause.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.memory_records import MemoryRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dcm_processor_service.runtime.logs.job_log import JobLog

__all__ = ["KilledForMemory", "MemoryLimit", "MemoryWatch", "memory_watched"]

_EVERY_S = 0.1
"""Seconds between two measurements.

A measurement takes a ten-thousandth of that time; a program may fill the last tenth of its memory within a second.
"""

_WARN_AT = 0.9

_PATIENCE_S = 2.0
"""Seconds that the end of a job waits for a record that is being written to the store."""

_NO_LIMIT = 1 << 60
"""A number of this size or more means that there is no limit: cgroup v1 then states a number near 2**63."""


@dataclass(frozen=True)
class MemoryLimit:
    """A control group that limits the memory of this process, of version 2 or 1."""

    folder: Path
    limit_bytes: int
    usage: str
    """Name of the file that states how much memory is in use."""

    events: str
    """Name of the file that counts the processes which the kernel has killed."""

    inactive: str
    """Key in ``memory.stat`` of file pages that were read once; pages read more often have the key with ``active``."""

    @classmethod
    def of_this_process(cls, root: Path = Path("/")) -> MemoryLimit | None:
        """Returns the tightest limit that holds for this process; None if there is none.

        Args:
            root: Where ``proc`` and ``sys`` are found.
        """
        found: list[MemoryLimit] = []
        for line in (_text(root / "proc/self/cgroup") or "").splitlines():
            _number, controllers, path = [*line.split(":", 2), "", ""][:3]
            if not controllers:
                found += _limits(
                    root / "sys/fs/cgroup", path, "memory.max", "memory.current", "memory.events", "inactive_file"
                )
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control", "total_inactive_file")
                found += _limits(root / "sys/fs/cgroup/memory", path, *names)
        return min(found, key=lambda one: one.limit_bytes, default=None)

    def used_bytes(self) -> int | None:
        """Returns the memory in use that the kernel cannot free; None if the files can no longer be read."""
        usage = _number_in(self.folder / self.usage)
        if usage is None:
            return None
        statistics = _statistics(self.folder / "memory.stat")  # the kernel drops pages of files before it kills
        pages = (self.inactive, self.inactive.replace("inactive", "active"))
        return max(usage - sum(statistics.get(one, 0) for one in pages), 0)

    def kills(self) -> int:
        """Returns how many processes of the group the kernel has killed for lack of memory."""
        return _statistics(self.folder / self.events).get("oom_kill", 0)


def _limits(mount: Path, path: str, limit: str, usage: str, events: str, inactive: str) -> Iterator[MemoryLimit]:
    """Yields the limits of a group and of the groups above it; in a container, the mount is the container's group."""
    own = mount / path.strip("/")
    for folder in {mount, own, *(one for one in own.parents if mount in one.parents)}:
        value = _number_in(folder / limit)
        if value is not None and value < _NO_LIMIT:
            yield MemoryLimit(folder, value, usage, events, inactive)


def _text(path: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii")
    return None


def _number_in(path: Path) -> int | None:
    text = (_text(path) or "").strip()
    return int(text) if text.isdigit() else None  # version 2 says "max" where there is no limit


def _statistics(file: Path) -> Mapping[str, int]:
    rows = (line.split() for line in (_text(file) or "").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}  # noqa: PLR2004  name and value


class KilledForMemory:
    """Finds out whether the kernel has killed a process of this process's control group since the object was made."""

    def __init__(self, limit: MemoryLimit | None) -> None:
        self._limit = limit
        self._before = limit.kills() if limit else 0

    def sentence(self) -> str:
        """Returns the message about a process that the kernel killed; empty if the kernel killed or counted none."""
        if self._limit is None or self._limit.kills() <= self._before:
            return ""
        return (
            f"the kernel ended the process of the callback for lack of memory: the limit of {self._limit.limit_bytes} "
            "bytes was reached; raise the limit, or hold fewer volumes at once"
        )


class MemoryWatch:
    """Warns once when nine tenths of a limit are in use, and passes a record of that to ``record``."""

    def __init__(self, limit: MemoryLimit, log: JobLog, record: Callable[[MemoryRecord], None] | None = None) -> None:
        self._limit = limit
        self._log = log
        self._record = record

    def look(self) -> bool:
        """Measures the memory in use; returns whether it has warned, or cannot measure any more."""
        used_bytes = self._limit.used_bytes()
        if used_bytes is None:
            return True
        if used_bytes < _WARN_AT * self._limit.limit_bytes:
            return False
        self._log.warning(
            "nine tenths of the memory limit are in use; beyond it the process is killed without a message: raise the "
            "limit, or hold fewer volumes at once",
            used_bytes=used_bytes,
            limit_bytes=self._limit.limit_bytes,
        )
        if self._record is not None:
            self._keep(self._record, MemoryRecord(used_bytes, self._limit.limit_bytes, datetime.now(timezone.utc)))
        return True

    def _keep(self, record: Callable[[MemoryRecord], None], short: MemoryRecord) -> None:
        try:
            record(short)
        except Exception as error:  # noqa: BLE001  the job goes on, because only the command "sessions why" needs this
            self._log.debug("the record that memory ran short was not stored: %s", type(error).__name__)


@contextmanager
def memory_watched(log: JobLog, record: Callable[[MemoryRecord], None] | None = None) -> Iterator[None]:
    """Warns in the log when memory runs short within the block; does nothing where there is no limit.

    Args:
        log: The log of the job.
        record: Called once, from another thread, with a record of the memory in use; it stores the record, which the
            command ``sessions why`` reads.
    """
    limit = MemoryLimit.of_this_process()
    if limit is None:
        yield
        return
    watch, ended = MemoryWatch(limit, log, record), threading.Event()

    def keep_looking() -> None:
        while not watch.look():
            if ended.wait(_EVERY_S):
                return

    thread = threading.Thread(target=keep_looking, name="memory watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_PATIENCE_S)
