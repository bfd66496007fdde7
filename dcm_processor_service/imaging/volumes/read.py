"""Reads volumes from DICOM files with pydicom's decoders and numpy.

Uncompressed pixels are read from the file directly into their place in the array. The array has the same order in
memory as in a NIfTI file, so that it can be written without being copied.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedValueError
from dcm_processor_service.imaging.acquisition.mr_acquisition import mr_acquisition
from dcm_processor_service.imaging.frames.frame import frame_of_reference_uid
from dcm_processor_service.imaging.frames.pixel_format import in_place_rescaled, is_whole, narrowest
from dcm_processor_service.imaging.frames.units import unit_of
from dcm_processor_service.imaging.headers.instance_file import contained, foreign_errors_as, read_header
from dcm_processor_service.imaging.headers.values import item, number, text
from dcm_processor_service.imaging.series.geometry_findings import about
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.series.order.order_certificate import order_certificate
from dcm_processor_service.imaging.series.policies import chosen_stacks, with_findings
from dcm_processor_service.imaging.volumes.mosaic import mosaic_stack, untiled
from dcm_processor_service.imaging.volumes.pixels import read_pixels
from dcm_processor_service.imaging.volumes.upright import on_even_grid, refuse_wide_gaps
from dcm_processor_service.imaging.volumes.volume import DisplayWindow, Rescale, SliceSource, Volume
from dcm_processor_service.imaging.volumes.volume_times import volume_times
from dcm_processor_service.models import SeriesFinding, SeriesKind
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.inspection import Inspection
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.models import SeriesReport
    from dcm_processor_service.models.images.nifti import Policy

    _Assemble = Callable[[Sequence[FrameInfo], int, int, Limits], tuple[NDArray[Any], list[FrameInfo]]]

__all__ = [
    "display_window",
    "read_frames",
    "read_stack",
    "read_volume",
    "read_volumes",
    "values_of",
    "volumes_of",
]

_LIMITS = Limits()
_TABLE_BITS = 16


def read_volume(
    paths: Sequence[Path],
    policy: Policy = "strict",
    *,
    max_gap_mm: float | None = None,
    limits: Limits = _LIMITS,
) -> Volume:
    """Reads the files of one series as one volume.

    Args:
        paths: Files of one series, in any order.
        policy: What to do if the series is not one clean volume; see
            :mod:`dcm_processor_service.imaging.series.policies`.
        max_gap_mm: The widest gap between slices that ``resample`` fills; None for two median steps.
        limits: Limits of memory and time for reading.

    Raises:
        InvalidSeriesError: The policy refuses the series, or finds several volumes, or files are damaged; the error has
            the report.
        UnsupportedTransferSyntaxError: The pixels cannot be decoded here.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> volume = read_volume([Path(get_testdata_file("CT_small.dcm"))], policy="largest")
        >>> volume.shape, str(volume.array.dtype), volume.axis_codes
        ((128, 128, 1), 'int16', 'LPS')
    """
    volumes = read_volumes(paths, policy, max_gap_mm=max_gap_mm, limits=limits)
    if len(volumes) > 1:
        names = ", ".join(volume.name for volume in volumes)
        raise InvalidSeriesError(
            f"series {volumes[0].series_instance_uid} holds {len(volumes)} volumes ({names}): read them with "
            "read_volumes, or read only one with policy largest",
            volumes[0].report,
        )
    return volumes[0]


def read_volumes(
    paths: Sequence[Path],
    policy: Policy = "strict",
    *,
    max_gap_mm: float | None = None,
    limits: Limits = _LIMITS,
) -> tuple[Volume, ...]:
    """Reads all volumes that the policy chooses from the files of one series, in stable order.

    Args:
        paths: Files of one series, in any order.
        policy: What to do if the series is not one clean volume.
        max_gap_mm: The widest gap between slices that ``resample`` fills; None for two median steps.
        limits: Limits of memory and time for reading.

    Raises:
        InvalidSeriesError: The policy refuses the series, or files are damaged; the error has the report.
        UnsupportedTransferSyntaxError: The pixels cannot be decoded here.
    """
    return volumes_of(examine(paths, limits), policy, max_gap_mm=max_gap_mm, limits=limits)


def volumes_of(
    inspection: Inspection,
    policy: Policy = "strict",
    *,
    max_gap_mm: float | None = None,
    limits: Limits = _LIMITS,
) -> tuple[Volume, ...]:
    """Does the same as :func:`read_volumes`, for a series that was already inspected."""
    if max_gap_mm is not None and not max_gap_mm > 0:
        raise UnsupportedValueError(f"max_gap_mm is a positive number of mm, or None, not {max_gap_mm!r}")
    report = inspection.report
    damage = f"series {report.series_instance_uid} cannot be read: a file of it is damaged, or it needs too much memory"
    with foreign_errors_as(lambda: InvalidSeriesError(damage, _with_finding(report, "UNREADABLE", damage))):
        if report.kind is SeriesKind.MOSAIC:
            mosaics = mosaic_stack(inspection, policy)
            volume = untiled(read_stack(mosaics, report, limits), mosaics.first.instance.label)
            return (_with_acquisition(volume, mosaics),)
        stacks = chosen_stacks(inspection, policy)
        if policy == "resample":
            for stack in stacks:
                refuse_wide_gaps(stack, report, max_gap_mm)
        volumes = []
        for stack in stacks:
            volume = _with_acquisition(read_stack(stack, report, limits), stack)
            volumes.append(on_even_grid(volume, stack) if policy == "resample" else volume)
    return tuple(volumes)


def _with_acquisition(volume: Volume, stack: Stack) -> Volume:
    if volume.header is None:
        return volume
    found = mr_acquisition(volume.header, stack, volume.shape, volume.affine_lps)
    return volume if found is None else replace(volume, acquisition=found)


def read_stack(stack: Stack, report: SeriesReport, limits: Limits, assemble: _Assemble | None = None) -> Volume:
    """Reads one stack of an inspected series.

    Args:
        stack: Stack to read.
        report: Report on the series.
        limits: Limits of memory and time for reading.
        assemble: Function that reads frames, given in the order (t, k), and returns an array (i, j, k[, t]) and a list
            of the frames that have the same value in every pixel; None reads rescaled values.

    Raises:
        InvalidSeriesError: The pixels are damaged, or exceed the limits.
        UnsupportedTransferSyntaxError: The pixels cannot be decoded here.
    """
    frames = [frame for line in stack.grid for frame in line]
    _refuse_beyond_limits(frames, report, limits)
    try:
        array, constant = (assemble or _assemble)(frames, len(stack.grid), len(stack.grid[0]), limits)
    except InvalidSeriesError as error:
        error.report = error.report or _with_finding(report, "UNREADABLE", str(error))
        raise
    first = stack.first
    header = read_header(first.instance.path, limits)
    sources = tuple(
        tuple(SliceSource(frame.instance.sop_instance_uid, frame.number) for frame in line) for line in stack.grid
    )
    times = volume_times(stack)
    with contained():
        return Volume(
            array,
            stack.affine_lps(),
            sources=sources,
            series_instance_uid=text(header, "SeriesInstanceUID"),
            study_instance_uid=text(header, "StudyInstanceUID"),
            frame_of_reference_uid=frame_of_reference_uid(frames),
            modality=text(header, "Modality"),
            display_window=display_window(first),
            is_monochrome1=text(header, "PhotometricInterpretation").upper() == "MONOCHROME1",
            rescale=_rescale(frames),
            volume_step_s=times.step_s,
            frame_times_s=times.starts_s,
            frame_durations_s=times.durations_s,
            name=stack.name,
            order=order_certificate(stack),
            header=header,
            report=_with_constant_frames(report, constant, len(frames)),
        )


def values_of(grid: Sequence[Sequence[FrameInfo]], limits: Limits) -> NDArray[Any]:
    """Reads the rescaled values of some frames of a stack.

    Args:
        grid: The frame of volume t and slice k is ``grid[t][k]``; all volumes have the same number of slices.
        limits: Limits of the processes that decode compressed pixels.

    Returns:
        An array (i, j, k) for one volume, (i, j, k, t) for several.
    """
    frames = [frame for line in grid for frame in line]
    return _assemble(frames, len(grid), len(grid[0]), limits)[0]


def read_frames(frames: Sequence[FrameInfo], report: SeriesReport, limits: Limits = _LIMITS) -> NDArray[Any]:
    """Reads the rescaled values of a few frames with the same pixel format, as an array (i, j, frames).

    Raises:
        InvalidSeriesError: Files are damaged, or declare more data than the limits allow.
        UnsupportedTransferSyntaxError: The pixels cannot be decoded here.
    """
    _refuse_beyond_limits(frames, report, limits)
    return _assemble(frames, 1, len(frames), limits)[0]


def _refuse_beyond_limits(frames: Sequence[FrameInfo], report: SeriesReport, limits: Limits) -> None:
    """Compares the size that the headers declare with the limits and the files, before any memory is allocated.

    Raises:
        InvalidSeriesError: The headers declare more data than the limits allow, or than the files can hold.
    """
    pixels = frames[0].pixel_format
    voxel_bytes = max(np.dtype(np.float32).itemsize, pixels.stored_type.itemsize)
    need = len(frames) * pixels.rows * pixels.columns * voxel_bytes
    uid = report.series_instance_uid
    if need > limits.volume_bytes:
        message = (
            f"series {uid} declares a volume of {need >> 20} MiB, but only {limits.volume_bytes >> 20} MiB are "
            "allowed: raise volume_bytes of the limits if the volume is really so large"
        )
        raise InvalidSeriesError(message, _with_finding(report, "BEYOND_LIMITS", message))
    packed = {id(frame.instance): frame.instance.file_size_bytes for frame in frames if frame.instance.is_compressed}
    unpacked = sum(frame.pixel_format.frame_bytes for frame in frames if frame.instance.is_compressed)
    if not limits.allow_expansion(sum(packed.values()), unpacked):
        message = (
            f"series {uid} declares {unpacked >> 20} MiB of pixels, which {sum(packed.values()) >> 10} KiB of files "
            "cannot hold: they are damaged, or meant to exhaust memory; raise expansion of the limits if they really "
            "expand so much"
        )
        raise InvalidSeriesError(message, _with_finding(report, "BEYOND_LIMITS", message))


def _with_finding(report: SeriesReport, code: str, message: str) -> SeriesReport:
    return with_findings(report, SeriesFinding(code=code, message=message))


def _with_constant_frames(report: SeriesReport, constant: Sequence[FrameInfo], count: int) -> SeriesReport:
    """Adds CONSTANT_FRAME if some, but not all, frames have one value in every pixel.

    Such frames may result from a failed decoder or transfer.
    """
    if not 0 < len(constant) < count:
        return report
    message = "has the same value in every pixel, unlike other frames: look at it, its pixels may be lost"
    finding = about("CONSTANT_FRAME", [frame.instance for frame in constant], message)
    return with_findings(report, finding.model_copy(update={"blocking": False}))


def _rescale(frames: Sequence[FrameInfo]) -> Rescale:
    first = frames[0]
    varies = len({frame.scaling for frame in frames}) > 1
    return Rescale(first.slope, first.intercept, unit_of(first), varies=varies, by_table=first.lut is not None)


def _assemble(
    frames: Sequence[FrameInfo], volumes: int, slices: int, limits: Limits
) -> tuple[NDArray[Any], list[FrameInfo]]:
    """Returns the rescaled values of frames in the order (t, k), as an array (i, j, k) or (i, j, k, t).

    Also returns the frames whose pixels all have one value.
    """
    pixels = frames[0].pixel_format
    shape = (len(frames), pixels.rows, pixels.columns)
    reading = _Reading(frames, limits)
    scalings = {frame.scaling for frame in frames}
    if pixels.is_float or not all(is_whole(*one[:2]) for one in scalings):
        array = _assemble_float(reading, shape)
    elif len(scalings) == 1 and not frames[0].lut:
        array = _assemble_stored(reading, shape)
    else:
        array = _assemble_wide(reading, shape)
    turned: NDArray[Any] = array.reshape(volumes, slices, *shape[1:]).transpose(3, 2, 1, 0)
    return turned[..., 0] if volumes == 1 else turned, [frames[index] for index in sorted(reading.constant)]


@dataclass
class _Reading:
    """Reads frames one after the other, and records which of them have the same value in every pixel."""

    frames: Sequence[FrameInfo]
    limits: Limits
    constant: list[int] = field(default_factory=list)

    def into(self, target: Callable[[int], NDArray[Any]]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yields the index and the stored values of each frame; see :func:`read_pixels` for ``target``."""
        targets: dict[int, NDArray[Any]] = {}

        def remembered(index: int) -> NDArray[Any]:
            targets[index] = target(index)
            return targets[index]

        for index in read_pixels(self.frames, remembered, self.limits):
            stored = targets.pop(index)
            if _is_constant(stored):
                self.constant.append(index)
            yield index, stored


def _is_constant(stored: NDArray[Any]) -> bool:
    first = stored[0, 0]
    return bool(
        first == stored[-1, -1] == stored[stored.shape[0] // 2, stored.shape[1] // 2] and (stored == first).all()
    )


def _assemble_stored(reading: _Reading, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Reads frames that share one integer rescale, and rescales them in place."""
    first = reading.frames[0]
    array = np.empty(shape, first.pixel_format.stored_type)
    ends: list[int] = []
    for _, stored in reading.into(array.__getitem__):
        if (first.slope, first.intercept) != (1.0, 0.0):  # done here, while the slice is in the processor's cache
            ends += (int(stored.min()), int(stored.max()))
    return in_place_rescaled(array, first.slope, first.intercept, (min(ends), max(ends))) if ends else array


def _assemble_wide(reading: _Reading, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Reads frames with different integer rescales, or with tables.

    The values are computed exactly in a wide type, and then converted to the narrowest type that holds them.
    """
    pixels = reading.frames[0].pixel_format
    greatest = max(_greatest_value(frame) for frame in reading.frames)
    if greatest > np.iinfo(np.int64).max:
        return _assemble_float(reading, shape)
    array = np.empty(shape, np.int32 if greatest <= np.iinfo(np.int32).max else np.int64)
    scratch = np.empty(shape[1:], pixels.stored_type)
    for index, stored in reading.into(lambda _: scratch):
        frame = reading.frames[index]
        values = frame.lut.apply(stored) if frame.lut else stored
        array[index] = values.astype(np.int64) * int(frame.slope) + int(frame.intercept)
    return array.astype(narrowest(float(array.min()), float(array.max()), pixels.stored_type), copy=False)


def _greatest_value(frame: FrameInfo) -> int:
    """Returns how far from zero a frame's values can lie at most; computed in Python's integers, without overflow."""
    bits = frame.pixel_format.bits_allocated if frame.lut is None else _TABLE_BITS
    return (1 << bits) * abs(int(frame.slope)) + abs(int(frame.intercept))


def _assemble_float(reading: _Reading, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Reads frames with fractional values; computes each slice in double precision, and stores it as float32.

    Raises:
        InvalidSeriesError: A value is too large for float32.
    """
    array = np.empty(shape, np.float32)
    scratch = np.empty(shape[1:], reading.frames[0].pixel_format.stored_type)
    for index, stored in reading.into(lambda _: scratch):
        frame = reading.frames[index]
        values = frame.lut.apply(stored) if frame.lut else stored
        try:
            with np.errstate(over="raise"):
                array[index] = values.astype(np.float64) * frame.slope + frame.intercept
        except FloatingPointError as error:
            raise InvalidSeriesError(
                f"{frame.instance.label} has values that are too large for float32: scale them down at the source"
            ) from error
    return array


def display_window(frame: FrameInfo) -> DisplayWindow | None:
    """Returns the first window that the header proposes, in rescaled values; None if it proposes none."""
    for place in frame.places:
        voi = item(place, "FrameVOILUTSequence")
        for dataset in (place,) if voi is None else (voi, place):
            center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
            if center is not None and width is not None and width > 0:
                return DisplayWindow(center, width)
    return None
