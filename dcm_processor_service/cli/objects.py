"""``derive`` and ``pdf``: make DICOM objects of results, with the geometry and identity of a series."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dcm_processor_service.cli.console import output_console, print_json_line, sentences
from dcm_processor_service.cli.images import series_below, unpacked
from dcm_processor_service.disk import exists, file_faults, is_file, open_to_read
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models.derived import (
    Code,
    DocumentOptions,
    ImageOptions,
    MapOptions,
    OverlayOptions,
    PresentationOptions,
    Producer,
    Recipe,
    SegmentationOptions,
    StructureSetOptions,
)
from dcm_processor_service.runtime.container import Container, opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydicom import Dataset

__all__ = ["derive", "pdf"]

Like = Annotated[Path, typer.Option(help="Folder or zip file with the DICOM series that the result belongs to")]
Out = Annotated[Path, typer.Option(help="Folder for the DICOM files")]
SeriesUid = Annotated[str, typer.Option(help="SeriesInstanceUID, where --like holds several series")]
Role = Annotated[str, typer.Option(help="What the object is; its UIDs follow from it, so each result needs its own")]
Service = Annotated[str, typer.Option(help="NAME:VERSION of the service, which the object names as its maker")]
Replace = Annotated[bool, typer.Option(help="Replace files that hold another result with the same UID")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON for each file")]

_LABEL = re.compile("[0-9]{1,9}")
_WITH_TIME = 4
DEFAULT_SERVICE = "dcm-processor-service:0"


def derive(
    nifti: Annotated[Path, typer.Argument(help="A .nii or .nii.gz file: an image, a label map or a map of values")],
    like: Like,
    out: Out,
    kind: Annotated[
        Literal["image", "sc", "seg", "rtstruct", "overlay", "presentation", "pm"],
        typer.Option(
            help="An image of the source's class, Secondary Capture, segmentation (one for each time point of a file "
            "of four axes), structure set, labels in colour over the series, presentation state with their outlines, "
            "or parametric map"
        ),
    ] = "image",
    segment: Annotated[
        list[str] | None,
        typer.Option(
            help="LABEL=NAME or LABEL=VALUE^SCHEME^MEANING, such as 1=liver, or NAME=LABEL, for --kind seg, rtstruct, "
            "overlay and presentation"
        ),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            help="Table of all labels, in place of --segment: totalsegmentator, totalsegmentator:TASK or monai:BUNDLE"
        ),
    ] = "",
    allow_empty: Annotated[bool, typer.Option(help="Accept labels that do not occur in the mask")] = False,
    to_source: Annotated[
        bool,
        typer.Option(
            help="First resample labels on another grid to the slices of the series, by nearest neighbour, for --kind "
            "seg, rtstruct and presentation"
        ),
    ] = False,
    units: Annotated[str, typer.Option(help="UCUM unit of the values, for --kind pm")] = "1",
    style: Annotated[
        Literal["outline", "fill"], typer.Option(help="How labels are drawn, for --kind overlay")
    ] = "outline",
    text: Annotated[
        str, typer.Option(help="A line at the bottom of each picture, for --kind overlay and presentation")
    ] = "",
    series_uid: SeriesUid = "",
    role: Role = "derived",
    service: Service = DEFAULT_SERVICE,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Turn a NIfTI file into DICOM, with the geometry of a series."""
    with sentences(), opened(Container()) as container, unpacked(like) as (place,):
        source, recipe, make = _source(container, place, series_uid), _recipe(service, role), container.derived()
        if not is_file(nifti) or not nifti.name.lower().endswith((".nii", ".nii.gz")):
            raise ConfigurationError(f"there is no NIfTI file {str(nifti)!r}; give a .nii or .nii.gz file")
        image = container.formats().read(nifti)
        if to_source and kind not in {"seg", "rtstruct", "presentation"}:
            raise ConfigurationError(f"--to-source is for --kind seg, rtstruct and presentation, not {kind}")
        if kind in {"seg", "rtstruct", "overlay", "presentation"}:
            names = labels or _labels(segment or [])
            if not isinstance(names, str) and not allow_empty:
                _require_labels(image, names)
            placed = container.imaging().to_source(image, source) if to_source else image
            datasets = _of_labels(container, kind, placed, source, recipe, names, style, text)
        elif kind == "pm":
            datasets = [make.parametric_map(image, source, recipe, MapOptions(units))]
        else:
            datasets = make.image(image, source, recipe, ImageOptions("sc" if kind == "sc" else "source"), None)
        _print_saved(make.save(datasets, out, replace), as_json=as_json)


def _of_labels(
    container: Container,
    kind: str,
    image: Any,
    source: list[Path],
    recipe: Recipe,
    names: Mapping[int, Code | str] | str,
    style: Literal["outline", "fill"],
    text: str,
) -> list[Dataset]:
    """Makes the objects of a label map."""
    make = container.derived()
    if kind == "seg":
        several = len(image.shape) == _WITH_TIME and image.shape[3] > 1
        options = SegmentationOptions()
        if several:
            return make.segmentations(image, source, recipe, options, names)
        return [make.segmentation(image, source, recipe, options, names)]
    if kind == "rtstruct":
        return [make.structure_set(image, source, recipe, StructureSetOptions(), names)]
    if kind == "presentation":
        return make.presentation(image, (), source, recipe, PresentationOptions(text=text), names)
    (volume,) = container.imaging().volumes(source, "strict", None)
    return make.overlay(volume, image, source, recipe, OverlayOptions(style, text=text), names)


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
    with sentences(), opened(Container()) as container, unpacked(like) as (place,):
        source, make = _source(container, place, series_uid), container.derived()
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


def _labels(texts: Sequence[str]) -> dict[int, Code | str]:
    labels: dict[int, Code | str] = {}
    for text in texts:
        first, _, rest = text.partition("=")
        name, _, last = text.rpartition("=")
        number, name = (first, rest) if _LABEL.fullmatch(first) else (last, name)
        if not name.strip() or not _LABEL.fullmatch(number):
            raise ConfigurationError(f"{text!r} is not a segment; give LABEL=NAME, for example 1=liver")
        if int(number) in labels:
            raise ConfigurationError(f"the label {number} has two names; give each label once")
        labels[int(number)] = _named(name)
    if not labels:
        raise ConfigurationError("a segmentation needs the name of each label; give --segment LABEL=NAME, or --labels")
    return labels


def _named(name: str) -> Code | str:
    """Returns a name, or the code that is written as VALUE^SCHEME^MEANING."""
    if "^" not in name:
        return name
    parts = [part.strip() for part in name.split("^")]
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 value, scheme and meaning
        raise ConfigurationError(f"{name!r} is not a code; give VALUE^SCHEME^MEANING, such as C0023884^UMLS^Liver")
    return Code(*parts)


def _require_labels(image: Any, labels: Iterable[int]) -> None:
    """Refuses a label that does not occur, which was probably mistyped."""
    voxels = image.dataobj[...]
    absent = [label for label in labels if not (voxels == label).any()]
    if absent:
        raise ConfigurationError(
            f"the file holds no voxel of the label {', '.join(map(str, absent))}; check it, or give --allow-empty "
            "where nothing was found"
        )


def _print_saved(paths: Sequence[Path], *, as_json: bool) -> None:
    for path in paths:
        if as_json:
            print_json_line({"path": str(path), "size_bytes": path.stat().st_size})
        else:
            output_console().print(str(path), soft_wrap=True)
