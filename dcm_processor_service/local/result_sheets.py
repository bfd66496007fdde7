"""Writes contact sheets beside a job's results: of each NIfTI file of the job, or of its series if there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.disk import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dcm_processor_service.models.images.pictures import ResultPicture

__all__ = ["sheet_names", "write_sheets"]

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


def write_sheets(pictures: Mapping[str, ResultPicture], names: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """Writes pictures beside the files that they show; returns their paths.

    A file that the job itself wrote is never overwritten.
    """
    sheets = _sheets_of(names)
    series = [picture for picture in pictures.values() if picture.shows == "series"]
    wanted = [(sheets[name], picture) for name, picture in pictures.items() if name in sheets]
    wanted += [(_OF_SERIES, picture) for picture in series if len(series) == 1]
    written = []
    for name, picture in wanted:
        if name not in names:
            with write_whole(folder / name, private=True) as file:
                file.write(picture.png)
            written.append(folder / name)
    return tuple(written)


def _sheets_of(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        suffix = next((one for one in _NIFTI_SUFFIXES if name.lower().endswith(one)), "")
        if suffix:
            found[name] = name[: -len(suffix)] + _SUFFIX
    return found
