"""Makes a run of all tests at a desk short: decides which tests only continuous integration runs.

A short run ends within two minutes on two cores, and needs only programs that pip installs. It takes a tenth of the
random examples, some cases of a test that has many, and no test that is marked ``slow``; some tests of each folder
stay. A path, ``--all`` or the variable ``CI`` makes a run whole.

``tests/slow.txt`` has a line for each costly test: how many of its cases a short run takes, then its place. It is made
from the times that a whole run has measured::

    pytest -n auto --all --cpu-times times.jsonl
    python -m tests.desk times.jsonl
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "TABLE",
    "CpuTimes",
    "cases",
    "examples",
    "is_short",
    "leave_out_slow",
    "read_table",
    "set_short",
    "table_of",
]

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("slow.txt")
_SHARE = 10
_MOST_CASES, _MOST_OF_STORE = 2, 1
"""The most cases that a short run takes of a test; and of a test in one store, where the cases are stores."""
_FUNCTION_S, _CASE_S, _SAVED_S = 0.04, 0.12, 0.05
"""Processor times: the most that a short run spends on one test function; the most for a single case, else the test is
left out; and the least that a line of the table must save."""
_HOUSE, _HOUSE_S = "tests/test_", 1.5
"""The tests of the whole package, documents and examples: a short run takes all their cases within so many seconds."""
_STORES = "tests/contract/test_stores.py"
"""The file of tests whose cases are stores: a short run takes each store."""
_short = False


def is_short(config: pytest.Config) -> bool:
    """Returns whether this run is short: of all tests, at a desk."""
    told = getattr(config, "workerinput", {}).get("is_short")  # set by the parent of a process of pytest-xdist
    if told is not None:
        return bool(told)
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return whole and not os.environ.get("CI") and not config.getoption("--all")


def set_short(*, short: bool) -> None:
    """Decides for this process, before a test module is imported."""
    global _short  # noqa: PLW0603  read by decorators while modules are imported
    _short = short


def examples(number: int) -> int:
    """Returns how many random examples a test takes: ``number``, or a tenth of it in a short run."""
    return max(5, number // _SHARE) if _short else number


def read_table() -> dict[str, int]:
    """Returns how many cases a short run takes of each costly test, by its place."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return {place: int(kept) for kept, _, place in (line.partition(" ") for line in lines)}


def cases(names: Iterable[str], kept: int) -> set[str]:
    """Returns ``kept`` of the cases of a test, spread evenly over all, the same in every run."""
    ordered = sorted(names)
    kept = min(kept, len(ordered))
    return {ordered[number * len(ordered) // kept] for number in range(kept)}


def leave_out_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes out of a short run tests marked ``slow``, and cases of tests that have many or are in the table."""
    if not _short or config.option.markexpr:
        return
    table = read_table()
    left = [item for item in items if item.get_closest_marker("slow")]
    groups: dict[str, dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        if not item.get_closest_marker("slow"):
            groups[_group(item.nodeid)][item.nodeid] = item
    for group, found in groups.items():
        taken = cases(found, _most(group, table))
        left += [item for name, item in found.items() if name not in taken]
    if left:
        config.hook.pytest_deselected(items=left)
        gone = set(left)
        items[:] = [item for item in items if item not in gone]


def _group(name: str) -> str:
    """Returns the group of a case, of which a short run takes some: its test, or its test in one store."""
    place, _, case = name.partition("[")
    return f"{place}[{case.partition('-')[0].rstrip(']')}" if place.startswith(_STORES) else place


def _most(group: str, table: dict[str, int]) -> int:
    """Returns how many cases a short run takes."""
    if group.startswith(_STORES):
        return _MOST_OF_STORE
    return table.get(group, sys.maxsize if group.startswith(_HOUSE) else _MOST_CASES)


class CpuTimes:
    """A plug-in that writes to a file the processor time of each test in a short run, with the programs it starts.

    The time of a test is at most the time that has passed: the whole time of a program that several tests share is
    counted when it ends, in one of them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Measures one test with its fixtures."""
        began, began_cpu_s = time.monotonic(), _cpu_s()
        try:
            return (yield)
        finally:
            share = 1 if _short or not item.get_closest_marker("hypothesis") else _SHARE
            spent_s = min(_cpu_s() - began_cpu_s, time.monotonic() - began) / share
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([item.nodeid, round(spent_s, 3)]) + "\n")


def _cpu_s() -> float:
    of_children = os.times()
    return time.process_time() + of_children.children_user + of_children.children_system


def _place(name: str) -> str:
    return name.partition("[")[0]


def table_of(times: Iterable[str]) -> Iterator[str]:
    """Makes the lines of the table."""
    by_place: dict[str, list[float]] = defaultdict(list)
    for line in times:
        name, cpu_s = json.loads(line)
        by_place[_place(name)].append(cpu_s)
    for place, spent in sorted(by_place.items()):
        mean = sum(spent) / len(spent)
        function_s, case_s = (_HOUSE_S, _HOUSE_S) if place.startswith(_HOUSE) else (_FUNCTION_S, _CASE_S)
        most = len(spent) if place.startswith(_HOUSE) else min(len(spent), _MOST_CASES)
        kept = 0 if mean > case_s else max(1, min(most, int(function_s / mean))) if mean else most
        if (most - kept) * mean > _SAVED_S and not place.startswith(_STORES):
            yield f"{kept} {place}"


if __name__ == "__main__":
    with Path(sys.argv[1]).open(encoding="utf-8") as measured:
        TABLE.write_text("".join(f"{line}\n" for line in table_of(measured)), encoding="utf-8")
