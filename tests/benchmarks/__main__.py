"""All that this package is measured by, or one row of it.

    python -m tests.benchmarks [NAME] [--rounds N] [--json FILE]

Ways of doing one thing are timed by turns, and the best of all rounds counts: read the ratios, not the seconds. Each
row names what is compared, its sizes, compression levels and threads. Peak memory is that above what was in use before;
of another process all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.compressed_rows import compressed_rows
from tests.benchmarks.imaging_rows import imaging_rows, series_folder
from tests.benchmarks.measuring import MIB, Growth, Measured, Row, measure
from tests.benchmarks.process_rows import process_rows
from tests.benchmarks.report_rows import report_rows
from tests.benchmarks.sending_rows import sending_rows
from tests.benchmarks.store_rows import running_database, store_growth, store_rows
from tests.growth import LINEAR, exponent

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = ("imaging", "compressed", "stores", "processes", "sending", "report", "growth")


def rows(wanted: str) -> Iterator[Row | Growth]:
    """Yields all rows, or those of a group or a name."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        paths = stack.enter_context(series_folder())
        made: list[tuple[str, Any]] = [
            ("imaging", lambda: imaging_rows(paths, scratch)),
            ("compressed", lambda: compressed_rows(paths, scratch)),
        ]
        store = stack.enter_context(running_database())
        made += [
            ("stores", lambda: store_rows(store, paths)),
            ("processes", lambda: process_rows(store, paths, scratch)),
            ("sending", lambda: sending_rows(paths, scratch)),
            ("report", report_rows),
            ("growth", lambda: store_growth(store)),
        ]
        for group, rows_of in made:
            if wanted in GROUPS and wanted != group:
                continue
            for row in rows_of():
                if wanted in {"", group, row.name}:
                    yield row


def machine() -> str:
    """Says on what was measured."""
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    cores, load = os.cpu_count(), os.getloadavg()[0]
    day = datetime.now(timezone.utc).date()
    return (
        f"{day}, {found[1] if found else platform.machine()}, {cores} cores (load {load:.1f} at the start), "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def ratio(one: Measured, other: Measured | None) -> str:
    """Returns how many times as long the first takes."""
    return "" if other is None else f"{one.best / other.best:.2f}"


def cell(name: str, measured: Measured | None) -> str:
    """Returns seconds and memory of one way."""
    if measured is None:
        return ""
    return f"{name}\n{measured.best * 1000:.1f} ms, {measured.peak_bytes / MIB:.0f} MiB"


def measured_row(row: Row, rounds: int | None) -> tuple[list[str], dict[str, Any]]:
    """Measures a row; returns the cells of the table, and all numbers."""
    found = measure(row, rounds or row.rounds)
    ours, other, bound = (found[way.name] if way else None for way in (row.ours, row.other, row.bound))
    assert ours is not None
    cells = [
        f"{row.name}\n{row.what}",
        cell(row.ours.name, ours),
        cell(row.other.name if row.other else "", other),
        cell(row.bound.name if row.bound else "", bound),
        ratio(ours, other),
        row.target,
        ratio(ours, bound),
    ]
    numbers = {
        "row": row.name,
        "what": row.what,
        "target": row.target,
        "against_other": float(cells[4]) if cells[4] else None,
        "against_bound": float(cells[6]) if cells[6] else None,
        "ways": {name: {"seconds": each.seconds, "peak_bytes": each.peak_bytes} for name, each in found.items()},
    }
    return cells, numbers


def main() -> None:
    """Prints the tables, and writes every number to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="", help=f"a row, or one of {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, help="of every row; each has its own number when left out")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"))
    options = parser.parse_args()
    console, where = Console(width=160), machine()
    console.print(where)
    table = Table(
        *("row", "ours", "best alternative", "bound", "ours / alternative", "target", "ours / bound"), show_lines=True
    )
    growth = Table("row", "counted", "n, 2n, 4n, 8n", "exponent", show_lines=True)
    numbers: list[dict[str, Any]] = []
    for row in rows(options.name):
        print(row.name, file=sys.stderr)  # noqa: T201  it takes minutes
        if isinstance(row, Growth):
            counts = [row.count(size) for size in row.sizes]
            slope = exponent(row.sizes, counts)
            growth.add_row(
                f"{row.name}\n{row.what}",
                row.counted,
                ", ".join(f"{size}: {count:.0f}" for size, count in zip(row.sizes, counts, strict=True)),
                f"{slope:.2f} ({'linear' if slope <= LINEAR else 'NOT LINEAR'})",
            )
            numbers.append({"row": row.name, "sizes": list(row.sizes), "counts": counts, "exponent": slope})
        else:
            cells, found = measured_row(row, options.rounds)
            table.add_row(*cells)
            numbers.append(found)
        # after each row, so that a run that is stopped leaves what it has measured
        options.json.write_text(json.dumps({"machine": where, "rows": numbers}, indent=1), encoding="utf-8")
    if not numbers:
        parser.error(f"there is no row and no group {options.name!r}")
    for shown in (table, growth):
        if shown.row_count:
            console.print(shown)
    console.print(f"every number is in {options.json}")


if __name__ == "__main__":
    main()
