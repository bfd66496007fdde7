"""How much memory this process has taken."""

from __future__ import annotations

import sys

__all__ = ["peak_memory_bytes"]

_KIB = 1024


def peak_memory_bytes() -> int | None:
    """Returns the most resident memory that this process has had so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB
