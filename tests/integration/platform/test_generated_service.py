"""What the platform's own ``generate service`` makes: it runs and passes the check as it is."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.command_line import run_process

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("events", [[], ["stable-series", "stable-study", "stable-patient"]])
def test_a_generated_service_runs(generator_python: Path, tmp_path: Path, events: list[str]) -> None:
    options = [word for event in events for word in ("-e", event)]
    command = [str(generator_python.parent / "dcm-processor"), "generate", "service", "lung", *options]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, input=b"")
    checked = run_process("check", "lung", folder=tmp_path)
    assert checked.code == 0, checked.stdout
    ran = run_process("run", "lung", "--sample", "--json", folder=tmp_path)
    assert ran.code == 0, ran.stderr
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [row["subject"]["level"] for row in rows] == ["series", "study", "patient"][: max(1, len(events))]
    assert [row["result"] for row in rows] == [None] * len(rows)
