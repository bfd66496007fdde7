"""Mutation testing of one room: small faults (mutants) are put into its code, and each should make a test fail.

``python -m tests.mutation dicom_network --sample 60`` prints how many mutants the tests killed, and shows those that
lived. It works in a copy of the project: the files here stay as they are. All drawn mutants stand in the copy at once,
each behind a switch. The tests are run once to see which of them reach which mutant, then for each mutant those that
reach it, the quickest first. It needs a system that can fork.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutant_runs import SWITCH
from tests.mutants import Mutant, mutants_of, with_switches

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
PACKAGE = "dcm_processor_service"
BESIDE = ("tests", "docs", "examples", "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")
MODULE = f"{PACKAGE}.mutant_switch"
KILLED = frozenset({"killed", "ended"})


@dataclass(frozen=True)
class Room:
    """The code that is mutated, and the tests that should notice."""

    code: tuple[str, ...]
    """Patterns of files; the star also stands for folders within folders."""
    tests: tuple[str, ...]
    """Folders and files that pytest collects; they should be quick, because each mutant runs those that reach it."""
    without: tuple[str, ...] = ()
    """Patterns of files that stay as they are."""
    ignored: tuple[str, ...] = ()
    """Tests within those folders that are not run."""

    def files(self) -> list[str]:
        """Returns the paths of the files to mutate, from the root of the project."""
        paths = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / PACKAGE).rglob("*.py"))]
        return [path for path in paths if _matches(path, self.code) and not _matches(path, self.without)]


ROOMS = {
    "backends": Room(
        code=(f"{PACKAGE}/backends/*",),
        tests=(
            *("tests/contract", "tests/unit/backends", "tests/unit/test_codec.py", "tests/unit/test_moved_scans.py"),
            *("tests/unit/runtime/test_cleanup.py", "tests/unit/runtime/test_function_api.py"),
            *("tests/unit/local/test_workspace.py", "tests/faults/local/test_durability.py"),
        ),
        without=("*/backends/mongo/*",),  # each mutant would wait for the start of a server
    ),
    "derived": Room(code=(f"{PACKAGE}/derived/*",), tests=("tests/unit/derived",)),
    "dicom_network": Room(
        code=(f"{PACKAGE}/dicom_network/*",), tests=("tests/unit/dicom_network", "tests/integration/dicom_network")
    ),
    "imaging": Room(
        code=(f"{PACKAGE}/imaging/*",),
        # pictures of results, and what a browser shows, are tested where they are used
        tests=(
            *("tests/unit/imaging", "tests/unit/local/test_result_sheets.py", "tests/unit/session/test_report.py"),
            *("tests/unit/derived/test_overlay.py", "tests/unit/derived/test_presentation.py"),
            # what reads a folder of scans, glances at a file, or lists one for a peer
            *("tests/unit/test_notebook.py", "tests/unit/test_moved_scans.py", "tests/unit/local/test_ingest.py"),
            "tests/unit/dicom_network/test_sources.py",
        ),
    ),
    "session": Room(
        code=(f"{PACKAGE}/session/*", f"{PACKAGE}/codec.py"),
        tests=(
            *("tests/contract", "tests/unit/session", "tests/unit/test_codec.py", "tests/unit/test_names.py"),
            *("tests/unit/derived/test_wording.py", "tests/unit/runtime/test_container.py"),
            *(
                "tests/unit/local/test_ingest.py",
                "tests/unit/local/test_workspace.py",
                "tests/unit/test_moved_scans.py",
            ),
            # what a session asks of peers
            *(
                f"tests/integration/dicom_network/test_{name}.py"
                for name in ("checking", "commitment", "finding", "late_commitments", "priors_of_a_job", "resuming")
            ),
        ),
    ),
}


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation testing of one room.")
    parser.add_argument("room", choices=sorted(ROOMS))
    parser.add_argument("--only", metavar="PART", nargs="+", help="mutants of these modules or folders alone")
    parser.add_argument("--sample", type=int, metavar="N", help="try so many mutants, drawn at random, not all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw; 0 if not given")
    parser.add_argument("--tests", metavar="PATH", nargs="+", help="run these tests, not all of the room")
    parser.add_argument("--budget", type=float, default=20, help="processor seconds of tests for one mutant")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many run side by side")
    arguments = parser.parse_args()
    room = ROOMS[arguments.room]
    code = {path: (ROOT / path).read_text(encoding="utf-8") for path in room.files()}
    mutants = [mutant for path, text in code.items() for mutant in mutants_of(path, text)]
    for part in arguments.only or ():
        if not within(mutants, [part]):
            parser.error(f"{arguments.room} has no part {part}")
    if arguments.only:
        mutants = within(mutants, arguments.only)
    if arguments.sample is not None and arguments.sample < len(mutants):
        mutants = random.Random(arguments.seed).sample(mutants, arguments.sample)
    print(f"{arguments.room}: {len(mutants)} mutants to try", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder)
        write_copy(copy, code, mutants)
        tests = [test for test in arguments.tests or room.tests if (ROOT / test).exists()]
        options = [*tests, *(f"--ignore={test}" for test in room.ignored)]
        results = attempt(copy, mutants, options, arguments.budget, arguments.processes)
    report(mutants, results)


def within(mutants: list[Mutant], parts: Iterable[str]) -> list[Mutant]:
    """Returns the mutants of modules and folders, named without ``.py``."""
    return [mutant for mutant in mutants if not set(parts).isdisjoint(Path(mutant.file[:-3]).parts)]


def report(mutants: list[Mutant], results: dict[str, str]) -> None:
    """Prints the rate of each folder and of the whole, and the mutants that lived."""
    all_of, killed = Counter[str](), Counter[str]()
    for mutant in mutants:
        result = results.get(name_of(mutant), "not tried")
        for part in ("all", str(Path(mutant.file).parent)):
            all_of[part] += 1
            killed[part] += result in KILLED
        if result not in KILLED:
            print(f"{result}: {mutant}")
    for part, number in sorted(all_of.items()):
        print(f"{part}: {killed[part]} of {number} killed ({killed[part] / number:.0%})")


def attempt(copy: Path, mutants: list[Mutant], tests: list[str], budget: float, processes: int) -> dict[str, str]:
    """Runs the tests against mutants in a copy of the project; returns the result of each mutant, by its name."""
    plan = {"names": [name_of(one) for one in mutants], "switch": MODULE, "budget": budget, "processes": processes}
    state = copy / "state"
    state.mkdir(exist_ok=True)
    (state / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    # a server would be started anew for each mutant, and the archives of others are slow
    options = ["-q", "-k", "not pymongo and not motor and not test_archives", "-p", f"{MODULE}"]
    for plugin in ("tests.without_shrinking", "no:randomly", "no:xdist", "no:cacheprovider", "tests.mutant_runs"):
        options += ["-p", plugin]
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "MUTANT_PLAN": str(state / "plan.json"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(state / "hypothesis"),
    }
    command = [sys.executable, "-m", "pytest", *options, "--hypothesis-profile", "mutation", *tests]
    ended = subprocess.run(command, cwd=copy, env=environment, check=False)
    if not (state / "results.jsonl").exists():
        sys.exit(f"the tests could not begin: pytest ended with {ended.returncode}")
    lines = map(json.loads, (state / "results.jsonl").read_text(encoding="utf-8").splitlines())
    results: dict[str, str] = {}
    for line in lines:
        if line["result"] != "untested" or line["name"] not in results:  # else an earlier result stays
            results[line["name"]] = line["result"]
    return results


def name_of(mutant: Mutant) -> str:
    """Returns the name of a mutant, by which its switch asks whether it is on."""
    return f"{mutant.file}#{mutant.number}"


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def write_copy(folder: Path, code: dict[str, str], mutants: list[Mutant]) -> None:
    """Copies the project, with the mutants in it."""
    for name in (PACKAGE, *BESIDE):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / f"{MODULE.replace('.', '/')}.py").write_text(SWITCH, encoding="utf-8")
    for path in {mutant.file for mutant in mutants}:
        chosen = {mutant.number for mutant in mutants if mutant.file == path}
        (folder / path).write_text(with_switches(path, code[path], chosen, MODULE), encoding="utf-8")


if __name__ == "__main__":
    main()
