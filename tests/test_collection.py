"""Tests have the same names in every process: otherwise a parallel run, which compares them, does not begin."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_LEAST_APART_S = 2.1
"""Archives hold times in steps of two seconds, gzip in steps of one."""


def _collected(**environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", "-W", "ignore", "tests"]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "CI": "true", **environment}, stdout=subprocess.PIPE, text=True
    )


def _names(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate()
    assert process.returncode == 0, output[-2000:]
    return [line for line in output.splitlines() if line.startswith("tests/")]


@pytest.mark.slow
def test_tests_have_the_same_names_in_every_process() -> None:
    first = _collected(PYTHONHASHSEED="1", TZ="Pacific/Auckland")
    time.sleep(_LEAST_APART_S)
    second = _collected(PYTHONHASHSEED="2", TZ="UTC")
    names, others = _names(first), _names(second)
    assert len(names) > 1000
    assert [pair for pair in zip(names, others, strict=True) if pair[0] != pair[1]] == []
