"""The public types say what they should: right use passes a strict type checker, each misuse is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MISUSE = Path(__file__).with_name("misuse.py")
MARK = re.compile(r"# E: (?P<codes>[\w, -]+)$")
FOUND = re.compile(r"misuse\.py:(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$")
CONFIGURATION = """
[mypy]
strict = True
python_version = 3.10
plugins = pydantic.mypy
mypy_path = {root}
explicit_package_bases = True

# types of other packages play no part here, and reading them takes most of the time
[mypy-numpy.*,nibabel.*,pydicom.*,pynetdicom.*]
follow_imports = skip
ignore_missing_imports = True

# only what an author writes is looked at, not how this package does it
[mypy-dcm_processor_service.*]
follow_imports = silent
"""


def expected() -> list[tuple[int, str]]:
    marked = []
    for number, line in enumerate(MISUSE.read_text(encoding="utf-8").splitlines(), 1):
        if match := MARK.search(line):
            marked += [(number, code.strip()) for code in match["codes"].split(",")]
    return sorted(marked)


def test_a_type_checker_tells_every_misuse_and_nothing_else(tmp_path: Path) -> None:
    if find_spec("mypy") is None:
        assert not os.environ.get("CI"), "mypy is not installed; install the extra: dcm-processor-service[dev]"
        pytest.skip("mypy is not installed; install the extra: dcm-processor-service[dev]")
    configuration = tmp_path / "mypy.ini"
    configuration.write_text(CONFIGURATION.format(root=ROOT), encoding="utf-8")
    cache = ROOT / ".mypy_cache" / "typing"
    arguments = ["--config-file", str(configuration), "--cache-dir", str(cache), "--no-error-summary"]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments, "--hide-error-context", "--no-pretty", str(MISUSE)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert not ran.stderr, ran.stderr
    errors = [line for line in ran.stdout.splitlines() if ": error: " in line]
    found = sorted((int(match["line"]), match["code"]) for line in errors if (match := FOUND.search(line)))
    assert len(found) == len(errors), ran.stdout
    assert found == expected(), ran.stdout
