"""A run of all tests at a desk is short; a run in continuous integration, or of a named path, is whole."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter

import pytest

from tests import desk
from tests.command_line import ROOT

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

@pytest.mark.parametrize("number", [*range(9), pytest.param(9, marks=pytest.mark.slow)])
def test_costly(number): ...

SLOW = [pytest.param(f"slow {number}", marks=pytest.mark.slow) for number in range(9)]

@pytest.mark.parametrize("store", ["quick", *SLOW])
def test_one_of_many(store): ...

def test_left_to_ci(): ...

@given(strategies.integers())
@settings(max_examples=examples(100), database=None)
def test_random(number):
    with open("examples.txt", "a") as file:
        file.write("x")
"""


def run(pytester: pytest.Pytester, *arguments: str) -> tuple[int, int]:
    """Runs a project of six tests; returns how many cases passed, and how many random examples ran."""
    pytester.makeini(f"[pytest]\ntestpaths = checks\npythonpath = {ROOT}\nmarkers = slow: costly")
    folder = pytester.path / "checks"
    folder.mkdir(exist_ok=True)
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "test_it.py").write_text(TESTS, encoding="utf-8")
    table = "3 checks/test_it.py::test_costly\n0 checks/test_it.py::test_left_to_ci\n"
    (folder / "slow.txt").write_text(table, encoding="utf-8")
    outcomes = pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments).parseoutcomes()
    drawn = pytester.path / "examples.txt"
    return outcomes["passed"], len(drawn.read_text(encoding="utf-8")) if drawn.exists() else 0


@pytest.mark.parametrize("parallel", [(), ("-n", "2")])
def test_a_run_of_everything_at_a_desk_is_short(
    parallel: tuple[str, ...], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert run(pytester, *parallel) == (6, 10)


@pytest.mark.parametrize(
    ("ci", "arguments", "passed"),
    [("", ["--all"], 24), ("", ["checks"], 24), ("true", [], 24), ("", ["-m", "slow"], 11)],
)
def test_all_is_run_where_that_is_asked_for(
    ci: str, arguments: list[str], passed: int, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    assert run(pytester, *arguments) == (passed, 0 if "-m" in arguments else 100)


@pytest.mark.parametrize(
    ("arguments", "passed"), [(["-m", "slow or hypothesis"], 12), (["-k", "left_to_ci or random"], 2)]
)
@pytest.mark.parametrize("parallel", [(), ("-n", "1")])
def test_what_an_option_chooses_is_not_left_out(
    parallel: tuple[str, ...],
    arguments: list[str],
    passed: int,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert run(pytester, *parallel, *arguments) == (passed, 100)


@pytest.mark.parametrize("option", ["--ignore=checks/test_other.py", "--ignore-glob=*other*"])
@pytest.mark.parametrize("parallel", [(), ("-n", "2")])
def test_a_file_that_an_option_leaves_out_is_not_run(
    parallel: tuple[str, ...], option: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    pytester.mkdir("checks").joinpath("test_other.py").write_text("def test_other(): ...", encoding="utf-8")
    assert run(pytester, *parallel, option) == (6, 10)


def test_a_test_that_failed_is_run_again(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    run(pytester)
    file = pytester.path / "checks/test_it.py"
    file.write_text(
        TESTS.replace("def test_left_to_ci(): ...", "def test_left_to_ci(): assert False"), encoding="utf-8"
    )
    assert pytester.runpytest_subprocess("--all").parseoutcomes() == {"failed": 1, "passed": 23}
    assert pytester.runpytest_subprocess("--lf").parseoutcomes()["failed"] == 1


def names_in(path: str) -> list[str]:
    """Returns the names of a file's test functions, by a pattern, because parsing all files would take long."""
    file = ROOT / path
    return (
        re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
        if file.is_file()
        else []
    )


def test_each_line_of_the_table_names_a_test_or_a_file() -> None:
    names: dict[str, set[str]] = {}
    for place in desk.read_table():
        path, name = place.partition("::")[0], place.rpartition("::")[2]
        if path not in names:
            names[path] = {path, *names_in(path)}
            assert len(names[path]) > 1, f"tests/slow.txt: {path} has no test; take the line out"
        assert name in names[path], f"tests/slow.txt: there is no {place}; take the line out, or name what it became"


def test_each_folder_of_tests_keeps_some_in_a_short_run() -> None:
    left_out = Counter(place.partition("::")[0] for place, kept in desk.read_table().items() if not kept)
    left_out |= {place: sys.maxsize for place in desk.read_table() if "::" not in place}
    kept: Counter[str] = Counter()
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        path = file.relative_to(ROOT).as_posix()
        text = file.read_text(encoding="utf-8")
        always_slow = text.count("@pytest.mark.slow") + ("pytestmark = pytest.mark.slow" in text) * sys.maxsize
        kept[file.parent.relative_to(ROOT).as_posix()] += max(0, len(names_in(path)) - left_out[path] - always_slow)
    assert kept
    assert [folder for folder, number in kept.items() if not number] == ["tests/typing"]  # one run of mypy


def test_of_many_cases_one_stays_but_of_the_whole_package_all() -> None:
    assert desk._most("tests/unit/test_it.py::test_one") == 1
    assert desk._most("tests/contract/test_stores.py::TestStores::test_one") == 1
    assert desk._most("tests/test_architecture.py::test_one") > 1000
    assert desk._most("tests/test_examples.py::TestData::test_one") == 1


def test_cases_are_spread_over_all_and_the_same_in_every_run() -> None:
    names = [f"t[{number}]" for number in range(10)]
    assert desk.cases(names, 4, "t") == desk.cases(reversed(names), 4, "t")
    assert len(desk.cases(names, 4, "t")) == 4
    assert {len(desk.cases(names, kept, "t") & set(names[5:])) for kept in (2, 4, 6, 8)} == {1, 2, 3, 4}
    assert desk.cases(["b", "a"], 5) == {"a", "b"}
    assert desk.cases(["b", "a"], 0) == set()
    assert desk.cases([], 1) == set()


def test_of_tests_whose_cases_are_stores_each_store_has_some() -> None:
    stores = ["memory", "mongo", "motor", "sqlite"]
    taken = Counter(store for number in range(200) for store in desk.cases(stores, 1, f"test_{number}"))
    assert sorted(taken) == stores
    assert min(taken.values()) > 25


def table_of(measured: dict[str, float]) -> list[str]:
    return list(desk.table_of(json.dumps(pair) for pair in measured.items()))


def test_a_short_run_takes_the_cheapest_tests_of_a_file_and_leaves_out_a_file_of_which_each_test_is_long() -> None:
    measured = {f"a.py::test_{number}": 0.08 + number / 1000 for number in range(6)}
    measured |= {f"b.py::test_cases[{number}]": 0.5 for number in range(9)} | {"b.py::test_next": 0.51}
    measured |= {"c.py::test_long": 2.0, "c.py::test_longer": 3.0, "d.py::test_free[x]": 0.0}
    assert table_of(measured) == [
        "0 a.py::test_2",
        "0 a.py::test_3",
        "0 a.py::test_4",
        "0 a.py::test_5",
        "0 b.py::test_next",
        "0 c.py",
    ]


def test_of_the_tests_of_the_whole_package_a_short_run_takes_the_cases_that_fit_into_half_a_second() -> None:
    measured = {f"tests/test_a.py::test_many[{number}]": 0.0625 for number in range(100)}
    measured |= {f"tests/test_a.py::test_long[{number}]": 0.9 for number in range(2)}
    measured |= {f"tests/test_a.py::TestStore::test_one[{number}]": 0.9 for number in range(2)}
    measured |= {"tests/test_a.py::test_longest": 2.0, "tests/test_a.py::test_once": 0.9}
    measured |= {f"tests/test_a.py::test_free[{number}]": 0.0 for number in range(9)}
    assert table_of(measured) == [
        "1 tests/test_a.py::test_long",
        "0 tests/test_a.py::test_longest",
        "8 tests/test_a.py::test_many",
        "0 tests/test_a.py::test_once",
    ]
