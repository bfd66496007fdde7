"""The stores that the tests of this folder run over, and threads and processes that start together."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dcm_processor_service import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

JOB: dict[str, Any] = {"session_id": "5" * 24, "job_id": "1" * 24}
ROOT = Path(__file__).parents[3]


def sqlite_settings(folder: Path, **values: Any) -> RuntimeSettings:
    return RuntimeSettings.without_environment(**(JOB | {"db_provider": "sqlite", "db_url": str(folder)} | values))


def together(work: Callable[[int], T], count: int = 16) -> list[T]:
    """Calls ``work(0)`` to ``work(count - 1)``, each in a thread, all at once; raises what one of them raised."""
    barrier = threading.Barrier(count)

    def start(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs an interpreter of its own; one that hangs is killed and fails the test."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
