"""``inspect`` and ``convert``: every series found under a folder, said and turned into NIfTI."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcm_processor_service.cli.console import (
    error_console,
    output_console,
    print_json_line,
    print_left_out,
    progress_bar,
    sentences,
    styled,
)
from dcm_processor_service.disk import exists, write_whole
from dcm_processor_service.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError, DicomError, InvalidSeriesError
from dcm_processor_service.local.ingest import catalogue_files
from dcm_processor_service.models.nifti import Engine, Policy, Sidecar
from dcm_processor_service.models.platform_ids import file_stem
from dcm_processor_service.reporting.inspection_page import inspection_page
from dcm_processor_service.runtime.container import Container, opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from dcm_processor_service.models import SeriesReport
    from dcm_processor_service.models.nifti import NiftiFiles
    from dcm_processor_service.session.functions import ImagingFunctions

__all__ = ["convert", "inspect", "series_below"]

Folder = Annotated[Path, typer.Argument(help="Folder with DICOM files at any depth")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON for each series")]


def inspect(
    folder: Folder,
    html: Annotated[
        Path | None, typer.Option(help="Page with reports and contact sheets; inspection.html unless --json")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what every series under a folder is; writes one page with contact sheets, which needs no network.

    Exits with 1 when a series could not be inspected.
    """
    page = html or (None if as_json else Path("inspection.html"))
    found: list[tuple[SeriesReport, bytes | None]] = []
    refused = 0
    with sentences(), opened(Container()) as container:
        series = series_below(folder, container)
        imaging = container.imaging()
        with progress_bar(error_console()) as progress:
            task = progress.add_task("inspecting", total=len(series))
            for uid, paths in series.items():
                progress.advance(task)
                try:
                    report = imaging.inspect(paths)
                except DicomError as error:
                    refused += 1
                    error_console().print(f"series {uid}: {error}", soft_wrap=True)
                    continue
                found.append((report, _sheet(imaging, paths) if page else None))
                if as_json:
                    print_json_line(report.model_dump(mode="json", exclude={"description"}))
                else:
                    output_console().print(str(report), soft_wrap=True)
    if page:
        with sentences(), write_whole(page) as file:
            file.write(inspection_page(found).encode())
        error_console().print(f"The contact sheets are in {page}.", soft_wrap=True)
    raise typer.Exit(EXIT_FAILED if refused else EXIT_DONE)


def _sheet(imaging: ImagingFunctions, paths: list[Path]) -> bytes | None:
    try:
        return imaging.preview(paths)
    except DicomError:  # the report says why there is nothing to show
        return None


def convert(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="Folder for the NIfTI files, named by SeriesInstanceUID")],
    engine: Annotated[Engine, typer.Option(help="Who converts; auto chooses by what the series is")] = "auto",
    policy: Annotated[Policy, typer.Option(help="What to do with a series that is not one clean volume")] = "strict",
    sidecar: Annotated[
        Sidecar, typer.Option(help="The JSON beside each image; simplified holds patient data")
    ] = "bids",
    max_gap_mm: Annotated[
        float | None, typer.Option(help="Widest gap that resample fills; two steps when not given", min=0)
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Write .nii in place of .nii.gz")] = False,
    as_json: AsJson = False,
) -> None:
    """Convert every series under a folder to NIfTI; exits with 1 when some were refused."""
    console = error_console()
    refused = 0
    with sentences(), opened(Container()) as container:
        series = series_below(folder, container)
        with progress_bar(console) as progress:
            task = progress.add_task("converting", total=len(series))
            for uid, paths in series.items():
                target = out / f"{file_stem(uid)}{'.nii' if plain else '.nii.gz'}"
                to_nifti = partial(
                    container.converter().convert,
                    engine=engine,
                    policy=policy,
                    sidecar=sidecar,
                    max_gap_mm=max_gap_mm,
                )
                row = _convert_one(to_nifti, paths, target)
                refused += "error" in row
                row = {"series_instance_uid": uid, **row}
                if as_json:
                    print_json_line(row)
                else:
                    _print_row(row, output_console())
                progress.advance(task)
    raise typer.Exit(EXIT_FAILED if refused else EXIT_DONE)


def series_below(folder: Path, container: Container) -> dict[str, list[Path]]:
    """Returns the files of each series under a folder; says what was left out.

    Raises:
        ConfigurationError: There is no folder, or no DICOM file in it.
    """
    if not exists(folder):
        raise ConfigurationError(f"there is no folder {str(folder)!r}; give one that holds DICOM files")
    imaging = container.imaging()
    files = list(imaging.files_below(folder, None))
    with progress_bar(error_console()) as progress:
        task = progress.add_task("reading headers", total=len(files))
        catalogue = catalogue_files(files, imaging, lambda: progress.advance(task))
    print_left_out(catalogue.left_out)
    series = catalogue.series_files()
    if not series:
        raise ConfigurationError("no DICOM file was found; give a folder that holds some")
    return series


def _convert_one(to_nifti: Callable[[list[Path], Path], NiftiFiles], paths: list[Path], target: Path) -> dict[str, Any]:
    try:
        files = to_nifti(paths, target)
    except DicomError as error:
        report = error.report if isinstance(error, InvalidSeriesError) else None
        codes = sorted(report.codes) if report else []
        return {"error": type(error).__name__, "message": str(error), "findings": codes}
    return {
        "engine": files.engine,
        "why": files.reason,
        "findings": sorted(files.report.codes) if files.report else [],
        "files": [str(path) for path in (*files.paths, *files.sidecars)],
        "volumes": [
            {"name": volume.name, "shape": list(volume.shape), "affine_ras": [list(row) for row in volume.affine_ras]}
            for volume in files.volumes
        ],
    }


def _print_row(row: dict[str, Any], console: Console) -> None:
    uid = row["series_instance_uid"]
    if "error" in row:
        console.print(styled(("refused", "red"), f" {uid}"), soft_wrap=True)
        console.print(f"  {row['message']}", soft_wrap=True)
        return
    console.print(styled(("done", "green"), f" {uid}: {row['engine']}, because {row['why']}"), soft_wrap=True)
    for volume, path in zip(row["volumes"], row["files"], strict=False):
        console.print(f"  {path}: {' x '.join(map(str, volume['shape']))}", soft_wrap=True)
