"""``new NAME``: what it makes passes its own test and the check, and runs over a real scan."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.local.scaffold.new_service import Template, make_service
from tests.command_line import ROOT, run_here
from tests.public_places import PUBLIC_PLACES

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = {Template.SEGMENTATION: {"volume_ml"}, Template.REPORT: {"mean", "slices"}, Template.STUDY: {"volume_ml"}}


@pytest.mark.parametrize("template", Template)
def test_a_new_service_passes_its_test_and_the_check_and_runs(template: Template, tmp_path: Path) -> None:
    made = run_here("new", "my-lung", "--template", template.value, folder=tmp_path)
    assert made.code == 0, made.stderr
    folder = tmp_path / "my-lung"
    assert {"README.md", "AGENTS.md", "dcm-processor.json"} <= {path.name for path in folder.iterdir()}
    tested = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    checked = run_here("check", ".", folder=folder)
    assert (checked.code, checked.stdout.count("note")) == (0, 0), checked.stdout
    ran = run_here("run", ".", "--sample", "--json", "--no-preview", folder=folder)
    assert ran.code == 0, ran.stderr
    first, *others = [json.loads(line) for line in ran.stdout.splitlines()]
    assert set(first["result"]) == RESULTS[template]
    assert all(value != 0 for value in first["result"].values())
    assert [one["result"]["total_ml"] for one in others] == [
        first["result"]["volume_ml"] for _ in range(template is Template.STUDY)
    ]


def test_the_name_stands_in_every_place(tmp_path: Path) -> None:
    run_here("new", "liver", folder=tmp_path)
    text = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "liver").rglob("*") if path.is_file())
    assert "{{" not in text
    assert json.loads((tmp_path / "liver" / "dcm-processor.json").read_text(encoding="utf-8"))["name"] == "liver"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "liver").mkdir()
    ran = run_here("new", "liver", folder=tmp_path)
    assert ran.code == 2
    assert "there is 'liver' already" in ran.stderr
    assert not list((tmp_path / "liver").iterdir())


@pytest.mark.parametrize("name", ["../..", "2lungs", "a b", "x.y"])
def test_a_name_that_no_service_can_have_is_refused(name: str, tmp_path: Path) -> None:
    ran = run_here("new", name, folder=tmp_path)
    assert ran.code == 2
    assert "cannot be the name of a service" in ran.stderr


@pytest.mark.parametrize("template", Template)
def test_the_code_imports_from_public_places_alone(template: Template, tmp_path: Path) -> None:
    _, files = make_service(tmp_path / "lung", template)
    places = set()
    for path in files:
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and not node.level and str(node.module).startswith("dcm_"):
                    places |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert places
    for place in places:
        module, _, name = place.rpartition(".")
        assert module in PUBLIC_PLACES
        assert name in importlib.import_module(module).__all__
