"""Libraries' warnings and logs, kept from quoting the values that they complain about: a value may be a patient's."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["contained"]

_SILENT = logging.CRITICAL + 1
_containment = threading.RLock()


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
