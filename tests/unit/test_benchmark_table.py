"""The page of measurements can be made anew of a run of ``python -m tests.benchmarks``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.benchmarks.table import BEGIN, END, PAGE, write_section

if TYPE_CHECKING:
    from pathlib import Path

RUN = {
    "machine": "a day, a machine",
    "rows": [
        {
            "row": "read",
            "what": "files to voxels",
            "against_other": 0.5,
            "against_bound": None,
            "ways": {
                "ours": {"seconds": [0.2, 0.1], "peak_bytes": 2**20},
                "pydicom": {"seconds": [0.2], "peak_bytes": 0},
            },
        },
        {"row": "collect grows", "exponent": 1.0},
    ],
}


def test_the_table_of_the_page_is_replaced_by_that_of_a_run(tmp_path: Path) -> None:
    page = tmp_path / "measured.md"
    shutil.copy(PAGE, page)
    write_section(RUN, page)
    before, after = (path.read_text(encoding="utf-8") for path in (PAGE, page))
    assert after.split(BEGIN)[0] == before.split(BEGIN)[0]
    assert after.split(END)[1] == before.split(END)[1]
    assert "| `read` | files to voxels | 100 ms | 1 MiB | pydicom | 0.50 |  |" in after
    assert "a day, a machine" in after
    assert after.count("| `") == 1
