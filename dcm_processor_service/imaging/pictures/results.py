"""Results as pictures: a NIfTI file by itself, or, where it holds labels on a series' grid, over that series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.imaging.geometry import convert_frame
from dcm_processor_service.imaging.pictures.contact_sheet import preview_volume
from dcm_processor_service.imaging.volumes.read import read_volumes
from dcm_processor_service.imaging.volumes.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["preview_results"]

_GREATEST_LABEL = 255
_MOST_LABELS = 32


def preview_results(niftis: Sequence[Path], series: Sequence[Path]) -> Iterator[bytes | None]:
    """Draws a contact sheet of each NIfTI file; None for one that no picture can be made of.

    Args:
        niftis: In any order, all of one series.
        series: The files of the series that they were made from, for what lies under labels; empty where there is none.
    """
    background = _largest(series) if series else None
    for nifti in niftis:
        try:
            yield _sheet(nib.load(nifti), background)
        except Exception:  # noqa: BLE001 whatever an odd or damaged image provokes: a picture is an extra to a result
            yield None


def _largest(series: Sequence[Path]) -> Volume | None:
    try:
        [volume] = read_volumes(series, "largest")
    except DcmProcessorError:
        return None
    return volume


def _sheet(image: Any, background: Volume | None) -> bytes:
    array = np.asanyarray(image.dataobj)
    if background is not None and _is_labels(array):
        labels = background.like(image)
        if np.allclose(labels.affine_lps, background.affine_lps, atol=1e-3):
            return preview_volume(background, labels)
    return preview_volume(Volume(array, convert_frame(image.affine, "RAS", "LPS")))


def _is_labels(array: np.ndarray[Any, Any]) -> bool:
    if array.dtype.kind not in "biu" or array.ndim != 3 or not array.size:  # noqa: PLR2004 the axes of a mask
        return False
    if array.min() < 0 or array.max() > _GREATEST_LABEL:
        return False
    return bool(np.count_nonzero(np.bincount(array.ravel(order="K"))) <= _MOST_LABELS)
