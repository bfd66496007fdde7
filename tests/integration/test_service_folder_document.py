"""docs/service_folder.md: the service that it shows passes the check and runs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from dcm_processor_service.local.service.manifest import JOB_FIELDS
from tests.command_line import ROOT, run_here

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = (ROOT / "docs" / "service_folder.md").read_text(encoding="utf-8")


def test_the_service_of_the_document_passes_the_check_and_runs(tmp_path: Path) -> None:
    folder = tmp_path / "lung"
    (manifest,) = re.findall(r"```json\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    files = {
        re.findall(r'"""(\S+)"""', block)[0]: block for block in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    }
    for name, content in {"dcm-processor.json": manifest, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    checked = run_here("check", folder, folder=tmp_path)
    assert checked.code == 0, checked.stdout
    assert "problem" in checked.stdout.splitlines()[-1]
    ran = run_here("run", folder, "--sample", "--json", folder=tmp_path)
    assert ran.code == 0, ran.stderr
    series, study = [json.loads(line)["result"] for line in ran.stdout.splitlines()]
    assert series == study > 0


def test_every_field_of_a_job_is_explained() -> None:
    table = DOCUMENT.partition("| field of a job |")[2].partition("\n\n")[0]
    for name in JOB_FIELDS:
        assert f"`{name}`" in table
