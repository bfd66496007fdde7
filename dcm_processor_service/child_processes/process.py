"""Child processes for code that may abort, and must not abort this process with it: libraries that decode and encode.

A child is a new interpreter that gets its requests through a pipe. It therefore needs no ``__main__`` guard, inherits
no lock of a thread, and ends when the pipe is closed. A forked process leaves the children to its parent and starts its
own. The functions for the child's side are in :mod:`.inside`.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakSet

from dcm_processor_service.child_processes.inside import HEAD
from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ChildEndedError", "ChildPool", "ChildProcess"]

# what an interpreter and its libraries need; they must not see the rest of the environment, which may hold secrets
_KEPT_VARIABLES = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # Linux's F_SETPIPE_SZ, which not every build of Python names in fcntl


class ChildEndedError(RuntimeError):
    """A child process ended in the middle of a request."""


class ChildProcess:
    """One child process; used by one thread at a time.

    Args:
        module: The module whose ``main()`` the process runs.
        purpose: What the process is for, such as "decode compressed pixels"; the error message names it.

    Raises:
        ConfigurationError: It cannot be started.
    """

    def __init__(self, module: str, purpose: str) -> None:
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | _ONE_THREAD
        start = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main()"
        try:
            self._process = subprocess.Popen(  # noqa: S603 this interpreter, code of our own
                [sys.executable, "-c", start, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                bufsize=0,
            )
        except OSError as error:
            raise ConfigurationError(
                f"no process can be started to {purpose} ({type(error).__name__}): free some memory, or allow this "
                "user more processes"
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        _widen(self._answers.fileno())

    def fileno(self) -> int:
        """Returns the descriptor of the pipe on which answers arrive."""
        return self._answers.fileno()

    def ask(self, request: dict[str, Any], content: bytes = b"") -> None:
        """Sends a request: one line of JSON, then the bytes whose number the JSON states."""
        with suppress(BrokenPipeError):  # reading the answer raises the error
            for part in (json.dumps(request).encode() + b"\n", content):
                rest = memoryview(part)
                while rest:
                    rest = rest[self._requests.write(rest) :]

    def answer(self) -> dict[str, Any]:
        """Waits for the JSON of the next answer; the bytes that follow it are still in the pipe.

        Raises:
            ChildEndedError: The process ended before it answered.
        """
        head = bytearray(HEAD.size)
        self.read_exactly(memoryview(head))
        text = bytearray(HEAD.unpack(head)[0])
        self.read_exactly(memoryview(text))
        said: dict[str, Any] = json.loads(text)
        return said

    def read_exactly(self, target: memoryview) -> None:
        """Fills ``target`` from the pipe.

        Raises:
            ChildEndedError: The process ended before it had sent as many bytes.
        """
        filled = 0
        while filled < len(target):
            count = self._answers.readinto(target[filled:])  # type: ignore[attr-defined]  # unbuffered, so a FileIO
            if not count:
                raise ChildEndedError(self._reason_of_end())
            filled += count

    def _reason_of_end(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"its process ended with exit code {code}"
        name = signal.Signals(-code).name
        if name == "SIGXCPU":
            return "it took longer than it may, and was stopped"
        return f"its process ended by {name}"

    def end(self) -> None:
        """Kills the process, which holds nothing that would be lost."""
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self._answers.close()

    def leave(self) -> None:
        """Forgets the process in a forked child: it belongs to the parent."""
        self._process.returncode = 0  # so that nothing waits for it: it is not a child of this process
        self._requests.close()
        self._answers.close()


def _widen(pipe: int) -> None:
    """Enlarges a pipe to hold a frame, so that a decoder can go on while the parent reads the previous frame."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # the system allows no more
            fcntl.fcntl(pipe, _SET_PIPE_SIZE, _PIPE_BYTES)


P = TypeVar("P", bound=ChildProcess)


class ChildPool(Generic[P]):
    """Child processes of one kind that wait for their next use; a forked process begins with none.

    Args:
        make: Starts a process.
    """

    def __init__(self, make: Callable[[], P]) -> None:
        self._make = make
        self._idle: list[P] = []
        self._lock = threading.Lock()
        _pools.add(self)
        atexit.register(self.close)

    def borrow(self, most: int) -> list[P]:
        """Returns ``most`` processes, idle or new ones; fewer, but at least one, if no more can be started."""
        with self._lock:
            taken = [self._idle.pop() for _ in range(min(most, len(self._idle)))]
        try:
            while len(taken) < most:
                taken.append(self._make())
        except ConfigurationError:
            if not taken:
                raise
        return taken

    def give_back(self, processes: Sequence[P], most: int) -> None:
        """Keeps idle processes for the next use, at most ``most`` in all; ends the others."""
        with self._lock:
            kept = max(0, most - len(self._idle))
            self._idle.extend(processes[:kept])
        for process in processes[kept:]:
            process.end()

    def close(self) -> None:
        """Ends every idle process; the next use starts new ones."""
        with self._lock:
            waiting, self._idle[:] = list(self._idle), []
        for process in waiting:
            process.end()

    def forget(self) -> None:
        """Forgets the parent's processes after a fork; makes a new lock, as a thread of the parent may hold the old."""
        self._lock = threading.Lock()
        for process in self._idle:
            process.leave()
        self._idle.clear()


_pools: WeakSet[ChildPool[Any]] = WeakSet()


def _forget_all() -> None:
    for pool in list(_pools):
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
