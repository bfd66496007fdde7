"""A mutation run runs each test as pytest itself does, and switches mutants also in the processes that tests start."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.command_line import ROOT
from tests.mutant_runs import SWITCH
from tests.mutants import mutants_of, with_switches
from tests.mutation import within

if TYPE_CHECKING:
    from pathlib import Path

LOOP = """
from tests.mutant_runs import _fails

def pytest_runtestloop(session):
    print([_fails(item, None) for item in session.items])
    return True
"""
TESTS = """
import warnings
import pytest

@pytest.mark.filterwarnings("ignore:expected")
def test_with_a_warning_that_it_expects():
    warnings.warn("expected")

def test_with_another():
    warnings.warn("other")
"""
WORKER = """
import sys
from switch import is_on

for line in sys.stdin:
    if "half" in line:
        print(int(line.split()[1]) // (3 if is_on("third") else 2), flush=True)
    else:
        print("awake", flush=True)
"""
KEPT = """
import json, subprocess, sys

started = []

def ask(request):
    if not started:
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": {}}
        started.append(subprocess.Popen([sys.executable, "worker.py"], **options))
    started[0].stdin.write(request + chr(10))
    started[0].stdin.flush()
    return started[0].stdout.readline().strip()

def test_that_starts_the_worker():
    assert ask("wake") == "awake"

def test_that_asks_it_later():
    assert ask("half 60") == "30"

def test_that_asks_it_again():
    assert ask("half 1") == "0"
"""


def test_a_warning_that_a_test_expects_does_not_fail_it(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(LOOP, encoding="utf-8")
    (tmp_path / "test_two.py").write_text(TESTS, encoding="utf-8")
    chosen = ["-p", "loop", "-p", "no:cacheprovider", "-W", "error", "-c", "/dev/null", "-s"]
    printed = _run(tmp_path, *chosen, "test_two.py")
    assert "[False, True]" in printed, printed


def test_a_mutant_reaches_a_process_that_tests_start_without_the_environment_and_keep(tmp_path: Path) -> None:
    for name, text in {"switch.py": SWITCH, "worker.py": WORKER, "test_kept.py": KEPT}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    state = tmp_path / "state"
    state.mkdir()
    plan = {"names": ["third", "elsewhere"], "switch": "switch", "budget": 20, "processes": 1}
    (state / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    chosen = ["-p", "switch", "-p", "tests.mutant_runs", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir=."]
    printed = _run(tmp_path, *chosen, "test_kept.py", MUTANT_PLAN=str(state / "plan.json"))
    reached = (state / "reached.tsv").read_text(encoding="utf-8").splitlines()
    tests = [f"test_kept.py::test_that_asks_it_{when}" for when in ("later", "again")]
    assert reached == [f"third\t{test}" for test in tests], printed
    results = [json.loads(line) for line in (state / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert results == [
        {"name": "no mutant", "result": "lived", "tests": 3},
        {"name": "third", "result": "killed", "tests": 2},
        {"name": "elsewhere", "result": "untested", "tests": 0},
    ]


def test_a_zip_that_checks_lengths_is_left_as_it_is() -> None:
    code = "def pairs(a, b):\n    return list(zip(a, {}, strict={})), open({}, strict=True)\n"
    strict, lax = (mutants_of("pairs.py", code.format("b", value, "a")) for value in (True, False))
    assert [one.after for one in strict if one.before.startswith("zip")] == [
        "zip(None, b, strict=True)",
        "zip(a, None, strict=True)",
    ]
    assert [one.before for one in strict if one.after == "False"] == ["True"]  # that of open
    assert [one.after for one in lax if one.before.startswith("zip")][-1] == "zip(a, b)"
    switched = with_switches("pairs.py", code.format("b[1:]", True, "a"), range(99), "switch")
    assert switched.count("strict=True") >= 2
    assert "zip(a, b[1:])" not in switched


def test_mutants_of_several_parts() -> None:
    code = "def one():\n    return 1\n"
    files = ("room/frames/frame.py", "room/frames/vendor.py", "room/pictures/panel.py", "room/geometry.py")
    mutants = [mutant for file in files for mutant in mutants_of(file, code)]
    assert [mutant.file for mutant in within(mutants, ["frames", "geometry"])] == [files[0], files[1], files[3]]
    assert [mutant.file for mutant in within(mutants, ["vendor", "panel"])] == [files[1], files[2]]
    assert within(mutants, ["room/frames"]) == []


def _run(folder: Path, *arguments: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{ROOT}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return ran.stdout + ran.stderr
