"""The documentation runs: each block of each page, in its order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dcm_processor_service
from dcm_processor_service import Outcome, errors
from dcm_processor_service.models import RunReport
from tests.command_line import ROOT
from tests.documents import blocks_of, run_page
from tests.public_places import NEW_PLACES, module

DOCS = ROOT / "docs"
REFERENCE = [path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("reference/*.md"))]
RUN_AS_A_WHOLE = ["callbacks", "how_to", "concepts", "migrating", "derived_objects", "operations", "deployment"]
RUN_ELSEWHERE = {
    "tutorial": "below",
    "service_folder": "tests/integration/test_service_folder_document.py",
    "pulling": "tests/integration/pulling/test_pull.py",
    "stores": "tests/integration/test_third_party_store.py",
}


def test_the_tutorial_leads_to_a_lung_service_whose_results_are_in_a_pacs(tmp_path: Path) -> None:
    workspace = run_page(DOCS / "tutorial.md", tmp_path).folder / "dcm-workspace"
    (job,) = RunReport.model_validate_json((workspace / "run.json").read_text(encoding="utf-8")).jobs
    assert (job.job_name, job.exit_code, job.error) == ("lung", 0, "")
    assert job.result["volume_ml"] > 0
    assert [made.modality for made in job.derived] == ["SEG", "SR", "DOC"]
    (sent,) = job.sent
    assert sent.count(Outcome.VERIFIED) == 3
    assert "mask.nii.gz" in (workspace / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RUN_AS_A_WHOLE)
def test_each_block_of_the_page_runs(name: str, tmp_path: Path) -> None:
    run_page(DOCS / f"{name}.md", tmp_path)


def test_no_page_has_blocks_that_nobody_runs() -> None:
    with_blocks = {path.stem for path in DOCS.rglob("*.md") if blocks_of(path.read_text(encoding="utf-8"))}
    assert with_blocks == {*RUN_AS_A_WHOLE, *RUN_ELSEWHERE}


def test_a_block_that_fails_names_its_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("one\n\n```python\nx = 1\n\nassert x == 2\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError) as failed:
        run_page(page, tmp_path)
    assert (Path(failed.traceback[-1].path).name, failed.traceback[-1].lineno + 1) == ("page.md", 6)


def test_a_command_that_ends_otherwise_than_the_page_says_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for mark, command in {"": "check nothing-there", "<!-- test: fails -->\n": "--version"}.items():
        page.write_text(f"{mark}```console\ndcm-processor-service {command}\n```\n", encoding="utf-8")
        with pytest.raises(AssertionError, match=r"page\.md, line"):
            run_page(page, tmp_path)


def test_llms_txt_names_every_page_and_no_other() -> None:
    named = re.findall(r"\]\((\w+\.md)\)", (DOCS / "llms.txt").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(path.name for path in DOCS.glob("*.md"))


@pytest.mark.parametrize("place", [place for place in NEW_PLACES if not place.endswith(".contracts")])
def test_the_reference_shows_every_public_name(place: str) -> None:
    shown = set(re.findall(r"^::: ([\w.]+)$", "\n".join(REFERENCE), flags=re.MULTILINE))
    elsewhere = set(dcm_processor_service.__all__) if place != "dcm_processor_service" else set(errors.__all__)
    names = set(module(place).__all__) - (elsewhere if place != "dcm_processor_service.errors" else set())
    assert sorted(name for name in names if f"{place}.{name}" not in shown) == []


def test_the_reference_shows_each_name_once() -> None:
    shown = re.findall(r"^::: ([\w.]+)$", "\n".join(REFERENCE), flags=re.MULTILINE)
    assert sorted(shown) == sorted(set(shown))
