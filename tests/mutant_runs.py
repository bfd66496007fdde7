"""A plug-in of pytest that runs the collected tests once, then those that reach a mutant again for each mutant.

It is part of ``python -m tests.mutation``, which writes the plan. Each run is a fork of a process that has imported and
collected everything and has run no test, so it has no thread, no server and no process of its own: the processes that
its tests start (decoders, commands) have its mutant on. A run ends with the first test that fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _pytest.runner import runtestprotocol
from _pytest.warnings import catch_warnings_for_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pytest

SWITCH = '''"""Says which mutant is on, and notes which test reaches it, also in the processes that a test starts."""
import os
import subprocess

on, noted, seen = os.environ.get("MUTANT_ON", ""), os.environ.get("MUTANTS_NOTED", ""), set()
under_way = os.open(os.environ["MUTANTS_TEST"], os.O_RDONLY) if noted else -1


def is_on(name, read=os.pread, open=os.open, write=os.write, close=os.close):
    if noted:
        test, _, _ = read(under_way, 4096, 0).decode().partition("\\n")
        pair = f"{name}\\t{test}\\n"
        if pair not in seen:
            seen.add(pair)
            file = open(noted, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            write(file, pair.encode())
            close(file)
    return name == on


def start(self, *arguments, env=None, start=subprocess.Popen.__init__, **options):
    if env is not None:
        told = ("MUTANT_ON", "MUTANTS_NOTED", "MUTANTS_TEST")
        env = {**env, **{name: os.environ[name] for name in told if name in os.environ}}
    start(self, *arguments, env=env, **options)


subprocess.Popen.__init__ = start
'''
BROKEN = 3


class Runs:
    """The runs of one plan."""

    def __init__(self, session: pytest.Session, plan: Path) -> None:
        self.session, self.folder = session, plan.parent
        told = json.loads(plan.read_text(encoding="utf-8"))
        self.names, self.switch, self.budget = told["names"], told["switch"], told["budget"]
        self.processes = told["processes"]
        self.items = {item.nodeid: item for item in session.items}
        self.costs: dict[str, float] = {}
        self.reached: defaultdict[str, set[str]] = defaultdict(set)

    def all(self) -> None:
        """Runs everything; writes the result of each mutant as a line of ``results.jsonl``."""
        self._measure()
        self._read()
        if self._attempt({"no mutant": self._tests(self.costs, self.budget / 4)}) != {"no mutant": "lived"}:
            print("tests fail in forks without a mutant: believe nothing of this", flush=True)
        tried = self._attempt({name: self._tests(self.reached[name], self.budget) for name in self.names})
        again = {}
        for name, found in tried.items():
            if found == "lived":
                files = {test.partition("::")[0] for test in self.reached[name] if test}
                others = {test for test in self.costs if test.partition("::")[0] in files} - self.reached[name]
                again[name] = self._tests(others, self.budget / 2)
        self._attempt(again)

    def _measure(self) -> None:
        """Runs each file of tests that was not run before; notes the cost of each test, and the mutants it reaches."""
        known = self._lines("costs.jsonl")
        done = {one["test"] for one in known}
        files = defaultdict(list)
        for name, item in self.items.items():
            if name not in done:
                files[name.partition("::")[0]].append(item)
        works = {file: partial(self._measured, items) for file, items in files.items()}
        self._side_by_side(works, dict.fromkeys(works, 3600.0))

    def _measured(self, items: list[pytest.Item]) -> int:
        switch: Any = sys.modules[self.switch]
        os.environ["MUTANTS_TEST"] = str(self.folder / f"{os.getpid()}.test")
        switch.under_way = os.open(os.environ["MUTANTS_TEST"], os.O_RDWR | os.O_CREAT)
        switch.noted = os.environ["MUTANTS_NOTED"] = str(self.folder / "reached.tsv")
        for item, following in zip(items, [*items[1:], None], strict=False):
            before = _cpu()
            # a process that several tests share reads here which test is running
            os.pwrite(switch.under_way, f"{item.nodeid}\n".encode(), 0)
            failed = _fails(item, following)
            self._note("costs.jsonl", test=item.nodeid, cost=_cpu() - before, failed=failed)
        return 0

    def _read(self) -> None:
        for one in self._lines("costs.jsonl"):
            if one["failed"]:
                print("fails without a mutant:", one["test"], flush=True)
            elif one["test"] in self.items:
                self.costs[one["test"]] = one["cost"]
        noted = self.folder / "reached.tsv"
        for line in noted.read_text(encoding="utf-8").splitlines() if noted.exists() else ():
            name, _, test = line.partition("\t")
            if not test or test in self.costs:
                self.reached[name].add(test)

    def _tests(self, tests: Iterable[str], budget: float) -> list[str]:
        """Returns the quickest of the tests, as many as the budget allows."""
        chosen, spent = list[str](), 0.0
        for test in sorted(tests, key=lambda test: self.costs.get(test, 0)):
            spent += self.costs.get(test, 0)
            if chosen and spent > budget:
                break
            chosen.append(test)
        return chosen

    def _attempt(self, tests: dict[str, list[str]]) -> dict[str, str]:
        works: dict[str, Callable[[], int]] = {}
        limits: dict[str, float] = {}
        results: dict[str, str] = {}
        for name, chosen in tests.items():
            limits[name] = 20 + 10 * sum(self.costs.get(test, 0) for test in chosen)
            works[name] = partial(self._mutated, name, chosen)

        def ended(name: str, code: int) -> None:
            found = {0: "lived", 1: "killed", BROKEN: "broken"}.get(code, "ended")
            results[name] = found if tests[name] or found != "lived" else "untested"
            self._note("results.jsonl", name=name, result=results[name], tests=len(tests[name]))

        self._side_by_side(works, limits, ended)
        return results

    def _mutated(self, name: str, chosen: list[str]) -> int:
        switch: Any = sys.modules[self.switch]
        switch.on = os.environ["MUTANT_ON"] = name
        if "" in chosen:  # reached while modules are imported
            files = sorted({test.partition("::")[0] for test in chosen if test} or set(self.session.config.args))
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", *files]
            return min(1, subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode)
        items = [self.items[test] for test in chosen]
        return int(any(_fails(item, following) for item, following in zip(items, [*items[1:], None], strict=False)))

    def _side_by_side(
        self,
        works: Mapping[str, Callable[[], int]],
        limits: Mapping[str, float],
        ended: Callable[[str, int], None] = lambda _name, _code: None,
    ) -> None:
        waiting, running = list(works), dict[int, tuple[str, float]]()
        try:
            while waiting or running:
                while waiting and len(running) < self.processes:
                    name = waiting.pop(0)
                    running[self._fork(works[name], limits[name])] = name, time.monotonic()
                process, status = os.waitpid(-1, os.WNOHANG)
                if process in running:
                    shutil.rmtree(self.folder / str(process), ignore_errors=True)
                    ended(running.pop(process)[0], os.waitstatus_to_exitcode(status))
                    _end(process)
                    continue
                for process, (name, begun) in running.items():
                    if time.monotonic() - begun > 60 + 6 * limits[name]:
                        _end(process)
                time.sleep(0.05)
        finally:
            for process in running:
                _end(process)

    def _fork(self, work: Callable[[], int], limit: float) -> int:
        process = os.fork()
        if process:
            return process
        code = BROKEN
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 5))
            factory: Any = vars(self.session.config)["_tmp_path_factory"]
            factory._basetemp = self.folder / str(os.getpid())
            factory._basetemp.mkdir()
            quiet = os.open(os.devnull, os.O_RDWR)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            code = work()
        finally:
            os._exit(code)

    def _note(self, file: str, **values: object) -> None:
        with (self.folder / file).open("a", encoding="utf-8") as out:
            out.write(json.dumps(values) + "\n")

    def _lines(self, file: str) -> list[dict[str, Any]]:
        path = self.folder / file
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Runs the tests on mutants, in place of pytest's own loop."""
    if session.testsfailed:
        return True
    Runs(session, Path(os.environ["MUTANT_PLAN"])).all()
    return True


def _fails(item: pytest.Item, following: pytest.Item | None) -> bool:
    """Returns whether a test fails; runs it as pytest does, with the filters of warnings that it sets."""
    with catch_warnings_for_item(item.config, item.ihook, "runtest", item):
        return any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))


def _cpu() -> float:
    mine, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + others.ru_utime + others.ru_stime


def _end(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
