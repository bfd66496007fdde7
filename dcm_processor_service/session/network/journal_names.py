"""Recognises, by its name, data that this package itself stores among the job's data.

The modules that write such data are not imported.
"""

from __future__ import annotations

import re

__all__ = ["is_journal"]

_NAME = re.compile(r"(?:sending|commitment|memory)-[0-9a-f]{32}/.+")


def is_journal(name: str) -> bool:
    """Returns whether data of this name is a journal, a commitment or a memory record, and so no result of the job."""
    return _NAME.fullmatch(name) is not None
