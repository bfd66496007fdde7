"""Records from which file each instance of a workspace came, so that a later run can check whether it is still there.

A path means nothing on another machine, so the name of the machine is stored beside it.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dcm_processor_service.backends.mongo.documents import Document

__all__ = ["origin_of", "origins"]


def origin_of(content: Path | bytes) -> Document | None:
    """Returns the machine and the path of a file, with links not resolved, as a document; None for bytes.

    Example:
        >>> origin_of(b"bytes")
    """
    if isinstance(content, bytes):
        return None
    return {"machine": platform.node(), "path": os.path.abspath(content)}  # noqa: PTH100  resolves no links


def origins(rows: Iterable[Document]) -> dict[str, Path]:
    """Returns by id the paths of files on this machine.

    Example:
        >>> origins([{"_id": 1, "origin": {"machine": "another", "path": "/scans/1.dcm"}}, {"_id": 2}])
        {}
    """
    known = {str(row["_id"]): row.get("origin") or {} for row in rows}
    return {one: Path(origin["path"]) for one, origin in known.items() if origin.get("machine") == platform.node()}
