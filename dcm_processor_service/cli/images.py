"""``inspect`` and ``convert``: describes every series under a folder, or converts it to NIfTI."""

from __future__ import annotations

from contextlib import contextmanager
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
from dcm_processor_service.disk import exists, is_folder, write_whole
from dcm_processor_service.env_vars import read_variables
from dcm_processor_service.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError, DicomError, InvalidSeriesError
from dcm_processor_service.local.zipped import is_zipped, unzipped
from dcm_processor_service.models.images.nifti import Engine, Policy, Sidecar
from dcm_processor_service.models.platform_ids import file_stem
from dcm_processor_service.reporting.inspection_page import inspection_page
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.session.images.catalogue import catalogue_files
from dcm_processor_service.session.scratch import open_scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console

    from dcm_processor_service.models import SeriesReport
    from dcm_processor_service.models.images.nifti import NiftiFiles
    from dcm_processor_service.session.functions import ImagingFunctions

__all__ = ["convert", "inspect", "series_below", "unpacked"]

Folder = Annotated[Path, typer.Argument(help="Folder or zip file with DICOM files at any depth")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON for each series")]


def inspect(
    folder: Folder,
    html: Annotated[
        Path | None, typer.Option(help="File for the page; if left out, inspection.html, or no page with --json")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Describe every series under a folder; writes a page with contact sheets, which opens without a network.

    Exits with 1 when a series could not be inspected.
    """
    page = html or (None if as_json else Path("inspection.html"))
    found: list[tuple[SeriesReport, bytes | None]] = []
    refused = 0
    with sentences(), opened(Container()) as container, unpacked(folder) as (place,):
        series = series_below(place, container)
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
    out: Annotated[
        Path,
        typer.Argument(
            help="Folder for the NIfTI files, named by SeriesInstanceUID; or, for one series, a file such as out.nii.gz"
        ),
    ],
    engine: Annotated[Engine, typer.Option(help="Which engine converts; auto chooses by the series")] = "auto",
    policy: Annotated[Policy, typer.Option(help="What to do with a series that is not one clean volume")] = "strict",
    sidecar: Annotated[
        Sidecar, typer.Option(help="The JSON beside each image; simplified holds patient data")
    ] = "bids",
    max_gap_mm: Annotated[
        float | None, typer.Option(help="Widest gap that --policy resample fills; if left out, two slice steps", min=0)
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Convert a series only if this package and dcm2niix read equal voxels")
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Write .nii in place of .nii.gz")] = False,
    as_json: AsJson = False,
) -> None:
    """Convert every series under a folder to NIfTI; exits with 1 when some were refused."""
    console = error_console()
    refused = 0
    with sentences(), opened(Container()) as container, unpacked(folder) as (place,):
        series = series_below(place, container)
        targets = _targets(series, out, plain=plain)
        with progress_bar(console) as progress:
            task = progress.add_task("converting", total=len(series))
            for uid, paths in series.items():
                to_nifti = partial(
                    container.converter().convert,
                    engine=engine,
                    policy=policy,
                    sidecar=sidecar,
                    max_gap_mm=max_gap_mm,
                    verify=verify,
                )
                row = _convert_one(to_nifti, paths, targets[uid])
                refused += "error" in row
                row = {"series_instance_uid": uid, **row}
                if as_json:
                    print_json_line(row)
                else:
                    _print_row(row, output_console())
                progress.advance(task)
    raise typer.Exit(EXIT_FAILED if refused else EXIT_DONE)


_NO_NIFTI = frozenset({".dcm", ".gz", ".hdr", ".img", ".json", ".mgz", ".mha", ".mhd", ".nrrd", ".txt", ".zip"})
"""Suffixes with which a new path is surely meant to be a file, not a folder."""


def _targets(series: Iterable[str], out: Path, *, plain: bool) -> dict[str, Path]:
    """Returns the file of each series: a file in the folder ``out``, or the file ``out`` itself.

    Raises:
        ConfigurationError: ``out`` is one file for several series, or has a suffix that no NIfTI file has, or that
            contradicts ``plain``.
    """
    suffix = next((one for one in (".nii.gz", ".nii") if out.name.lower().endswith(one)), "")
    if not suffix and out.suffix.lower() in _NO_NIFTI and not is_folder(out):
        raise ConfigurationError(
            f"{str(out)!r} would be no NIfTI file; name a file that ends with .nii.gz or .nii, or a folder"
        )
    if not suffix or is_folder(out):
        return {uid: out / f"{file_stem(uid)}{'.nii' if plain else '.nii.gz'}" for uid in series}
    if plain and suffix != ".nii":
        raise ConfigurationError(f"--plain writes .nii, and {str(out)!r} names another file; give {out.name[:-3]!r}")
    uids = list(series)
    if len(uids) > 1:
        raise ConfigurationError(
            f"there are {len(uids)} series, which {str(out)!r} cannot hold all; give a folder for the results, or the "
            f"folder of one series: {', '.join(uids)}"
        )
    return {uids[0]: out}


def series_below(folder: Path, container: Container) -> dict[str, list[Path]]:
    """Returns the files of each series under a folder; prints what was left out.

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


@contextmanager
def unpacked(*sources: Path) -> Iterator[list[Path]]:
    """Yields folders as they are, and zip files as temporary folders, which are removed at the end."""
    scratch_folder = read_variables(["scratch"]).get("scratch")
    with open_scratch(Path(scratch_folder) if isinstance(scratch_folder, str) else None) as scratch:
        yield [unzipped(one, scratch.folder("unzipped")) if is_zipped(one) else one for one in sources]


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
