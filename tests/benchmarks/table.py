"""The table of docs/measured.md, made of a benchmark: ``python -m tests.benchmarks.table benchmarks.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["section", "write_section"]

BEGIN, END = "<!-- made by tests.benchmarks.table -->", "<!-- end -->"
PAGE = Path(__file__).parents[2] / "docs" / "measured.md"
MIB = 2**20


def section(numbers: dict[str, Any]) -> str:
    """Returns the table with what was measured when, where and how."""
    lines = [
        f"`python -m tests.benchmarks`, {numbers['machine']}.",
        "",
        "Each time is the best of several rounds, in which ours and the alternative took turns: compare the ratios,",
        "not the times. Below 1, ours is faster. The bound is the time of what the machine must do in any case.",
        "Memory is ours at its peak, above what was in use before; in rows that measure a process, all of its memory.",
        "`python -m tests.benchmarks NAME` repeats a row, and",
        "`python -m tests.benchmarks.table benchmarks.json` makes this table from the result of a run.",
        "",
        "| row | what is measured | ours | peak | alternative | ours / alternative | ours / bound |",
        "|---|---|---|---|---|---|---|",
    ]
    growth = []
    for row in numbers["rows"]:
        if "exponent" in row:
            growth.append(f"{row['row']} with n to the power of {row['exponent']:.2f}")
            continue
        (name, own), *others = row["ways"].items()
        del name
        against = others[0][0] if row["against_other"] is not None else ""
        lines.append(
            f"| `{row['row']}` | {row['what']} | {seconds(min(own['seconds']))} | {own['peak_bytes'] / MIB:.0f} MiB | "
            f"{against} | {number(row['against_other'])} | {number(row['against_bound'])} |"
        )
    return "\n".join([*lines, "", f"Counted in bytes sent, over n, 2n, 4n and 8n: {'; '.join(growth)}."])


def seconds(value: float) -> str:
    """Returns a duration as people read it."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def number(value: float | None) -> str:
    """Returns a ratio; nothing where there is none to compare with."""
    return "" if value is None else f"{value:.2f}"


def write_section(numbers: dict[str, Any], path: Path = PAGE) -> None:
    """Puts the table into the page, in place of the one before."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{section(numbers)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    write_section(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
