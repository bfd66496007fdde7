"""The README is executed: its code and its commands; and the table of variables is complete."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.env_vars import variable_name
from dcm_processor_service.runtime.settings import RuntimeSettings
from tests.command_line import ROOT, run_process

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")
FAKES = "from dcm_processor_service.testing import fake_context\n"
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_two_blocks_are_a_callback_and_its_test(tmp_path: Path) -> None:
    callback, test = BLOCKS[:2]
    assert len([line for line in callback.splitlines() if line.strip()]) <= 10
    file = tmp_path / "test_readme_callback.py"
    file.write_text(f"{callback}\n{test}\ntest_run()\n", encoding="utf-8")
    ran = subprocess.run([sys.executable, "-W", "error", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("number", range(2, len(BLOCKS)))
def test_a_later_block_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "block.py"
    file.write_text("\n".join((BLOCKS[0], FAKES, BLOCKS[number])), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(file), run_name="__main__")


def test_the_two_commands_are_one_line_each_and_need_only_venv_and_pip() -> None:
    for command in COMMANDS[:2]:
        assert command.count("\n") == 1
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")


def test_the_callback_runs_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "callback.py").write_text(BLOCKS[0], encoding="utf-8")
    ran = run_process("run", "callback.py", "--sample", "--json", folder=tmp_path)
    assert ran.code == 0, ran.stderr
    assert '"brightest"' in ran.stdout


def test_the_table_lists_every_variable_with_its_default() -> None:
    page = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(DCM[A-Z_]+)` \| (.*?) \|", page, flags=re.MULTILINE))
    expected = {}
    for name, field in RuntimeSettings.model_fields.items():
        default = "required" if field.is_required() else str(getattr(field.default, "value", field.default) or "")
        default = "" if "SecretStr" in repr(field.default) else default
        expected[variable_name(name).replace("-", "_")] = f"`{default}`" if default not in {"", "required"} else default
    assert rows == {name: default or "–" for name, default in expected.items()}


def test_no_document_names_a_path_of_a_machine() -> None:
    for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*.md")):
        assert not re.search(r"/(home|root|work|Users)/", path.read_text(encoding="utf-8")), path
