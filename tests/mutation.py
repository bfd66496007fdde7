"""Mutation testing of one room: small faults (mutants) are put into its code, and each should make a test fail.

``python -m tests.mutation dicom_network --sample 60`` prints how many mutants the tests killed, and shows those that
lived. mutmut makes the mutants and runs the tests that reach each of them, in a copy of the project: the files here
stay as they are. It needs ``pip install -e .[test,mutation]`` and a system that can fork.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
PACKAGE = "dcm_processor_service"
BESIDE = ("tests", "docs", "examples", "pyproject.toml", "README.md", "CHANGELOG.md")
KILLED = frozenset({"killed", "timeout", "segfault"})
NO_MUTANT = "none-has-this-name"
CASTS = re.compile(r'\bcast\((?:"[^"]*"|None|\w+), ')
ANY_CASE = re.compile(
    r'\b(?:SELECT|INSERT|UPDATE|DELETE|PRAGMA|BEGIN|COMMIT|ROLLBACK|JOIN|ORDER BY)\b|"(?:utf-8|ascii)"'
)
QUICK = 'forkserver_warmup = "collect"\ntimeout_constant = 30.0\n'
THOROUGH = 'forkserver_warmup = "none"\ntimeout_constant = 120.0\n'


@dataclass(frozen=True)
class Room:
    """What is mutated, and which tests should notice."""

    code: tuple[str, ...]
    """Patterns of files; the star also stands for folders within folders."""
    tests: tuple[str, ...]
    """Folders and files that pytest collects; quick ones, for each mutant runs those that reach it."""
    without: tuple[str, ...] = ()
    """Patterns of files that stay as they are."""
    ignored: tuple[str, ...] = ()
    """Tests within those folders that are not run."""

    def files(self) -> list[str]:
        """Returns the paths of what is mutated, from the root of the project."""
        paths = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / PACKAGE).rglob("*.py"))]
        return [path for path in paths if _matches(path, self.code) and not _matches(path, self.without)]


ROOMS = {
    "backends": Room(
        code=(f"{PACKAGE}/backends/*",),
        tests=(
            *("tests/contract", "tests/unit/backends", "tests/unit/test_codec.py", "tests/unit/test_moved_scans.py"),
            *("tests/unit/runtime/test_cleanup.py", "tests/unit/runtime/test_function_api.py"),
        ),
        without=("*/backends/mongo/*",),  # each mutant would wait for the start of a server
    ),
    "derived": Room(code=(f"{PACKAGE}/derived/*",), tests=("tests/unit/derived",)),
    "dicom_network": Room(
        code=(f"{PACKAGE}/dicom_network/*",), tests=("tests/unit/dicom_network", "tests/integration/dicom_network")
    ),
    "imaging": Room(code=(f"{PACKAGE}/imaging/*",), tests=("tests/unit/imaging",)),
    "session": Room(
        code=(f"{PACKAGE}/session/*", f"{PACKAGE}/codec.py"),
        # without the tests that list the members of a class: mutmut adds some to each
        tests=("tests/contract", "tests/unit/session", "tests/unit/test_codec.py", "tests/unit/test_names.py"),
        ignored=("tests/unit/session/test_parity.py",),
    ),
}


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation testing of one room.")
    parser.add_argument("room", choices=sorted(ROOMS))
    parser.add_argument("--only", metavar="MODULE", default="", help="mutants of this module alone, such as planning")
    parser.add_argument("--sample", type=int, metavar="N", help="try so many mutants, drawn at random, not all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw; 0 if not given")
    parser.add_argument("--tests", metavar="PATH", nargs="+", help="run these tests, not all of the room")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many run side by side")
    arguments = parser.parse_args()
    room = ROOMS[arguments.room]
    code = [path for path in room.files() if not arguments.only or Path(path).stem == arguments.only]
    if not code:
        parser.error(f"{arguments.room} has no module {arguments.only}")
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder)
        _copy_project(copy, code, [*(arguments.tests or room.tests), *(f"--ignore={test}" for test in room.ignored)])
        names = _mutants(copy)
        if arguments.sample is not None and arguments.sample < len(names):
            names = random.Random(arguments.seed).sample(names, arguments.sample)
        print(f"{arguments.room}: {len(names)} mutants to try", flush=True)
        results = attempt(copy, names, arguments.processes)
        shown = {name: _mutmut(copy, "show", name) for name in names if results[name] not in KILLED}
        lived = [name for name, difference in shown.items() if not is_equivalent(difference)]
        print(*(shown[name] for name in lived), sep="\n")
    killed, equivalent = len(names) - len(shown), len(shown) - len(lived)
    late = sum(results[name] == "timeout" for name in names)
    print(
        f"{arguments.room}: {killed} of {len(names) - equivalent} killed ({killed / (len(names) - equivalent):.0%}; "
        f"{late} by the time limit), {len(lived)} lived; {equivalent} others change nothing"
    )
    for name in lived:
        print(f"  {name.removeprefix(PACKAGE + '.')}, {results[name]}")


def attempt(folder: Path, names: list[str], processes: int) -> dict[str, str]:
    """Runs the tests against mutants; returns what became of each mutant, by its name.

    Tests run in a fork of a process that has imported everything. What runs while a module is imported ran there
    before the mutant was put in, so the mutants that live are tried again in processes that have imported nothing;
    so are those that took too long, for the machine may have been busy.
    """
    results = _attempt_once(folder, names, processes)
    if lived := [name for name in names if results[name] in {"survived", "timeout"}]:
        settings = folder / "pyproject.toml"
        settings.write_text(settings.read_text(encoding="utf-8").replace(QUICK, THOROUGH), encoding="utf-8")
        again = _attempt_once(folder, lived, processes)
        results |= {name: again[name] for name in lived}
    return results


def _attempt_once(folder: Path, names: list[str], processes: int) -> dict[str, str]:
    said = _mutmut(folder, "run", "--max-children", str(processes), *names)
    results = _results(folder)
    if any(results[name] == "not checked" for name in names):
        sys.exit(f"mutmut stopped early:\n{said[-4000:]}")
    return results


def is_equivalent(difference: str) -> bool:
    """Returns whether a mutant does the same: SQL or an encoding in another case, another type that a cast names."""
    lines = difference.splitlines()
    removed = "\n".join(line[1:] for line in lines if line.startswith("-") and line[:3] != "---")
    added = "\n".join(line[1:] for line in lines if line.startswith("+") and line[:3] != "+++")
    if CASTS.search(removed):
        return CASTS.sub("", removed) == CASTS.sub("", added)
    return removed.lower() == added.lower() and ANY_CASE.search(removed) is not None


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def _copy_project(folder: Path, code: list[str], tests: Iterable[str]) -> None:
    for name in (PACKAGE, *BESIDE):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    settings = {
        "source_paths": [PACKAGE],
        "only_mutate": code,
        "do_not_mutate_patterns": [r"\braise \w+\("],  # the texts of errors
        "also_copy": list(BESIDE),
        "pytest_add_cli_args": ["-p", "no:randomly", "-p", "no:xdist", "-p", "tests.without_shrinking"],
        # a server would be started anew for each mutant, and the archives of others are slow
        "pytest_add_cli_args_test_selection": [
            *(test for test in tests if test.startswith("-") or (ROOT / test).exists()),
            *("-k", "not pymongo and not motor and not test_archives"),
        ],
        "process_isolation": "forkserver",  # mutants begin in a process that has run no test: no thread, no server
        "debug": True,  # says which test fails before anything is mutated
        "timeout_multiplier": 2.0,
    }
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\n")
        file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        file.write(QUICK)


def _mutants(folder: Path) -> list[str]:
    """Has mutmut write the mutants and time the tests; returns the mutants' names."""
    said = _mutmut(folder, "run", NO_MUTANT)
    if "nothing matches" not in said:
        sys.exit(f"mutmut could not begin:\n{said[-4000:]}")
    return sorted(_results(folder))


def _results(folder: Path) -> dict[str, str]:
    """What became of each mutant, by its name."""
    lines = (line.strip().rpartition(": ") for line in _mutmut(folder, "results", "--all", "true").splitlines())
    return {name: result for name, _, result in lines if "__mutmut_" in name}


def _mutmut(folder: Path, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ).stdout


if __name__ == "__main__":
    main()
