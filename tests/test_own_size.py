"""The size of this package itself; docs/measured.md has the size with its dependencies."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "dcm_processor_service"
MOST_BYTES = 3_600_000
"""The package has 3.2 MB; anything that needs more belongs into an extra, or docs/measured.md says why."""
LARGEST_BYTES = 64_000
"""The largest file is a table of 34 kB."""


def files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_the_package_stays_small() -> None:
    assert 1_000_000 < sum(path.stat().st_size for path in files()) < MOST_BYTES


def test_it_holds_no_large_file() -> None:
    assert [path.name for path in files() if path.stat().st_size > LARGEST_BYTES] == []


def test_it_holds_nothing_but_code_tables_and_templates() -> None:
    assert {path.suffix for path in files()} <= {".csv", ".json", ".md", ".py", ".tmpl", ".typed", ""}
