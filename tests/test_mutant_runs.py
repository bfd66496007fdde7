"""The runs of tests on mutants run a test as pytest runs it alone."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.command_line import ROOT

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


def test_a_warning_that_a_test_expects_does_not_fail_it(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(LOOP, encoding="utf-8")
    (tmp_path / "test_two.py").write_text(TESTS, encoding="utf-8")
    chosen = ["-p", "loop", "-p", "no:cacheprovider", "-W", "error", "-c", "/dev/null", "-s"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *chosen, "test_two.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "[False, True]" in ran.stdout, ran.stdout + ran.stderr
