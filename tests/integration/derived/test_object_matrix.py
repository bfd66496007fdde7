"""Each kind of object from each real source is made or refused as documented, and readers find it at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from tests.integration.derived.matrix_limits import LIMITS
from tests.integration.derived.matrix_readers import READERS
from tests.integration.derived.object_matrix import KINDS, SOURCES, Made, cells
from tests.object_tables import PAGE, PINNED, filled, made_table, readers_table, stated_versions, versions

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = "python -m tests.object_tables"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Made]:
    return cells(tmp_path_factory.mktemp("matrix"))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("kind", "reader"), READERS, ids=lambda item: item)
def test_a_reader_finds_an_object_as_it_was_made(
    kind: str, reader: str, source: str, made: dict[tuple[str, str], Made], tmp_path: Path
) -> None:
    cell = made[kind, source]
    if cell.refusal:
        assert not cell.paths  # the table of the documentation says why
        return
    limit = LIMITS.get((kind, reader, source))
    if limit is None:
        READERS[kind, reader](kind, cell, tmp_path)
    else:  # a limit that is none any more is taken from the list
        with pytest.raises(Exception, match=limit.match):
            READERS[kind, reader](kind, cell, tmp_path)


def test_every_limit_is_one_of_a_reader_that_is_tried() -> None:
    assert {(kind, reader) for kind, reader, _ in LIMITS} <= set(READERS)
    assert {source for _, _, source in LIMITS} <= set(SOURCES)
    assert {kind for kind, _ in READERS} == set(KINDS)


def test_the_documentation_lists_what_is_made_and_what_is_read(made: dict[tuple[str, str], Made]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    tables = {"matrix": made_table(made), "readers": readers_table(made, stated_versions(page))}
    assert page == filled(page, tables), f"run {COMMAND}"


def test_the_versions_in_the_documentation_are_ones_that_were_tested() -> None:
    stated, installed = stated_versions(PAGE.read_text(encoding="utf-8")), versions()
    assert set(stated) <= set(installed)
    assert set(stated) >= PINNED
    for name, said in stated.items():
        is_pinned = name in PINNED  # the others become newer by themselves
        assert said == installed[name] if is_pinned else Version(said) <= Version(installed[name]), f"run {COMMAND}"
