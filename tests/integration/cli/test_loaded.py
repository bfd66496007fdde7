"""Who asks for little loads little: what is in ``sys.modules`` of a process at its end."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.testing import synthetic_series

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = """
import atexit, json, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr))
from dcm_processor_service.cli import main
main()
"""
ONE_READ = """
import json, sys
from dcm_processor_service import Container, entrypoint, opened
with opened(Container()) as container:
    container.context().session.data.get("x", default=None)
print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
NETWORK = {"pynetdicom", "pymongo", "motor", "httpx"}
IMAGES = {"numpy", "pydicom", "nibabel", "scipy", "highdicom", "dicom2nifti"}
OWN = "dcm_processor_service."
UNASKED = {
    *(f"{OWN}models.{name}" for name in ("derived", "images.nifti", "images.series_report", "images.pictures")),
    *(f"{OWN}models.network.{name}" for name in ("finding", "fetching", "sending", "send_checks", "send_options")),
    *(f"{OWN}session.images.{name}" for name in ("dicom", "derive", "derive_async", "selection", "series")),
    *(f"{OWN}session.{name}" for name in ("functions", "network.sending", "network.fetching", "reporting")),
}


def test_what_is_not_to_be_loaded_exists() -> None:
    assert not [name for name in UNASKED if find_spec(name) is None]


def loaded_by(script: str, *arguments: object, folder: Path, **variables: str) -> set[str]:
    return loaded_by_each(script, *arguments, folder=folder, **variables)[-1]


def loaded_by_each(script: str, *arguments: object, folder: Path, **variables: str) -> list[set[str]]:
    """Returns what each process has loaded that ended, in the order of their ends."""
    environment = {**os.environ, "COLUMNS": "200", **variables}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert ran.returncode == 0, ran.stderr
    return [set(json.loads(line)) for line in ran.stderr.splitlines() if line.startswith("[")]


def variables(folder: Path, provider: str = "sqlite", url: str = "") -> dict[str, str]:
    values = {
        "DB_PROVIDER": provider,
        "DB_URL": url or str(folder / "work"),
        "DB_NAME": "never",
        "SESSION_ID": "5" * 24,
        "JOB_ID": "1" * 24,
    }
    return {f"DCM_PROCESSOR_SERVICE_{name}": value for name, value in values.items()}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for dataset in synthetic_series(slices=8):
        dataset.save_as(folder / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    return folder


def test_the_help_of_all_commands_loads_no_module_but_that_of_the_command_line(tmp_path: Path) -> None:
    own = {name for name in loaded_by(COMMAND, "--help", folder=tmp_path) if name.startswith(OWN)}
    assert own == {f"{OWN}cli", f"{OWN}cli.app", f"{OWN}cli.commands"}


def test_a_read_of_one_value_loads_no_model_or_facade_of_images(tmp_path: Path) -> None:
    loaded = loaded_by(ONE_READ, folder=tmp_path, **variables(tmp_path))
    assert not loaded & (UNASKED | IMAGES | NETWORK)


def test_a_read_of_one_value_out_of_mongodb_loads_no_more(tmp_path: Path, mongo_url: str) -> None:
    loaded = loaded_by(ONE_READ, folder=tmp_path, **variables(tmp_path, "mongodb", mongo_url))
    assert not loaded & (UNASKED | IMAGES | NETWORK - {"pymongo"})


def test_a_callback_that_does_nothing_loads_no_images(tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text(
        "from dcm_processor_service import RuntimeContext\ndef run(ctx: RuntimeContext) -> int:\n    return 1\n"
    )
    job, process = loaded_by_each(COMMAND, "exec", "nothing.py", folder=tmp_path, **variables(tmp_path))
    assert f"{OWN}runtime.container" in job
    assert not job & (UNASKED | IMAGES | NETWORK | {"typer", "rich"})
    assert not process & {"typer", "rich", "pydantic", f"{OWN}runtime.container"}


def test_the_garbage_collector_of_a_callback_is_that_of_any_python(tmp_path: Path) -> None:
    (tmp_path / "callback.py").write_text(
        "import gc\nfrom dcm_processor_service import RuntimeContext\n"
        "def run(ctx: RuntimeContext) -> list[object]:\n    return [gc.isenabled(), *gc.get_threshold()]\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "dcm_processor_service", "exec", "callback.py"],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, **variables(tmp_path)},
    )
    assert json.loads(ran.stdout)["result"] == [True, *gc.get_threshold()]


@pytest.mark.parametrize("page", [["--json"], []], ids=["report", "page with contact sheets"])
def test_a_look_at_headers_loads_no_converter_and_no_network(scans: Path, tmp_path: Path, page: list[str]) -> None:
    loaded = loaded_by(COMMAND, "inspect", scans, *page, folder=tmp_path)
    assert not loaded & (NETWORK | IMAGES - {"numpy", "pydicom"})
    assert (f"{OWN}imaging.pictures.contact_sheet" in loaded) == (not page)


def test_a_conversion_by_our_own_engine_loads_no_other_and_no_network(scans: Path, tmp_path: Path) -> None:
    loaded = loaded_by(COMMAND, "convert", scans, tmp_path / "out", "--plain", folder=tmp_path)
    assert len(list((tmp_path / "out").glob("*.nii"))) == 1
    assert not loaded & (NETWORK | {"highdicom", "dicom2nifti"})
    assert not any(name.startswith(f"{OWN}imaging.pictures") for name in loaded)


@pytest.mark.parametrize(
    ("command", "is_own"), [("inspect", True), ("--help", True), ("exec", False), ("run", False), ("shell", False)]
)
def test_the_garbage_collector_stays_as_it_is_where_code_of_others_runs(command: str, *, is_own: bool) -> None:
    script = (
        "import gc, sys\n"
        "from dcm_processor_service.cli import main\n"
        "before = gc.get_threshold()\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit(gc.get_threshold() == before)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, command, "--help"], capture_output=True, check=False)
    assert (ran.returncode == 0) == is_own
