"""Recognises data that is not the job's own by its name, without importing the modules that write it."""

from __future__ import annotations

import re

__all__ = ["is_journal"]

_NAME = re.compile(r"(?:sending|commitment|memory)-[0-9a-f]{32}/.+")


def is_journal(name: str) -> bool:
    """Returns whether data of this name is a journal, commitments or a memory record: no result of the job."""
    return _NAME.fullmatch(name) is not None
