"""Each kind of object from each real source is made or refused as documented, and readers find it at its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.command_line import ROOT
from tests.integration.derived.object_matrix import LIMITS, READERS, SOURCES, Made, cells, table

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = ROOT / "docs" / "derived_objects.md"


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
    reason = LIMITS.get((kind, reader, source))
    if reason is None:
        READERS[kind, reader](kind, cell, tmp_path)
    else:  # a limit that is none any more is taken from the list
        with pytest.raises(Exception, match=reason):
            READERS[kind, reader](kind, cell, tmp_path)


def test_the_documentation_lists_what_is_made_and_what_is_refused(made: dict[tuple[str, str], Made]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.search(r"<!-- matrix -->\n(.*?)\n<!-- end of matrix -->", text, flags=re.DOTALL)
    assert found is not None
    assert found.group(1).strip() == table(made), f"the table in {DOCUMENT.name} should be:\n{table(made)}"
