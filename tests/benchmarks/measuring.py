"""Rows of the benchmark: ways of doing one thing, timed by turns, each with the memory that it takes at most."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Growth", "Measured", "Row", "Spent", "Way", "measure", "process"]

MIB = 2**20


class ChildPeak(int):
    """Bytes that a child process had at most: what a way returns that works in one."""


class Spent(float):
    """Seconds of the processor that a way has counted itself: what it returns that is a part of something."""


class Way(NamedTuple):
    """One way of doing a thing."""

    name: str
    work: Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One thing that is measured."""

    name: str
    what: str
    """What is done, with its size, its compression level and its threads."""

    ours: Way
    other: Way | None = None
    """The best alternative that does the same."""

    bound: Way | None = None
    """What the machine has to do at least."""

    target: str = ""
    rounds: int = 5

    @property
    def ways(self) -> list[Way]:
        return [way for way in (self.ours, self.other, self.bound) if way is not None]


@dataclass(frozen=True)
class Growth:
    """How what is asked for grows with the size of the work; counted, so the same on every machine."""

    name: str
    what: str
    counted: str
    count: Callable[[int], float]
    sizes: Sequence[int]


@dataclass
class Measured:
    """The best of all rounds, in seconds, and the memory above what was in use before."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def best(self) -> float:
        return min(self.seconds)


def measure(row: Row, rounds: int) -> dict[str, Measured]:
    """Times the ways of a row by turns, so that a busy machine is busy for all of them."""
    found = {way.name: Measured() for way in row.ways}
    for number in range(rounds + 1):
        _is_warm[:] = [True] if number else []
        for way in row.ways:
            gc.collect()
            reset_peak()
            before = status("VmRSS")
            begin = time.perf_counter()
            result = way.work()
            seconds = time.perf_counter() - begin
            own = found[way.name]
            spent = float(result) if isinstance(result, Spent) else seconds
            is_process = isinstance(result, (ChildPeak, subprocess.CompletedProcess))
            peak = status("VmHWM") - before if not is_process else int(result) if isinstance(result, ChildPeak) else 0
            del result
            if number or is_process:  # the first round loads libraries, and it alone knows the peak of a child
                own.peak_bytes = max(own.peak_bytes, peak)
            if number:
                own.seconds.append(spent)
    return found


def reset_peak() -> None:
    """Lets the kernel count this process's peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


def status(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


_LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
"""Starts a program from a small process: what a child had at most counts from before it became that program."""


def process(arguments: Iterable[object], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Any:
    """Runs a program to its end; in the first round returns what memory it had at most."""
    command = list(map(str, arguments))
    # an installed package has its bytecode: without this, each run of ours would compile it anew
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    how: dict[str, Any] = {"env": {**inherited, **(environment or {})}, "cwd": cwd}
    if not _is_warm:
        launched = subprocess.run(
            [sys.executable, "-c", _LAUNCHER, *command], capture_output=True, text=True, check=True, **how
        )
        return ChildPeak(launched.stdout.split()[-1])
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, **how)


_is_warm: list[bool] = []
"""Not empty once the first round is over."""
