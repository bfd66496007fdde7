"""The names of data that are not the job's own; told apart without loading what keeps the journal."""

from __future__ import annotations

import re

__all__ = ["is_journal"]

_NAME = re.compile(r"(?:sending|commitment)-[0-9a-f]{32}/.+")


def is_journal(name: str) -> bool:
    """Returns whether data of this name is a sending's journal or commitments, which are no result of the job."""
    return _NAME.fullmatch(name) is not None
