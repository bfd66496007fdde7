"""``doctor``: what this installation can do, and what to install for the rest."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from dcm_processor_service.cli.console import output_console, print_json_line, styled
from dcm_processor_service.env_vars import read_variables
from dcm_processor_service.errors import EXIT_FAILED, DcmProcessorError
from dcm_processor_service.models.platform_ids import NO_ID
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import Container, backend_names, opened
from dcm_processor_service.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from dcm_processor_service.imaging.capabilities import Capability

__all__ = ["doctor"]

Row = tuple[str, str, bool, str]

# for each extra a module that it installs, and its purpose
_EXTRAS = {
    "codecs": ("pylibjpeg", "decodes JPEG, JPEG 2000, JPEG-LS and RLE"),
    "highdicom": ("highdicom", "derives segmentations, parametric maps and reports"),
    "web": ("httpx", "sends by STOW-RS"),
    "simpleitk": ("SimpleITK", "volume.to_sitk()"),
    "onnx": ("onnxruntime", "networks of ONNX"),
    "monai": ("monai", "volume.to_monai()"),
    "dask": ("distributed", "run --on dask://HOST:PORT"),
    "deid": ("dicomanonymizer", "pull, without the patient"),
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each finding")] = False,
) -> None:
    """List what this installation can do, and what to install for the rest.

    Exits with 1 when the store that the environment names does not answer, or cannot be used.
    """
    rows = [*_installation(), *_stores(), *_environment(), *_extras(), *_imaging()]
    _print(rows, as_json=as_json)
    if ("environment", "store", False) in {row[:3] for row in rows}:
        raise typer.Exit(EXIT_FAILED)


def _print(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        for area, name, available, detail in rows:
            print_json_line({"area": area, "name": name, "available": available, "detail": detail})
        return
    table = Table(show_header=True, header_style="bold")
    for heading in ("area", "what", "", "detail"):
        table.add_column(heading, overflow="fold")
    for area, name, available, detail in rows:
        table.add_row(area, name, styled(("yes", "green") if available else ("no", "red")), detail)
    output_console().print(table)


def _installation() -> list[Row]:
    return [
        ("installation", "dcm-processor-service", True, version("dcm-processor-service")),
        ("installation", "Python", True, platform.python_version()),
    ]


def _stores() -> list[Row]:
    drivers = {"mongodb": ("pymongo", "pip install pymongo"), "sqlite": ("sqlite3", "this Python was built without it")}
    rows: list[Row] = []
    for name in backend_names():
        module, remedy = drivers.get(name, ("", ""))
        there = not module or find_spec(module) is not None
        rows.append(("store", name, there, "ready" if there else remedy))
    return rows


def _environment() -> list[Row]:
    """Opens the store that the environment names, if any; looks for the job only if the environment names a job."""
    if not any(name.replace("-", "_").startswith("DCM_PROCESSOR_SERVICE_DB_") for name in os.environ):
        return [("environment", "job", False, "no job's environment is set; a worker sets it, a laptop needs none")]
    place = ""
    try:
        of_job = bool(read_variables(("session_id", "job_id")))
        settings = RuntimeSettings() if of_job else RuntimeSettings(session_id=NO_ID, job_id=NO_ID)
        place = f"{settings.backend_name} at {_place(settings.db_url.get_secret_value()) or 'no address'}: "
        with opened(Container(settings=settings)) as container:
            job = run_inline(container.job_repository().find(settings.job_id))
            ask = container.backend().warnings
            warnings = [] if ask is None else run_inline(ask())
    except DcmProcessorError as error:
        return [("environment", "store", False, f"{place}{error}")]
    found = "the job is there" if job else "reachable, but it has no job of this id"
    store = f"store {settings.backend_name}"
    return [
        ("environment", store, job is not None or not of_job, f"{place}{found if of_job else 'it answers'}"),
        *(("environment", f"{store}: durability", False, warning) for warning in warnings),
    ]


def _place(url: str) -> str:
    """Returns where a store is: hosts and ports, or a folder; without user, password and options.

    Example:
        >>> _place("mongodb://user:secret@db1:27017,db2:27017/?tls=true")
        'db1:27017,db2:27017'
    """
    _scheme, separator, rest = url.partition("://")
    shown = (rest if separator else url).rpartition("@")[2]  # before anything else: a password may hold any character
    return shown.partition("?")[0].partition("/")[0] if separator else shown


def _extras() -> list[Row]:
    rows: list[Row] = []
    for extra, (module, purpose) in _EXTRAS.items():
        there = find_spec(module) is not None
        remedy = f'{purpose}: pip install "dcm-processor-service[{extra}]"'
        rows.append(("extra", extra, there, purpose if there else remedy))
    return rows


def _imaging() -> list[Row]:
    found: dict[str, list[Capability]] = Container().capabilities()
    return [(area, item.name, item.available, item.detail) for area, items in found.items() for item in items]
