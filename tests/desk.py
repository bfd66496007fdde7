"""Makes a run of all tests at a desk short: decides which tests only continuous integration runs.

A short run ends within two minutes on two cores, and needs only programs that pip installs. It takes a tenth of the
random examples, one case of a test that has many, the cheapest tests of each file, and no test that is marked ``slow``;
some tests of each folder stay. A path, ``-k``, ``-m``, ``--lf``, ``--all`` or the variable ``CI`` makes a run whole.

``tests/slow.txt`` has a line for each test of which a short run takes no case, or another number, and for each file of
which it takes no test: the number, then the place. It is made from the times that a whole run has measured::

    pytest -n auto --all --cpu-times times.jsonl
    python -m tests.desk times.jsonl
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import zlib
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "TABLE",
    "CpuTimes",
    "begin_apart",
    "cases",
    "examples",
    "is_left_out",
    "is_short",
    "leave_out_cases",
    "leave_out_slow",
    "read_table",
    "set_short",
    "table_of",
]

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("slow.txt")
_SHARE = 10
_MOST_CASES = 1
"""The most cases that a short run takes of a test."""
_FILE_S, _CASE_S, _FIRST_S = 0.2, 0.12, 0.6
"""Processor times: the most that a short run spends on a file of tests, the cheapest first; the most for one test; and
the most for the first of a file, so that nearly every file keeps one."""
_HOUSE, _HOUSE_S, _LONGEST_S, _SAVED_S = re.compile(r"tests/test_\w+\.py::test_"), 0.5, 1.5, 0.05
"""The tests of the whole package, documents and examples: a short run takes all cases of a test within so many seconds.
Of the tests whose cases take longer, it takes one for each file, if that is not too long either. A line of the
table must save something."""
_CONTRACT = re.compile(r"tests/(contract/test_stores|test_\w+)\.py::Test")
"""The tests whose cases are stores: a short run takes all of them, each in one store."""
_WAITING = 8
"""So many seconds of waiting count as one of processor time."""
_WHOLE = ("all", "keyword", "markexpr", "lf")
"""Options that ask for all tests, or that choose some: what they name is never left out."""
_short = False


def is_short(config: pytest.Config) -> bool:
    """Returns whether this run is short: of all tests, at a desk."""
    told = getattr(config, "workerinput", {}).get("is_short")  # set by the parent of a process of pytest-xdist
    if told is not None:
        return bool(told)
    of_all = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return of_all and not os.environ.get("CI") and not any(getattr(config.option, name, None) for name in _WHOLE)


def set_short(*, short: bool) -> None:
    """Decides for this process, before a test module is imported."""
    global _short  # noqa: PLW0603  read by decorators while modules are imported
    _short = short


def examples(number: int) -> int:
    """Returns how many random examples a test takes: ``number``, or a tenth of it in a short run."""
    return max(5, number // _SHARE) if _short else number


def begin_apart(config: pytest.Config) -> None:
    """Lets each process of a parallel short run begin with other files.

    pytest compiles a file of tests once and keeps the result. Where all processes begin with the same file, each
    compiles every file, which takes as long as a quarter of the tests.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None or not _short or config.option.ignore or config.option.ignore_glob:
        return  # pytest ignores no file that is named, as these would be
    root = config.rootpath
    found = sorted(file.relative_to(root) for folder in config.args for file in (root / folder).rglob("test_*.py"))
    names = [name for file in found if not is_left_out(name := file.as_posix())]
    # pytest names the cases of a test that two classes inherit anew for the second: everywhere these must be the first
    begin = [name for name in names if name.startswith("tests/contract/")]
    others = [name for name in names if name not in begin]
    first = len(others) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    config.args = [str(root / name) for name in begin + others[first:] + others[:first]]


@cache
def read_table() -> dict[str, int]:
    """Returns how many cases a short run takes of each costly test, by its place."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return {place: int(kept) for kept, _, place in (line.partition(" ") for line in lines)}


def cases(names: Iterable[str], kept: int, of: str = "") -> set[str]:
    """Returns ``kept`` of the cases of a test, spread evenly over all, the same in every run.

    The first is another one for another name of a test, so that of tests whose cases are stores, each store has some.
    """
    ordered = sorted(names)
    kept = min(kept, len(ordered))
    first = zlib.crc32(of.encode()) % max(1, len(ordered))
    return {ordered[(first + number * len(ordered) // kept) % len(ordered)] for number in range(kept)}


def is_left_out(place: str) -> bool:
    """Returns whether a short run takes no case of a test, or no test of a file."""
    return _short and read_table().get(place) == 0


def leave_out_cases(metafunc: pytest.Metafunc) -> None:
    """Takes cases out of a test before they are made: making all takes a second in each process."""
    calls = metafunc._calls  # pytest has no public way
    place = metafunc.definition.nodeid
    quick = {f"{place}[{call.id}]": call for call in calls if all(mark.name != "slow" for mark in call.marks)}
    if _short and len(calls) > 1:
        taken = cases(quick, _most(place), place)
        metafunc._calls = [call for name, call in quick.items() if name in taken]


def leave_out_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes tests that are marked ``slow`` out of a short run."""
    if not _short:
        return
    left = [item for item in items if item.get_closest_marker("slow")]
    if left:
        config.hook.pytest_deselected(items=left)
        gone = set(left)
        items[:] = [item for item in items if item not in gone]


def _most(place: str) -> int:
    """Returns how many cases a short run takes."""
    return read_table().get(place, sys.maxsize if _HOUSE.match(place) else _MOST_CASES)


class CpuTimes:
    """A plug-in that writes to a file the processor time of each test in a short run, with the programs it starts.

    The time of a test is at most the time that has passed: the whole time of a program that several tests share is
    counted when it ends, in one of them. It is at least an eighth of that, because a process that waits does no test.
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
            passed_s = time.monotonic() - began
            spent_s = max(min(_cpu_s() - began_cpu_s, passed_s), passed_s / _WAITING) / share
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([item.nodeid, round(spent_s, 3)]) + "\n")


def _cpu_s() -> float:
    of_children = os.times()
    return time.process_time() + of_children.children_user + of_children.children_system


def table_of(times: Iterable[str]) -> Iterator[str]:
    """Makes the lines of the table."""
    files: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in times:
        name, cpu_s = json.loads(line)
        place = name.partition("[")[0]
        files[place.partition("::")[0]][place].append(cpu_s)
    for file, tests in sorted(files.items()):
        lines = dict(_lines(tests))
        if len(lines) == len(tests) and not any(lines.values()):
            lines = {file: 0}
        yield from (f"{kept} {place}" for place, kept in sorted(lines.items()))


def _lines(tests: dict[str, list[float]]) -> Iterator[tuple[str, int]]:
    """Makes the lines for the tests of a file: how many cases a short run takes, where that is not the usual number."""
    of_file_s, has_long = 0.0, False
    for place, spent in sorted(tests.items(), key=lambda test: (sum(test[1]) / len(test[1]), test[0])):
        mean = sum(spent) / len(spent)
        if _HOUSE.match(place):
            kept = int(_HOUSE_S / mean) if mean else len(spent)
            if not kept and not has_long and mean < _LONGEST_S:
                kept, has_long = 1, True
            if (len(spent) - kept) * mean > _SAVED_S:
                yield place, kept
        elif not _CONTRACT.match(place):
            if mean > (_CASE_S if of_file_s else _FIRST_S) or (of_file_s and of_file_s + mean > _FILE_S):
                yield place, 0
            else:
                of_file_s += mean


if __name__ == "__main__":
    with Path(sys.argv[1]).open(encoding="utf-8") as measured:
        TABLE.write_text("".join(f"{line}\n" for line in table_of(measured)), encoding="utf-8")
