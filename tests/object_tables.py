"""The tables of docs/derived_objects.md: which objects are made from which source, and which readers read them.

``python -m tests.object_tables`` writes them. The tests compare them with objects that are made and read anew.
"""

from __future__ import annotations

import re
import tempfile
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from tests.archives import program
from tests.command_line import ROOT
from tests.integration.derived.matrix_limits import LIMITS
from tests.integration.derived.matrix_readers import READERS
from tests.integration.derived.object_matrix import KINDS, SOURCES, cells, run
from tests.node_packages import ADAPTERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.integration.derived.object_matrix import Made

__all__ = ["PAGE", "PINNED", "filled", "made_table", "readers_table", "stated_versions", "versions"]

PAGE = ROOT / "docs" / "derived_objects.md"
PINNED = frozenset({"dcmqi", "@cornerstonejs/adapters", "dcmjs"})
OURS = "dcm-processor-service"
DCMTK = ("dcmdump", "drtdump", "dcm2pnm", "dsrdump", "dcm2pdf")
ROW = re.compile(r"^\| (?P<name>\S+) (?P<version>\d[\w.]*)[ ,|]", flags=re.MULTILINE)


def product_of(reader: str) -> str:
    """Returns the product that a reader belongs to."""
    if reader.startswith(OURS):
        return OURS
    return {"cornerstone adapters": "@cornerstonejs/adapters", **dict.fromkeys(DCMTK, "DCMTK")}.get(reader, reader)


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Returns the versions of the readers that are installed here."""
    found = {name: version(name) for name in ("highdicom", "dcmqi", "pydicom")}
    found |= dict(package.rsplit("@", 1) for package in ADAPTERS)
    said = re.search(r"v(\d+(?:\.\d+)+)", run(program("dcmdump"), "--version").stdout)
    assert said is not None
    return {**found, "DCMTK": said[1]}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]


def made_table(found: Mapping[tuple[str, str], Made]) -> str:
    """Returns the table of kinds by source: made, or refused, with the number of the reason."""
    reasons = list(dict.fromkeys(made.refusal for made in found.values() if made.refusal))
    rows = []
    for name in SOURCES:
        row = [found[kind, name] for kind in KINDS]
        rows.append([name, *(f"refused ({reasons.index(one.refusal) + 1})" if one.refusal else "made" for one in row)])
    lines = table(("", *KINDS), rows)
    lines += ["", *(f"{number}. {reason}" for number, reason in enumerate(reasons, start=1))]
    return "\n".join(lines).rstrip()


def readers_table(found: Mapping[tuple[str, str], Made], installed: Mapping[str, str]) -> str:
    """Returns the table of readers by source: read, not read with the number of the reason, or a dash if not made."""
    limits = list(dict.fromkeys(limit.says for limit in LIMITS.values()))
    rows = []
    for kind, reader in READERS:
        product = product_of(reader)
        named = "this package" if product == OURS else f"{product} {installed[product]}"
        part = ", `like=`" if "like=" in reader else ""
        part += f", {reader}" if product == "DCMTK" else ""
        row = [f"{named}{part}", kind]
        for source in SOURCES:
            limit = LIMITS.get((kind, reader, source))
            read = "read" if limit is None else f"not ({limits.index(limit.says) + 1})"
            row.append("–" if found[kind, source].refusal else read)
        rows.append(row)
    lines = table(("reader", "of", *SOURCES), sorted(rows))
    return "\n".join([*lines, "", *(f"{number}. {says}" for number, says in enumerate(limits, start=1))])


def stated_versions(page: str) -> dict[str, str]:
    """Returns the versions that were tested, as the page states them."""
    return {row["name"]: row["version"] for row in ROW.finditer(page)}


def filled(page: str, tables: Mapping[str, str]) -> str:
    """Returns the page with other tables."""
    for name, text in tables.items():
        start, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        _, found, after = rest.partition(end)
        assert found, f"{PAGE.name} has no place for the table {name}"
        page = f"{before}{start}{text}{end}{after}"
    return page


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = cells(Path(folder))
    tables = {"matrix": made_table(found), "readers": readers_table(found, versions())}
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
