"""``derive`` and ``pdf``: results become DICOM objects on the geometry and identity of a series."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dcm_processor_service.cli.console import output_console, print_json_line, sentences
from dcm_processor_service.cli.images import series_below
from dcm_processor_service.disk import exists, file_faults, is_file, open_to_read
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models.derived import (
    DocumentOptions,
    ImageOptions,
    MapOptions,
    Producer,
    Recipe,
    SegmentationOptions,
)
from dcm_processor_service.runtime.container import Container, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["derive", "pdf"]

Like = Annotated[Path, typer.Option(help="Folder with the DICOM series that the result belongs to")]
Out = Annotated[Path, typer.Option(help="Folder for the DICOM files")]
SeriesUid = Annotated[str, typer.Option(help="SeriesInstanceUID, where --like holds several series")]
Role = Annotated[str, typer.Option(help="What the object is; its UIDs follow from it, so each result needs its own")]
Service = Annotated[str, typer.Option(help="NAME:VERSION of the maker, named in the object")]
Replace = Annotated[bool, typer.Option(help="Replace files that hold another result with the same UID")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON for each file")]

_LABEL = re.compile("[0-9]{1,9}")
DEFAULT_SERVICE = "dcm-processor-service:0"


def derive(
    nifti: Annotated[Path, typer.Argument(help="A .nii or .nii.gz file: an image, a label map or a map of values")],
    like: Like,
    out: Out,
    kind: Annotated[
        Literal["image", "sc", "seg", "pm"],
        typer.Option(help="An image of the source's class, Secondary Capture, segmentation or parametric map"),
    ] = "image",
    segment: Annotated[list[str] | None, typer.Option(help="NAME=LABEL for --kind seg, such as liver=1")] = None,
    units: Annotated[str, typer.Option(help="UCUM unit of the values, for --kind pm")] = "1",
    series_uid: SeriesUid = "",
    role: Role = "derived",
    service: Service = DEFAULT_SERVICE,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Turn a NIfTI file into DICOM, on the geometry of a series."""
    with sentences(), opened(Container()) as container:
        source, recipe, make = _source(container, like, series_uid), _recipe(service, role), container.derived()
        if not is_file(nifti) or not nifti.name.lower().endswith((".nii", ".nii.gz")):
            raise ConfigurationError(f"there is no file {str(nifti)!r} of NIfTI; give a .nii or .nii.gz file")
        image = container.formats().read(nifti)
        if kind == "seg":
            masks = {name: _mask(image, label) for name, label in _labels(segment or []).items()}
            datasets = [make.segmentation(masks, source, recipe, SegmentationOptions())]
        elif kind == "pm":
            datasets = [make.parametric_map(image, source, recipe, MapOptions(units))]
        else:
            datasets = make.image(image, source, recipe, ImageOptions("sc" if kind == "sc" else "source"), None)
        _print_saved(make.save(datasets, out, replace), as_json=as_json)


def pdf(
    report: Annotated[Path, typer.Argument(help="A PDF file")],
    like: Like,
    out: Out,
    title: Annotated[str, typer.Option(help="Title of the document")] = "",
    series_uid: SeriesUid = "",
    role: Role = "document",
    service: Service = DEFAULT_SERVICE,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Wrap a PDF as DICOM, with the identity of a series."""
    with sentences(), opened(Container()) as container:
        source, make = _source(container, like, series_uid), container.derived()
        if not exists(report):
            raise ConfigurationError(f"there is no file {str(report)!r}; give a PDF file")
        with open_to_read(report) as file, file_faults(report, "read"):
            content = file.read()
        made = make.pdf(content, source, _recipe(service, role), DocumentOptions(title))
        _print_saved(make.save([made], out, replace), as_json=as_json)


def _source(container: Container, like: Path, series_uid: str) -> list[Path]:
    series = series_below(like, container)
    if series_uid and series_uid not in series:
        raise ConfigurationError(f"the folder holds no series {series_uid}; it holds: {', '.join(series)}")
    if not series_uid and len(series) > 1:
        raise ConfigurationError(f"the folder holds {len(series)} series; name one, --series-uid: {', '.join(series)}")
    return container.imaging().order(series[series_uid or next(iter(series))])


def _recipe(service: str, role: str) -> Recipe:
    name, _, version = service.partition(":")
    return Recipe(Producer(name, version or "0"), role=role)


def _labels(texts: Sequence[str]) -> dict[str, int]:
    labels = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not _LABEL.fullmatch(number):
            raise ConfigurationError(f"{text!r} is no segment; give NAME=LABEL, for example liver=1")
        labels[name] = int(number)
    if not labels:
        raise ConfigurationError("a segmentation needs the name of each label; give --segment NAME=LABEL")
    return labels


def _mask(image: Any, label: int) -> Any:
    """Gives the voxels of one label, in the image's place."""
    return type(image)((image.dataobj[...] == label).astype("uint8"), image.affine)


def _print_saved(paths: Sequence[Path], *, as_json: bool) -> None:
    for path in paths:
        if as_json:
            print_json_line({"path": str(path), "size_bytes": path.stat().st_size})
        else:
            output_console().print(str(path), soft_wrap=True)
