"""Sending a series to DCMTK's archive: one association, each round to an empty folder.

``storescu`` waits about 40 ms for each instance, as long as TCP delays an acknowledgement; none of its options changes
that, so it is a comparison with the program that everybody has, not with what its language could do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.archives import running_storescp
from tests.benchmarks.bench_sending import ours, storescu
from tests.benchmarks.imaging_rows import fresh
from tests.benchmarks.measuring import Row, Way

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["sending_rows"]


def sending_rows(paths: list[Path], scratch: Path) -> Iterator[Row]:
    """Yields the row of sending."""
    source = paths[0].parent
    with running_storescp(fresh(scratch / "scp")) as scp:

        def emptied() -> Path:
            for path in scp.folder.iterdir():
                path.unlink()
            return source

        yield Row(
            "send",
            f"sending {len(paths)} CT instances of 0.5 MB to DCMTK's storescp over one association. storescu waits "
            "40 ms for each instance, as long as TCP delays an acknowledgement, and none of its options changes that",
            Way("dicom.send", lambda: ours(emptied(), scp.peer)),
            Way("storescu (a process)", lambda: storescu(emptied(), scp.peer)),
            rounds=2,
        )
