"""No file is named by a header as it stands there: what is not a UID is written under a digest of it."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.models import Instance, SeriesRecord
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.testing import fake_context, synthetic_series
from tests.command_line import run_here

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service import Container

HOSTILE = ["../../x", "/tmp/x", "..", "a/../../x", "1.2/../../../x", "1.2\\..\\x", "~/x", "1." * 40 + "1"]


SERVICE = """
from dcm_processor_service import RuntimeContext

def run(ctx: RuntimeContext) -> int:
    ctx.session.dicom.get_series().to_nifti("inner.nii")
    return ctx.session.dicom.get_series().instance_count()
"""


@pytest.fixture(params=HOSTILE)
def scans(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "a" / "b" / "scans"
    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of UIDs that are none
        for dataset in synthetic_series(slices=3):
            dataset.SeriesInstanceUID = request.param
            dataset.save_as(folder / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    return folder


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_convert_stays_in_its_folder(scans: Path, tmp_path: Path) -> None:
    before = files_below(tmp_path)
    out = tmp_path / "a" / "b" / "out"
    ran = run_here("convert", scans, out, "--json", "--plain")
    assert ran.code == 0, ran.stderr + ran.stdout
    (row,) = map(json.loads, ran.stdout.splitlines())
    written = files_below(tmp_path) - before
    assert {str(path) for path in written} == set(row["files"])
    assert {path.parent for path in written} == {out}
    assert all(path.stem.isalnum() for path in written)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_run_writes_into_its_workspace_alone(scans: Path, tmp_path: Path) -> None:
    before = files_below(tmp_path)
    service = tmp_path / "service.py"
    service.write_text(SERVICE)
    work = tmp_path / "a" / "b" / "work"
    ran = run_here("run", service, "--dicom", scans, "--workspace", work, "--json", folder=tmp_path)
    assert ran.code == 0, ran.stderr + ran.stdout
    outside = {path for path in files_below(tmp_path) - before - {service} if work not in path.parents}
    assert {path.parent for path in outside} <= {tmp_path, tmp_path / "__pycache__"}
    assert {path.name for path in outside} >= {"inner.nii", "inner.json"}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_export_and_scratch_stay_in_their_folders_whatever_the_store_calls_an_instance(
    hostile: str, tmp_path: Path
) -> None:
    containers: list[Container] = []
    scratch = tmp_path / "a" / "b" / "scratch"
    scratch.mkdir(parents=True)
    context = fake_context(series=synthetic_series(slices=3), customise=containers.append, scratch=scratch)
    backend = containers[0].backend()
    known = context.session.dicom.get_series()
    workspace = backend.fillable()
    series = SeriesRecord(id=hostile, series_instance_uid="1.2.3")
    run_inline(workspace.add_subject(series))
    for number, path in enumerate(known.paths()):
        content = path.read_bytes()
        run_inline(workspace.add_instance(hostile, Instance(id=f"{hostile}{number}", size_bytes=1), content))
    before = files_below(tmp_path)
    paths = context.session.dicom.get_series("1.2.3").paths()
    assert all(scratch in path.resolve().parents for path in paths)
    exported = context.session.dicom.get_series("1.2.3").export(tmp_path / "a" / "b" / "out")
    assert {path.parent for path in exported} == {tmp_path / "a" / "b" / "out"}
    assert len(files_below(tmp_path) - before) == 6
