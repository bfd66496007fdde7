"""What the pictures of a run's report take of the run, in seconds of the processor: a part, not a way of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.bench_report import SERIES, Shares, headers, make_scans, shares
from tests.benchmarks.measuring import Row, Spent, Way

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["report_rows"]

SLICES, SIDE = 250, 128


def report_rows() -> Iterator[Row]:
    """Yields the row of the pictures."""
    with tempfile.TemporaryDirectory(prefix="benchmark-report-") as folder:
        scans, workspace = Path(folder, "scans"), Path(folder, "workspace")
        scans.mkdir()
        make_scans(scans, SLICES, SIDE)
        last: list[Shares] = []

        def pictures() -> Spent:
            shutil.rmtree(workspace, ignore_errors=True)
            last[:] = [shares(headers, scans, workspace)]
            return Spent(last[0].pictures)

        yield Row(
            "run, pictures",
            f"drawing the pictures in the report of a run over {SERIES} series with {SERIES * SLICES} instances of "
            f"{SIDE} x {SIDE}, whose jobs read headers; processor time",
            Way("pictures", pictures),
            Way("the whole run, the same one", lambda: Spent(last[0].total)),
            target="0.1",
            rounds=2,
        )
