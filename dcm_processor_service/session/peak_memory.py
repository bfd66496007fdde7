"""The most memory that this process has used."""

from __future__ import annotations

import sys

__all__ = ["peak_memory_bytes"]

_KIB = 1024


def peak_memory_bytes() -> int | None:
    """Returns the most resident memory that this process has had so far; None if the system does not say."""
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB
