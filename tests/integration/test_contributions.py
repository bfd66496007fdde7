"""The three additions that docs/contributions shows: each diff applies to the code as it is, and its tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command_line import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DIFFS = sorted((ROOT / "docs" / "contributions").glob("*.diff"))
SELECTED = {"store": ["-k", "named-memory"]}
"""Of the tests that a diff touches, those that are about what it adds."""


def copy_of_the_project(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("dcm_processor_service", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_there_is_one_of_each_kind() -> None:
    assert [path.stem for path in DIFFS] == ["derived_object", "engine", "store"]


@pytest.mark.parametrize("diff", DIFFS, ids=lambda path: path.stem)
def test_a_diff_applies_and_its_tests_pass(tmp_path: Path, diff: Path) -> None:
    project = copy_of_the_project(tmp_path)
    applied = subprocess.run(["git", "apply", str(diff)], capture_output=True, text=True, check=False, cwd=project)
    assert applied.returncode == 0, f"{diff.name} does not apply any more: {applied.stderr}"
    touched = re.findall(r"^\+\+\+ b/(tests/\S+)$", diff.read_text(encoding="utf-8"), flags=re.MULTILINE)
    tests = sorted({name if "test_" in name else "tests/contract/test_stores.py" for name in touched})
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, *SELECTED.get(diff.stem, [])],
        capture_output=True,
        text=True,
        check=False,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
    )
    assert ran.returncode == 0, ran.stdout
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) >= 2
