"""A store of another package, as docs/stores.md shows it: found by its name, without a URL, proved by the contracts."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.command_line import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = (ROOT / "docs" / "stores.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'```python\n"""([\w.]+)"""\n(.*?)```', DOCUMENT, flags=re.DOTALL))
(ENTRY_POINT,) = re.findall(r'^([\w-]+) = "([\w.:]+)"$', DOCUMENT, flags=re.MULTILINE)
OPTIONS = ["-q", "-p", "no:cacheprovider", "-W", "error", "-c", "/dev/null"]


def install(folder: Path, change: tuple[str, str] = ("", "")) -> None:
    """Puts the document's files, and what an installer writes, where the interpreter looks."""
    for name, content in FILES.items():
        (folder / name).write_text(content.replace(*change), encoding="utf-8")
    metadata = folder / "their_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n", encoding="utf-8")
    name, target = ENTRY_POINT
    text = f"[dcm_processor_service.backends]\n{name} = {target}\n"
    (metadata / "entry_points.txt").write_text(text, encoding="utf-8")


def prove(folder: Path, *selection: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", *OPTIONS, "--rootdir", str(folder), "test_their_store.py", *selection]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_a_store_of_another_package_needs_no_url_and_keeps_the_contracts(tmp_path: Path) -> None:
    install(tmp_path)
    ran = prove(tmp_path)
    assert ran.returncode == 0, ran.stdout
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) > 200
    assert "skipped" not in ran.stdout


def test_the_contracts_find_a_store_that_forgets_with_each_session_and_show_what_was_compared(tmp_path: Path) -> None:
    install(tmp_path, ("STORES.setdefault(location.database, MemoryStore())", "MemoryStore()"))
    ran = prove(tmp_path, "-k", "test_an_unknown_job_name_raises or test_jobs_are_listed")
    assert ran.returncode == 1
    assert "JobNotFoundError" in ran.stdout
    assert "assert [] == [" in ran.stdout


def test_a_store_of_another_package_says_itself_what_it_cannot_do_with(tmp_path: Path) -> None:
    install(tmp_path)
    code = (
        "from dcm_processor_service import Container, RuntimeSettings, opened\n"
        "settings = RuntimeSettings(db_provider='Their-Store', db_url='x', session_id='5' * 24, job_id='1' * 24)\n"
        "with opened(Container(settings=settings)) as container:\n"
        "    container.session().data.keys()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.stderr.splitlines()[-1].endswith("their-store has no address; leave DCM_PROCESSOR_SERVICE_DB_URL out")
