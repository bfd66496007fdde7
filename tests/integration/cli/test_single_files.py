"""A zip file in place of a folder, and one file in place of a folder of results."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import nibabel
import pytest

from dcm_processor_service.local.workspace import sample_folder
from dcm_processor_service.testing import FakePacs
from tests.command_line import run_here
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    return tmp_path / shutil.make_archive(str(tmp_path / "scans"), "zip", sample_folder())


@pytest.mark.parametrize("name", ["out.nii.gz", "new/out.nii"])
def test_one_series_is_converted_into_the_file_that_was_named(zipped: Path, name: str, tmp_path: Path) -> None:
    ran = run_here("convert", zipped, tmp_path / name, "--json", folder=tmp_path)
    assert ran.code == 0, ran.stderr
    (row,) = [json.loads(line) for line in ran.stdout.splitlines()]
    assert row["files"][0] == str(tmp_path / name)
    assert nibabel.load(tmp_path / name).shape == (16, 16, 5)  # type: ignore[attr-defined]


def test_several_series_do_not_fit_into_one_file(tmp_path: Path) -> None:
    save([*make_series(1), *make_series(2)], tmp_path / "scans")
    ran = run_here("convert", "scans", "out.nii.gz", folder=tmp_path)
    assert ran.code == 2
    assert "there are 2 series, which 'out.nii.gz' cannot hold all; give a folder" in ran.stderr
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_plain_file_has_the_suffix_of_one(zipped: Path, tmp_path: Path) -> None:
    ran = run_here("convert", zipped, "out.nii.gz", "--plain", folder=tmp_path)
    assert ran.code == 2
    assert "give 'out.nii'" in ran.stderr


@pytest.mark.parametrize("name", ["out.nrrd", "new/OUT.MHA", "out.gz"])
def test_a_file_of_another_format_is_refused_and_no_folder_is_made(zipped: Path, name: str, tmp_path: Path) -> None:
    ran = run_here("convert", zipped, name, folder=tmp_path)
    assert ran.code == 2
    assert "ends with .nii.gz or .nii, or a folder" in ran.stderr
    assert not (tmp_path / name).exists()


def test_zip_files_are_inspected_and_sent_and_run_over(zipped: Path, tmp_path: Path) -> None:
    inspected = run_here("inspect", zipped, "--json", folder=tmp_path)
    assert (inspected.code, json.loads(inspected.stdout)["instance_count"]) == (0, 5)
    with FakePacs() as pacs:
        sent = run_here("send", zipped, "--to", pacs.peer.address, folder=tmp_path)
        assert sent.code == 0, sent.stderr
        assert len(pacs.received) == 5
    (tmp_path / "count.py").write_text("def run(): return 1\n", encoding="utf-8")
    ran = run_here("run", "count.py", "--dicom", zipped, "--json", folder=tmp_path)
    assert (ran.code, json.loads(ran.stdout)["result"]) == (0, 1)
