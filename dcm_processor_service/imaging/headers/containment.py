"""Libraries' warnings and logs, kept from quoting the values that they complain about: a value may be a patient's."""

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
    """One thread at a time; no fork meanwhile, or the child would keep silent for ever."""

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
    """Silences warnings and a library's log for a while: both quote the values that they complain about.

    One thread at a time, because Python's warning filters are one per process. Nesting costs next to nothing.
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
