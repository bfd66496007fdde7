"""A child process whose library aborts."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Reads one request, and aborts as a C++ library does on a failed assertion."""
    sys.stdin.buffer.readline()
    os.abort()
