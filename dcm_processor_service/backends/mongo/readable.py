"""Reads lists of documents that other programs write: leaves out and logs malformed ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from dcm_processor_service.errors import StoredValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dcm_processor_service.backends.mongo.documents import Document

__all__ = ["readable"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


def readable(rows: Iterable[Document], read: Callable[[Document], T], where: str) -> list[tuple[Document, T]]:
    """Returns each document with its model; logs documents that cannot be read.

    Args:
        rows: The documents.
        read: Reads one document.
        where: The name of the list, for the log lines about documents that are left out.
    """
    found = []
    for row in rows:
        try:
            found.append((row, read(row)))
        except StoredValueError as error:
            _LOG.warning("left out of %s: %s", where, error)
    return found
