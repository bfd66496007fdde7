"""The conformance statement says what the code does."""

from __future__ import annotations

from tests.conformance import PAGE, TABLES, filled


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page), "run: python -m tests.conformance"


def test_each_table_stands_in_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in TABLES if f"<!-- table: {name} -->" not in page] == []


def test_a_changed_cell_is_noticed() -> None:
    page = PAGE.read_text(encoding="utf-8").replace("`refused`", "`stored`")
    assert page != filled(page)
