"""Reads the segments of all SEG and RTSTRUCT objects of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.derived.reading.grids import MaskGrid
from dcm_processor_service.derived.reading.rtstruct import drawn_on, read_rtstruct
from dcm_processor_service.derived.reading.seg import read_seg
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.instance_file import read_instance
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.series_kinds import SeriesKind, kind_of_class

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.derived.reading.structure_mask import StructureMask
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.imaging.volumes.volume import Volume

__all__ = ["images_needed", "read_segments"]

_LIMITS = Limits()


def images_needed(paths: Sequence[Path], limits: Limits = _LIMITS) -> str:
    """Returns the SeriesInstanceUID of the images that structure sets were drawn on; empty if there are only SEG.

    Raises:
        InvalidSeriesError: A file is damaged, or a structure set refers to no images, or to several series.
    """
    found: set[str] = set()
    for instance in _instances(paths, limits):
        if _kind(instance) is SeriesKind.STRUCTURE_SET:
            series = drawn_on(instance)
            if len(series) != 1:
                raise InvalidSeriesError(
                    f"{instance.label} is a structure set that refers to {len(series)} series of images, so it is not "
                    "clear which grid its contours belong to: give the images as like="
                )
            found.update(series)
    if len(found) > 1:
        raise InvalidSeriesError(
            f"the structure sets of the series were drawn on {len(found)} series of images: give the images as like="
        )
    return found.pop() if found else ""


def read_segments(
    paths: Sequence[Path],
    like: Volume | Sequence[Path] | None = None,
    images: Sequence[Path] = (),
    limits: Limits = _LIMITS,
) -> tuple[StructureMask, ...]:
    """Reads the segments of every SEG and every RTSTRUCT among the files of a series.

    Args:
        paths: The files of the series.
        like: A volume, or the files of a series of images, whose grid the masks get. None: the SEG's own grid, or for a
            structure set the grid of ``images``.
        images: The files of the images that a structure set was drawn on.
        limits: Limits of size for masks.

    Raises:
        InvalidSeriesError: A file is damaged, contradicts itself or holds no segments, or its segments cannot be
            placed.
        UnsupportedTransferSyntaxError: Pixels cannot be decoded here.
    """
    grid = None if like is None else MaskGrid.of(like, limits)
    drawn = MaskGrid.of(images, limits) if grid is None and images else grid
    found: list[StructureMask] = []
    instances = _instances(paths, limits)
    for instance in instances:
        kind = _kind(instance)
        if kind is SeriesKind.SEGMENTATION:
            found += read_seg(instance, grid, limits)
        elif kind is SeriesKind.STRUCTURE_SET and drawn is not None:
            found += read_rtstruct(instance, drawn, limits, may_cut=grid is not None)
        else:
            raise InvalidSeriesError(
                f"{instance.label} holds no segments, its kind is {kind.value}: choose a series whose kind is "
                "segmentation or structure set"
            )
    return tuple(found)


def _instances(paths: Sequence[Path], limits: Limits) -> list[InstanceFile]:
    return [read_instance(path, limits=limits) for path in paths]


def _kind(instance: InstanceFile) -> SeriesKind:
    return kind_of_class(text(instance.header, "SOPClassUID"), text(instance.header, "Modality"))
