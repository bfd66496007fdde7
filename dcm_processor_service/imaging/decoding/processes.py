"""The decoder processes: started at the first compressed series, kept for the next, ended with this process.

Each is an interpreter of its own, asked through pipes. So it needs no ``__main__`` guard, inherits no lock of a thread,
and ends when its pipe does. A process that forks leaves its decoders to its parent and starts its own.
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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.imaging.decoding.worker import HEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["DecodedFrame", "DecoderEndedError", "DecoderProcess", "borrow", "close_decoders", "give_back"]

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from dcm_processor_service.imaging.decoding.worker import main; main()"
)
# what an interpreter and its libraries need; the rest of the environment, which may hold secrets, is not theirs to see
_KEPT_VARIABLES = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # fcntl's F_SETPIPE_SZ, which Python has no name for before 3.10 on some systems


class DecoderEndedError(RuntimeError):
    """A decoder process ended in the middle of a request."""


@dataclass
class DecodedFrame:
    """What a decoder process says of one frame; its pixels, if any, are still in the pipe."""

    process: DecoderProcess
    number: int
    """Of the frame, from 1; 0 where the request failed."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    failure: str = ""
    contradiction: str = ""

    def read(self) -> NDArray[Any]:
        """Returns the pixels in an array of their own."""
        return self.read_into(np.empty(self.shape, self.dtype))

    def read_into(self, target: NDArray[Any]) -> NDArray[Any]:
        """Reads the pixels into a contiguous array of their shape and type, and returns it."""
        self.process.read_exactly(target.reshape(-1).view(np.uint8).data)
        return target


class DecoderProcess:
    """One decoder process; used by one thread at a time.

    Raises:
        ConfigurationError: It cannot be started.
    """

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | _ONE_THREAD
        try:
            self._process = subprocess.Popen(  # noqa: S603 this interpreter, code of our own
                [sys.executable, "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                bufsize=0,
            )
        except OSError as error:
            raise ConfigurationError(
                f"no process can be started to decode compressed pixels ({type(error).__name__}): free some memory, or "
                "allow this user more processes"
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        _widen(self._answers.fileno())

    def fileno(self) -> int:
        """The pipe to wait for."""
        return self._answers.fileno()

    def ask(self, request: dict[str, Any]) -> None:
        """Sends a request; see :mod:`.worker`."""
        with suppress(BrokenPipeError):  # the answer that does not come tells
            self._requests.write(json.dumps(request).encode() + b"\n")

    def answer(self) -> DecodedFrame:
        """Waits for the next answer.

        Raises:
            DecoderEndedError: The process ended instead.
        """
        head = bytearray(HEAD.size)
        self.read_exactly(memoryview(head))
        text = bytearray(HEAD.unpack(head)[0])
        self.read_exactly(memoryview(text))
        said = json.loads(text)
        return DecodedFrame(
            self,
            said.get("number", 0),
            tuple(said.get("shape", ())),
            said.get("type", ""),
            said.get("failure", ""),
            said.get("contradiction", ""),
        )

    def read_exactly(self, target: memoryview) -> None:
        """Fills ``target`` from the pipe.

        Raises:
            DecoderEndedError: The process ended before.
        """
        filled = 0
        while filled < len(target):
            count = self._answers.readinto(target[filled:])  # type: ignore[attr-defined]  # unbuffered, so a FileIO
            if not count:
                raise DecoderEndedError(self._last_words())
            filled += count

    def _last_words(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"the decoder's process ended with exit code {code}"
        name = signal.Signals(-code).name
        if name == "SIGXCPU":
            return "the decoder took longer than it may, and was stopped"
        return f"the decoder's process ended by {name}"

    def end(self) -> None:
        """Ends the process at once: it holds nothing that would be lost."""
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self._answers.close()

    def leave(self) -> None:
        """Forgets the process in a fork, whose parent it belongs to."""
        self._process.returncode = 0  # it is not ours to wait for
        self._requests.close()
        self._answers.close()


def _widen(pipe: int) -> None:
    """Lets a pipe hold a frame, so that a decoder goes on while the last one is read."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # the system allows no more
            fcntl.fcntl(pipe, _SET_PIPE_SIZE, _PIPE_BYTES)


# one set for the process, as there is one set of processors; a fork has none of its own yet
_idle: list[DecoderProcess] = []
_lock = threading.Lock()


def borrow(most: int) -> list[DecoderProcess]:
    """Returns decoder processes for one use, one at least: those that wait, and new ones up to ``most``."""
    with _lock:
        taken = [_idle.pop() for _ in range(min(most, len(_idle)))]
    try:
        while len(taken) < most:
            taken.append(DecoderProcess())
    except ConfigurationError:
        if not taken:
            raise
    return taken


def give_back(processes: Sequence[DecoderProcess], most: int) -> None:
    """Keeps processes that wait for a request; ends those above ``most``."""
    with _lock:
        kept = max(0, most - len(_idle))
        _idle.extend(processes[:kept])
    for process in processes[kept:]:
        process.end()


def close_decoders() -> None:
    """Ends every process that waits; the next compressed series starts new ones."""
    with _lock:
        waiting, _idle[:] = list(_idle), []
    for process in waiting:
        process.end()


def _forget_in_fork() -> None:
    global _lock  # noqa: PLW0603 another thread of the parent may hold it for ever
    _lock = threading.Lock()
    for process in _idle:
        process.leave()
    _idle.clear()


atexit.register(close_decoders)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_fork)
