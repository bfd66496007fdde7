"""Silences warnings and logs of libraries, which quote values of headers, and so may quote patient data."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dcm_processor_service.ports.forks import pause_at_forks

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["contained"]

_SILENT = logging.CRITICAL + 1


class _Containment:
    """A lock that one thread at a time may hold.

    A fork of the process waits for the lock: a child that is forked while warnings are silenced would keep them
    silenced.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def pause(self) -> None:
        self._lock.acquire()

    def resume(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.pause()

    def __exit__(self, *_: object) -> None:
        self.resume()


_containment = _Containment()
pause_at_forks(_containment)


@contextmanager
def contained(logger_name: str = "pydicom") -> Iterator[None]:
    """Silences all warnings and the log of a library within a ``with`` block, since both may quote header values.

    Only one thread at a time can be inside such a block, because warning filters are global in a process. Blocks may be
    nested; an inner one costs little.
    """
    logger = logging.getLogger(logger_name)
    with _containment:
        if logger.level == _SILENT:
            yield
            return
        level = logger.level
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logger.setLevel(_SILENT)
            try:
                yield
            finally:
                logger.setLevel(level)
