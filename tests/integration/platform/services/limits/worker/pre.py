"""Runs before the container, outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def callback(session_dir: str, **_others: Any) -> None:
    """Leaves something for the job."""
    (Path(session_dir) / "from-pre.txt").write_text("from the pre-script")
