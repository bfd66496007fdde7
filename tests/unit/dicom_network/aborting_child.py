"""A child process whose library aborts."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Reads one request, and ends as a C++ library does that finds something impossible."""
    sys.stdin.buffer.readline()
    os.abort()
