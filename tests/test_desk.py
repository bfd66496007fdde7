"""A run of all tests at a desk is short; a run in continuous integration, or of a named path, is whole."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests import desk
from tests.command_line import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

CONFTEST = """
from pathlib import Path

import tests.desk
from tests.conftest import *

tests.desk.TABLE = Path(__file__).with_name("slow.txt")
"""
TESTS = """
import pytest
from hypothesis import given, settings, strategies
from tests.desk import examples

@pytest.mark.slow
def test_slow(): ...

def test_quick(): ...

@pytest.mark.parametrize("number", range(10))
def test_costly(number): ...

def test_left_to_ci(): ...

@given(strategies.integers())
@settings(max_examples=examples(100), database=None)
def test_random(number):
    with open("examples.txt", "a") as file:
        file.write("x")
"""


def run(pytester: pytest.Pytester, *arguments: str) -> tuple[int, int]:
    """Runs a project of five tests; returns how many cases passed, and how many random examples ran."""
    pytester.makeini(f"[pytest]\ntestpaths = checks\npythonpath = {ROOT}\nmarkers = slow: costly")
    folder = pytester.mkdir("checks")
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "test_it.py").write_text(TESTS, encoding="utf-8")
    table = "3 checks/test_it.py::test_costly\n0 checks/test_it.py::test_left_to_ci\n"
    (folder / "slow.txt").write_text(table, encoding="utf-8")
    outcomes = pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments).parseoutcomes()
    return outcomes["passed"], len((pytester.path / "examples.txt").read_text(encoding="utf-8"))


@pytest.mark.parametrize("parallel", [(), ("-n", "2")])
def test_a_run_of_everything_at_a_desk_is_short(
    parallel: tuple[str, ...], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert run(pytester, *parallel) == (5, 10)


@pytest.mark.parametrize(("ci", "arguments"), [("", ["--all"]), ("", ["checks"]), ("true", [])])
def test_all_is_run_where_that_is_asked_for(
    ci: str, arguments: list[str], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    assert run(pytester, *arguments) == (14, 100)


def names_in(path: str) -> list[str]:
    """Returns the names of a file's test functions, by a pattern, because parsing all files would take long."""
    file = ROOT / path
    return (
        re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
        if file.is_file()
        else []
    )


def test_each_line_of_the_table_names_a_test() -> None:
    names: dict[str, set[str]] = {}
    for place in desk.read_table():
        path, *_, name = place.split("::")
        if path not in names:
            names[path] = set(names_in(path))
        assert name in names[path], f"tests/slow.txt: there is no {place}; take the line out, or name what it became"


def test_each_folder_of_tests_keeps_some_in_a_short_run() -> None:
    left_out = Counter(place.partition("::")[0] for place, kept in desk.read_table().items() if not kept)
    kept: Counter[str] = Counter()
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        path = file.relative_to(ROOT).as_posix()
        text = file.read_text(encoding="utf-8")
        always_slow = text.count("@pytest.mark.slow") + ("pytestmark = pytest.mark.slow" in text) * sys.maxsize
        kept[file.parent.relative_to(ROOT).as_posix()] += max(0, len(names_in(path)) - left_out[path] - always_slow)
    assert kept
    assert [folder for folder, number in kept.items() if not number] == ["tests/typing"]  # one run of mypy


def test_of_many_cases_two_stay_and_of_stores_one_of_each() -> None:
    assert desk._most("tests/unit/test_it.py::test_one", {}) == 2
    assert desk._most("tests/test_architecture.py::test_one", {}) > 1000
    group = desk._group("tests/contract/test_stores.py::TestStores::test_one[sqlite-a-b]")
    assert group == "tests/contract/test_stores.py::TestStores::test_one[sqlite"
    assert desk._most(group, {}) == 1
    assert desk._group("tests/unit/test_it.py::test_one[a]") == "tests/unit/test_it.py::test_one"


def test_cases_are_spread_over_all_and_the_same_in_every_run() -> None:
    assert desk.cases([f"t[{number}]" for number in range(10)], 3) == {"t[0]", "t[3]", "t[6]"}
    assert desk.cases(["b", "a"], 5) == {"a", "b"}
    assert desk.cases(["b", "a"], 0) == set()


def test_the_table_follows_from_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    measured = {"a.py::test_quick": 0.01, "a.py::test_long": 2.0, "a.py::test_free[x]": 0.0}
    measured |= {f"a.py::test_cases[{number}]": 0.06 for number in range(9)}
    measured |= {f"a.py::test_many[{number}]": 0.06 for number in range(50)}
    measured |= {f"a.py::test_little[{number}]": 0.02 for number in range(3)}
    lines = [json.dumps(pair) for pair in measured.items()]
    assert list(desk.table_of(lines)) == ["1 a.py::test_cases", "0 a.py::test_long", "1 a.py::test_many"]
