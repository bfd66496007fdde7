"""The page of a run in a real browser: complete, in light and dark and on paper, without a word in the console."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcm_processor_service.models import (
    InputSeries,
    JobReport,
    LabelEntry,
    LogLine,
    OutputFile,
    OutputValue,
    ResultPicture,
    RunReport,
)
from dcm_processor_service.reporting.run_page import run_page
from dcm_processor_service.testing import FakePacs
from tests.command_line import run_here
from tests.integration.cli.test_exec import HEAD
from tests.missing import missing

SERVICE = HEAD + (
    "import numpy as np\n"
    "def run(ctx: RuntimeContext):\n"
    "    series = ctx.session.dicom.get_series()\n"
    "    with ctx.step('segment', {'series': series}) as step:\n"
    "        volume = series.volume(policy='largest')\n"
    "        labels = np.where(volume.array > 20, 2, np.where(volume.array > -200, 1, 0)).astype(np.uint8)\n"
    "        step.data['voxels'] = int((labels > 0).sum())\n"
    "    ctx.log.info('segmented', voxels=step.data['voxels'])\n"
    "    ctx.session.data['voxels'] = step.data['voxels']\n"
    "    names = {'labels': {'1': 'tissue', '2': 'muscle & contrast'}}\n"
    "    ctx.session.files.save('labels.nii.gz', volume.like(labels).to_nifti(), metadata=names)\n"
    "    made = ctx.session.dicom.derive.segmentation({'muscle': labels == 2}, like=series)\n"
    "    ctx.session.dicom.send(made, to='PACS')\n"
    "    return {'voxels': step.data['voxels']}\n"
)
QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
DARK = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0")


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing("no browser is installed: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a service that does a little of everything to a real scan."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "service.py").write_text(SERVICE, encoding="utf-8")
    with FakePacs() as pacs:
        ran = run_here("run", "service.py", "--sample", "--peer", f"PACS={pacs.peer.address}", folder=folder)
    assert ran.code == 0, ran.stderr
    assert "The report is in dcm-workspace/report.html." in ran.stderr
    return folder / "dcm-workspace" / "report.html"


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: a folder that CI keeps, where it names one."""
    kept = os.environ.get("DCM_PROCESSOR_TEST_SCREENSHOTS")
    folder = Path(kept).resolve() if kept else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def opened(browser: str, page: Path, profile: Path, *options: str) -> str:
    """Opens the page; returns what the browser logged."""
    command = [browser, "--headless", "--no-sandbox", *QUIET, "--disable-component-update", "--enable-logging=stderr"]
    command += ["--window-size=1160,2000", f"--user-data-dir={profile}", *options, page.as_uri()]
    ran = subprocess.run(command, capture_output=True, check=True, timeout=120, text=True)
    return ran.stderr


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as shot:
        return np.asarray(shot.convert("RGB"))


def test_the_page_shows_the_run_in_light_and_dark_without_a_console_message(
    browser: str, page: Path, shots: Path, tmp_path: Path
) -> None:
    grounds = []
    for name, options in (("light", ()), ("dark", DARK)):
        picture = shots / f"report-{name}.png"
        told = opened(browser, page, tmp_path / name, f"--screenshot={picture}", *options)
        assert "CONSOLE" not in told
        shot = pixels(picture)
        grounds.append(int(shot[5, 5].sum()))
        flat = shot.reshape(-1, 3)
        for colour in ((230, 159, 0), (86, 180, 233)):  # the outlines and their legend
            assert (np.abs(flat.astype(int) - colour).max(axis=1) < 12).sum() > 100
    light, dark = grounds
    assert light > 700
    assert dark < 120


def test_long_names_stay_inside_a_narrow_page(browser: str, shots: Path, tmp_path: Path) -> None:
    long = "y" * 120
    legend = (LabelEntry(number=1, name=f"lobe {long} of {long}", colour="#e69f00", volume_ml=1.5),)
    picture = ResultPicture(name=f"a/{long}.nii.gz", png=plain_picture(), legend=legend, caption=f"over {long}")
    job = JobReport(
        job_id="1" * 24,
        job_name=long,
        session_id="5" * 24,
        inputs=(InputSeries(series_instance_uid="1.2", modality="CT", description=long),),
        params={long: long},
        data=(OutputValue(name=long, value=long, sha256="a" * 64),),
        files=(OutputFile(name=f"{long}.json", size_bytes=1, content_type=f"application/{long}"),),
        exit_code=1,
        error=f"ValueError: {long}",
        traceback=f"ValueError: {long}",
        log=(LogLine(time=datetime(2026, 1, 2, tzinfo=timezone.utc), level="info", message=long, fields={long: long}),),
    )
    page = tmp_path / "long.html"
    page.write_text(run_page(RunReport(versions={"numpy": "2"}, jobs=(job, job)), {job.job_id: [picture]}))
    shot = shots / "report-narrow.png"
    opened(browser, page, tmp_path / "profile", f"--screenshot={shot}", "--hide-scrollbars", "--window-size=500,6000")
    margin = pixels(shot)[:, -8:].reshape(-1, 3)
    assert len(np.unique(margin, axis=0)) == 1


def plain_picture() -> bytes:
    png = BytesIO()
    Image.new("L", (64, 64), 128).save(png, "PNG")
    return png.getvalue()


def test_a_console_message_would_be_seen(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "loud.html"
    page.write_text("<script>console.error('heard')</script>")
    told = opened(browser, page, tmp_path / "profile", f"--screenshot={tmp_path / 'loud.png'}")
    assert re.search("CONSOLE.*heard", told)


def test_the_page_prints_to_paper(browser: str, page: Path, shots: Path, tmp_path: Path) -> None:
    paper = shots / "report.pdf"
    opened(browser, page, tmp_path / "profile", f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 1 <= content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") <= 6


def test_the_page_holds_all_that_it_shows(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["'](?!data:|#)""", text)
    assert "<script" not in text
    assert "muscle &amp; contrast" in text
