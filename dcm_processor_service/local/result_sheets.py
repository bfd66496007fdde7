"""Contact sheets of what a job left: of each NIfTI file that it wrote, or of its series where it wrote none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.disk import write_whole
from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.models import SeriesRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.models import Patient, Study
    from dcm_processor_service.runtime.container import Container
    from dcm_processor_service.session.session import Session

__all__ = ["draw_sheets", "sheet_names"]

_SUFFIX = ".preview.png"
_OF_SERIES = f"series{_SUFFIX}"
_NIFTI_SUFFIXES = (".nii.gz", ".nii")


def sheet_names(names: Sequence[str]) -> list[str]:
    """Names every sheet that may lie beside files of these names.

    Example:
        >>> sheet_names(["liver.nii.gz", "report.json"])
        ['liver.preview.png', 'series.preview.png']
    """
    return [*_sheets_of(names).values(), _OF_SERIES]


def draw_sheets(
    container: Container, subject: Patient | Study | SeriesRecord | None, names: Sequence[str], folder: Path
) -> tuple[Path, ...]:
    """Draws them beside the files of a folder; gives their paths. What no picture can be made of has none."""
    series: list[Path] = []
    if isinstance(subject, SeriesRecord):
        series = _files_of_series(container)
    wanted = _sheets_of(names)
    pictures = dict(
        zip(
            wanted.values(),
            container.imaging().preview_results([folder / name for name in wanted], series),
            strict=True,
        )
    )
    if not wanted and series:
        pictures[_OF_SERIES] = _picture_of_series(container, series)
    drawn = []
    for name, picture in pictures.items():
        if picture is not None and name not in names:  # a file of the job's own is never written over
            with write_whole(folder / name, private=True) as file:
                file.write(picture)
            drawn.append(folder / name)
    return tuple(drawn)


def _sheets_of(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        suffix = next((one for one in _NIFTI_SUFFIXES if name.lower().endswith(one)), "")
        if suffix:
            found[name] = name[: -len(suffix)] + _SUFFIX
    return found


def _files_of_series(container: Container) -> list[Path]:
    try:
        session: Session = container.session()
        return session.dicom.get_series().paths()
    except DcmProcessorError:  # the job itself has said so
        return []


def _picture_of_series(container: Container, series: Sequence[Path]) -> bytes | None:
    try:
        return container.imaging().preview(series)
    except DcmProcessorError:
        return None
