"""Volumes from DICOM files with pydicom's decoders and numpy.

Uncompressed pixels go from the file into their place in the array, once. The array is laid out as NIfTI stores it, so
that writing it copies nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.frames.frame import frame_of_reference_uid
from dcm_processor_service.imaging.frames.pixel_format import in_place_rescaled, is_whole, narrowest
from dcm_processor_service.imaging.headers.instance_file import contained, read_header
from dcm_processor_service.imaging.headers.values import item, number, text
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.series.order_certificate import order_certificate
from dcm_processor_service.imaging.series.policies import chosen_stacks
from dcm_processor_service.imaging.volumes.pixels import read_pixels
from dcm_processor_service.imaging.volumes.upright import on_even_grid
from dcm_processor_service.imaging.volumes.volume import DisplayWindow, Rescale, SliceSource, Volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.inspection import Inspection
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.models import SeriesReport
    from dcm_processor_service.models.nifti import Policy

__all__ = ["read_volume", "read_volumes", "volumes_of"]

_MILLI = 1e-3


def read_volume(paths: Sequence[Path], policy: Policy = "strict") -> Volume:
    """Reads the files of one series as one volume.

    Args:
        paths: In any order.
        policy: What to do when it is not one clean volume; see :mod:`dcm_processor_service.imaging.series.policies`.

    Raises:
        InvalidSeriesError: It is not one uniform volume or clean 4D stack, or files are damaged; carries the report.
        UnsupportedTransferSyntaxError: Its pixels cannot be decoded here.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> volume = read_volume([Path(get_testdata_file("CT_small.dcm"))], policy="largest")
        >>> volume.shape, str(volume.array.dtype), volume.axis_codes
        ((128, 128, 1), 'int16', 'LPS')
    """
    volumes = read_volumes(paths, policy)
    if len(volumes) > 1:
        names = ", ".join(volume.name for volume in volumes)
        raise InvalidSeriesError(
            f"series {volumes[0].series_instance_uid} holds {len(volumes)} volumes ({names}): read them with "
            "read_volumes, or take one with policy largest",
            volumes[0].report,
        )
    return volumes[0]


def read_volumes(paths: Sequence[Path], policy: Policy = "strict") -> tuple[Volume, ...]:
    """Reads the files of one series as all the volumes that the policy finds in them, in stable order.

    Raises:
        InvalidSeriesError: The policy refuses the series, or files are damaged; carries the report.
        UnsupportedTransferSyntaxError: Its pixels cannot be decoded here.
    """
    return volumes_of(examine(paths), policy)


def volumes_of(inspection: Inspection, policy: Policy = "strict") -> tuple[Volume, ...]:
    """Reads the volumes of a series that was inspected; see :func:`read_volumes`."""
    volumes = []
    for stack in chosen_stacks(inspection, policy):
        volume = _volume(stack, inspection.report)
        volumes.append(on_even_grid(volume, stack) if policy == "resample" else volume)
    return tuple(volumes)


def _volume(stack: Stack, report: SeriesReport) -> Volume:
    frames = [frame for line in stack.grid for frame in line]
    array = _assemble(frames, len(stack.grid), len(stack.grid[0]))
    first = stack.first
    header = read_header(first.instance.path)
    sources = tuple(
        tuple(SliceSource(frame.instance.sop_instance_uid, frame.number) for frame in line) for line in stack.grid
    )
    with contained():
        return Volume(
            array,
            stack.affine_lps(),
            sources=sources,
            series_instance_uid=text(header, "SeriesInstanceUID"),
            study_instance_uid=text(header, "StudyInstanceUID"),
            frame_of_reference_uid=frame_of_reference_uid(frames),
            modality=text(header, "Modality"),
            display_window=_display_window(first),
            rescale=_rescale(frames),
            volume_step_s=_volume_step_s(first) if len(stack.grid) > 1 else None,
            name=stack.name,
            order=order_certificate(stack),
            header=header,
            report=report,
        )


def _rescale(frames: Sequence[FrameInfo]) -> Rescale:
    first = frames[0]
    varies = len({frame.scaling for frame in frames}) > 1
    return Rescale(first.slope, first.intercept, _unit(first), varies=varies, by_table=first.lut is not None)


def _rescales(frames: Sequence[FrameInfo]) -> set[tuple[float, float]]:
    return {(frame.slope, frame.intercept) for frame in frames}


def _assemble(frames: Sequence[FrameInfo], volumes: int, slices: int) -> NDArray[Any]:
    """Returns the rescaled values of frames in the order (t, k), as an array (i, j, k) or (i, j, k, t)."""
    pixels = frames[0].pixel_format
    shape = (len(frames), pixels.rows, pixels.columns)
    rescales = _rescales(frames)
    if pixels.is_float or not all(is_whole(*one) for one in rescales):
        array = _assemble_float(frames, shape)
    elif len(rescales) == 1 and not any(frame.lut for frame in frames):
        array = _assemble_stored(frames, shape)
    else:
        array = _assemble_wide(frames, shape)
    turned: NDArray[Any] = array.reshape(volumes, slices, *shape[1:]).transpose(3, 2, 1, 0)
    return turned[..., 0] if volumes == 1 else turned


def _assemble_stored(frames: Sequence[FrameInfo], shape: tuple[int, int, int]) -> NDArray[Any]:
    """One whole rescale for all: values stay where they were read."""
    array = np.empty(shape, frames[0].pixel_format.stored_type)
    slope, intercept = frames[0].slope, frames[0].intercept
    ends: list[int] = []
    for index in read_pixels(frames, array.__getitem__):
        if (slope, intercept) != (1.0, 0.0):  # now, while the slice is in the processor's cache
            ends += (int(array[index].min()), int(array[index].max()))
    return in_place_rescaled(array, slope, intercept, (min(ends), max(ends))) if ends else array


def _assemble_wide(frames: Sequence[FrameInfo], shape: tuple[int, int, int]) -> NDArray[Any]:
    """Several whole rescales, or tables: exact arithmetic slice by slice, then the narrowest type that holds all."""
    stored = frames[0].pixel_format.stored_type
    array = np.empty(shape, np.int64 if stored.itemsize > 2 else np.int32)  # noqa: PLR2004 bytes
    scratch = np.empty(shape[1:], stored)
    for index in read_pixels(frames, lambda _: scratch):
        frame = frames[index]
        values = frame.lut.apply(scratch) if frame.lut else scratch
        array[index] = values.astype(np.int64) * int(frame.slope) + int(frame.intercept)
    return array.astype(narrowest(float(array.min()), float(array.max()), stored), copy=False)


def _assemble_float(frames: Sequence[FrameInfo], shape: tuple[int, int, int]) -> NDArray[Any]:
    """Fractions: double precision slice by slice, kept as float32.

    Raises:
        InvalidSeriesError: A value is beyond what float32 holds.
    """
    array = np.empty(shape, np.float32)
    scratch = np.empty(shape[1:], frames[0].pixel_format.stored_type)
    for index in read_pixels(frames, lambda _: scratch):
        frame = frames[index]
        values = frame.lut.apply(scratch) if frame.lut else scratch
        try:
            with np.errstate(over="raise"):
                array[index] = values.astype(np.float64) * frame.slope + frame.intercept
        except FloatingPointError as error:
            raise InvalidSeriesError(
                f"{frame.instance.label} has values beyond what float32 holds: scale them down at the source"
            ) from error
    return array


def _display_window(frame: FrameInfo) -> DisplayWindow | None:
    for place in frame.places:
        voi = item(place, "FrameVOILUTSequence")
        for dataset in (place,) if voi is None else (voi, place):
            center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
            if center is not None and width is not None and width > 0:
                return DisplayWindow(center, width)
    return None


def _unit(frame: FrameInfo) -> str:
    for place in frame.places:
        transformation = item(place, "PixelValueTransformationSequence")
        found = text(transformation, "RescaleType") if transformation is not None else ""
        if found:
            return _specified(found)
    header = frame.places[-1]
    table = item(header, "ModalityLUTSequence")
    if table is not None:
        return text(table, "ModalityLUTType")
    unit = text(header, "RescaleType") or text(header, "Units") or text(header, "DoseUnits")
    # "HU" is what a CT's rescale leads to when the header does not say (PS3.3, section C.8.2.1.1.3)
    return _specified(unit) or ("HU" if not unit and text(header, "Modality") == "CT" else "")


def _specified(unit: str) -> str:
    """A unit, or empty for ``US``, which means that it is not specified (PS3.3, section C.11.1.1.2)."""
    return "" if unit == "US" else unit


def _volume_step_s(frame: FrameInfo) -> float | None:
    for place in frame.places:
        timing = item(place, "MRTimingAndRelatedParametersSequence")
        found = number(timing if timing is not None else place, "RepetitionTime")
        if found:
            return found * _MILLI
    return None
