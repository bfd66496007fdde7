"""Inspects a series: finds out from the headers alone what it is, before anything is converted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.uid import UID

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.frames.pixel_format import predicted_type
from dcm_processor_service.imaging.frames.vendor import b_values, with_vendor_rescale
from dcm_processor_service.imaging.geometry import orientation_angles_deg, orientation_label
from dcm_processor_service.imaging.headers.character_sets import names_encoding
from dcm_processor_service.imaging.headers.fast_scan import SeriesMemory, scan_instance
from dcm_processor_service.imaging.headers.instance_file import contained, foreign_errors_as
from dcm_processor_service.imaging.headers.repeats import is_same_instance
from dcm_processor_service.imaging.headers.values import integer, number, text, texts
from dcm_processor_service.imaging.series.geometry_findings import (
    group_findings,
    stack_findings,
    syntax_findings,
    transfer_syntaxes,
    uids,
)
from dcm_processor_service.imaging.series.grouping import group_frames, stacks_of
from dcm_processor_service.imaging.series.identity import identity_findings, patient_of
from dcm_processor_service.imaging.series.meaning import (
    meaning_findings,
    picture_finding,
    pictures_among,
    stack_meaning_findings,
)
from dcm_processor_service.imaging.series.order.order_certificate import order_certificate
from dcm_processor_service.imaging.series.pixel_findings import pixel_findings
from dcm_processor_service.models import SeriesFinding, SeriesKind, SeriesPart, SeriesReport
from dcm_processor_service.models.counts import counted
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.series_kinds import kind_of_class

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["Inspection", "examine", "inspect_series", "report_on"]

_PROJECTION_MODALITIES = frozenset({"CR", "DX", "MG", "IO", "PX", "RG", "XA", "RF", "ES", "XC", "GM", "SM", "OP"})
_CHOSEN_BY = ("SeriesDescription", "BodyPartExamined", "ConvolutionKernel")
_OF_IMAGES = frozenset({"COLOUR", "UNSUPPORTED_PIXELS"})
_LIMITS = Limits()
_PLANES = ("sagittal", "coronal", "axial")


_PRECISE = SeriesFinding(
    code="PHILIPS_SCALING",
    message="values are Philips' precise values, which are comparable between scans, as in dcm2niix; RescaleSlope "
    "would lead to values for display",
    blocking=False,
)


@dataclass(frozen=True)
class Inspection:
    """The report on a series, and the stacks and instances that it describes, from which volumes are read."""

    report: SeriesReport
    stacks: tuple[Stack, ...]
    """The stacks that ``report.parts`` describes, in the same order."""

    instances: tuple[InstanceFile, ...]


def inspect_series(paths: Sequence[Path], limits: Limits = _LIMITS) -> SeriesReport:
    """Says what the files of one series are; reads only their headers.

    A damaged file leads to a finding, not to an error.

    Args:
        paths: Files of one series, in any order.
        limits: How far a deflated data set may expand.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> report = inspect_series([Path(get_testdata_file("CT_small.dcm"))])
        >>> report.kind.value, sorted(report.codes)
        ('single slice', ['SINGLE_SLICE'])
    """
    return examine(paths, limits).report


def examine(paths: Sequence[Path], limits: Limits = _LIMITS) -> Inspection:
    """Inspects the files of one series; returns the report together with the stacks that were found.

    Args:
        paths: Files of one series, in any order.
        limits: How far a deflated data set may expand.

    Raises:
        InvalidSeriesError: A header is damaged in a way that no finding describes.
    """
    with (
        foreign_errors_as(lambda: InvalidSeriesError("a header of the series is damaged: get its files again")),
        contained(),
    ):
        instances, findings = _read(paths, limits)
        return _examined(instances, findings)


def report_on(instances: Sequence[InstanceFile]) -> SeriesReport:
    """Makes the report on instances whose headers were already read.

    Args:
        instances: Instances of one series with distinct SOPInstanceUIDs, in any order.

    Raises:
        InvalidSeriesError: A header is damaged in a way that no finding describes.
    """
    with (
        foreign_errors_as(lambda: InvalidSeriesError("a header of the series is damaged: get its files again")),
        contained(),
    ):
        return _examined(sorted(instances, key=_by_number), []).report


def _examined(instances: list[InstanceFile], findings: list[SeriesFinding]) -> Inspection:
    frames = [frame for instance in instances for frame in frames_of(instance)]
    frames, is_precise = with_vendor_rescale(frames)
    placed = [frame for frame in frames if frame.has_geometry]
    pictures = pictures_among(frames, placed)
    findings += _content_findings(instances, frames, placed, pictures)
    groups = group_frames(placed)
    stacks = stacks_of(groups)
    if is_precise:
        findings.append(_PRECISE)
    findings += group_findings(groups)
    findings += identity_findings(instances, placed)
    findings += _kind_findings(stacks)
    findings += _moved_findings(stacks)
    for stack in stacks:
        findings += _named([*stack_findings(stack), *stack_meaning_findings(stack)], stack.name)
    if any(finding.code == "MOSAIC" for finding in findings):
        findings = [finding for finding in findings if finding.code != "SINGLE_SLICE"]
    only_localizers = bool(groups) and all(group.is_localizer for group in groups)
    report = _report(instances, frames, stacks, findings, only_localizers=only_localizers)
    return Inspection(report, tuple(stacks) if report.parts else (), tuple(instances))


def _read(paths: Sequence[Path], limits: Limits) -> tuple[list[InstanceFile], list[SeriesFinding]]:
    """Reads the headers of files; returns each instance once, and findings about the files.

    The order of ``paths`` does not matter.
    """
    instances: list[InstanceFile] = []
    findings: list[SeriesFinding] = []
    memory = SeriesMemory()
    for path in sorted(paths):
        try:
            instances.append(scan_instance(path, memory, limits=limits))
        except InvalidSeriesError as error:
            findings.append(SeriesFinding(code="UNREADABLE", message=str(error)))
    under_one_uid: defaultdict[str, list[InstanceFile]] = defaultdict(list)
    for instance in instances:
        under_one_uid[instance.sop_instance_uid or str(instance.path)].append(instance)
    for first, *others in under_one_uid.values():
        findings += _repeated(first, others)
    return sorted((first for first, *_ in under_one_uid.values()), key=_by_number), findings


def _by_number(instance: InstanceFile) -> tuple[float, str]:
    """Returns the key by which instances are sorted: InstanceNumber, then SOPInstanceUID to make the order unique."""
    return number(instance.header, "InstanceNumber") or 0.0, instance.sop_instance_uid


_MOST_COMPARED = 3
"""With how many different contents of one UID a file is compared; a limit, because all files may have one UID."""


def _repeated(first: InstanceFile, others: Sequence[InstanceFile]) -> list[SeriesFinding]:
    """Returns findings about other files with the UID of an instance.

    There is DUPLICATE_INSTANCES if some have the same content as another, and CONFLICTING_INSTANCES if some differ.
    """
    contents = [first]
    for one in others:
        if not any(_is_same(known, one) for known in contents[:_MOST_COMPARED]):
            contents.append(one)
    findings = []
    if len(contents) <= len(others):
        finding = SeriesFinding(
            code="DUPLICATE_INSTANCES",
            message=f"{first.label} is there more than once: the first file counts",
            blocking=False,
            sop_instance_uids=(first.sop_instance_uid,),
        )
        findings.append(finding)
    if len(contents) > 1:
        exactly = "twice" if len(contents) == 2 else f"{len(contents)} times"  # noqa: PLR2004 the number that has a word
        times = exactly if len(contents) <= _MOST_COMPARED else f"more than {_MOST_COMPARED} times"
        finding = SeriesFinding(
            code="CONFLICTING_INSTANCES",
            message=f"{first.label} is there {times} with different content: keep one of the files "
            "(if a database has stored several, it still holds them all: use a new database)",
            sop_instance_uids=(first.sop_instance_uid,),
        )
        findings.append(finding)
    return findings


def _is_same(first: InstanceFile, second: InstanceFile) -> bool:
    return patient_of(first.header) == patient_of(second.header) and is_same_instance(first.path, second.path)


def _content_findings(
    instances: Sequence[InstanceFile],
    frames: Sequence[FrameInfo],
    placed: Sequence[FrameInfo],
    pictures: Sequence[FrameInfo],
) -> list[SeriesFinding]:
    findings = []
    series = dict.fromkeys(text(instance.header, "SeriesInstanceUID") for instance in instances)
    if len(series) > 1:
        message = f"the files belong to {len(series)} series: convert each series by itself"
        findings.append(SeriesFinding(code="MIXED_SERIES", message=message, count=len(series)))
    with_frames = {id(frame.instance) for frame in frames}
    others = [instance for instance in instances if id(instance) not in with_frames]
    if others:
        name = _class_name(others[0])
        remedy = "they are left out" if frames else "nothing can be converted"
        message = f"no image in {len(others)} of {counted(len(instances), 'instance')} ({name}): {remedy}"
        findings.append(
            SeriesFinding(
                code="NON_IMAGE",
                message=message,
                blocking=not frames,
                sop_instance_uids=uids(others),
                count=len(others),
            )
        )
    findings += picture_finding(pictures)
    left_out = {id(frame.instance) for frame in pictures}
    slices = [frame for frame in frames if id(frame.instance) not in left_out]
    with_slices = {id(frame.instance) for frame in slices}
    findings += syntax_findings(transfer_syntaxes([instance for instance in instances if id(instance) in with_slices]))
    meanings = meaning_findings(slices)
    findings += [*meanings, *_of_pixels(slices, meanings), *_text_findings(instances)]
    placed_ids = {id(frame) for frame in placed}
    lost = [frame.instance for frame in slices if id(frame) not in placed_ids]
    if lost:
        message = (
            f"the place in the patient is unknown for {len(lost)} of {counted(len(frames), 'frame')}, which lack an "
            "orientation, position or pixel spacing, or are curved reformations (VolumeBasedCalculationTechnique): no "
            "volume can be made of them, use them as pictures"
        )
        findings.append(
            SeriesFinding(code="MISSING_GEOMETRY", message=message, sop_instance_uids=uids(lost), count=len(lost))
        )
    return findings


def _of_pixels(slices: Sequence[FrameInfo], meanings: Sequence[SeriesFinding]) -> list[SeriesFinding]:
    """Returns the findings about pixels; without the advice on colours and bits that a segmentation does not need."""
    left_out = _OF_IMAGES if any(one.code == "SEGMENTATION" for one in meanings) else frozenset()
    return [finding for finding in pixel_findings(slices) if finding.code not in left_out]


def _text_findings(instances: Sequence[InstanceFile]) -> list[SeriesFinding]:
    """Returns CHARACTER_SET if text by which rules choose series is not ASCII, and the header names no encoding."""
    for header in (instance.header for instance in instances[:1]):
        terms = "\\".join(texts(header, "SpecificCharacterSet"))
        if names_encoding(terms):
            continue
        for keyword in _CHOSEN_BY:
            if not text(header, keyword).isascii():
                message = (
                    f"{keyword} has characters beyond ASCII, but SpecificCharacterSet is absent or unknown: they are "
                    "read as Latin-1, which may be wrong"
                )
                return [SeriesFinding(code="CHARACTER_SET", message=message, blocking=False, attribute=keyword)]
    return []


def _class_name(instance: InstanceFile) -> str:
    return UID(text(instance.header, "SOPClassUID")).name or "unknown class"


def _named(findings: list[SeriesFinding], name: str) -> list[SeriesFinding]:
    if not name:
        return findings
    return [finding.model_copy(update={"message": f"{name}: {finding.message}"}) for finding in findings]


def _kind_findings(stacks: Sequence[Stack]) -> list[SeriesFinding]:
    marks = dict.fromkeys(name for stack in stacks for name in stack.kind_marks)
    several = [stack for stack in stacks if stack.kind_marks]
    if len(several) < 2:  # noqa: PLR2004 a single stack
        return []
    names = " and ".join(marks)
    message = (
        f"{len(several)} volumes of different kinds, distinguished by {names}: convert with policy split or largest"
    )
    return [SeriesFinding(code="MULTI_VOLUME", message=message, attribute=next(iter(marks)), count=len(several))]


def _moved_findings(stacks: Sequence[Stack]) -> list[SeriesFinding]:
    moved = [stack for stack in stacks if stack.moved_by]
    if not moved:
        return []
    name = moved[0].moved_by
    message = (
        f"{len(moved)} volumes that are shifted a little against each other, distinguished by {name}: no grid holds "
        "them all, convert with policy split to get each volume separately"
    )
    return [SeriesFinding(code="MOVED_VOLUMES", message=message, attribute=name, count=len(moved))]


def _part(stack: Stack) -> SeriesPart:
    first = stack.first
    pixels = first.pixel_format
    orientation = first.orientation or ()
    frames = [frame for line in stack.grid for frame in line]
    shape = stack.shape if len(stack.grid) == 1 else (*stack.shape, len(stack.grid))
    supported = pixels.is_supported
    predicted = predicted_type(pixels, {frame.scaling for frame in frames}) if supported else None
    row_distance, column_distance = first.pixel_spacing or (1.0, 1.0)
    step = float(sum(value**2 for value in stack.affine_lps()[:3, 2]) ** 0.5)
    angles = orientation_angles_deg(orientation)
    x, y, z = first.position or (0.0, 0.0, 0.0)
    return SeriesPart(
        name=stack.name,
        shape=shape,
        spacing_mm=(column_distance, row_distance, step),
        orientation=orientation_label(orientation),
        nearest_plane=_PLANES[angles.index(min(angles))],
        orientation_angles_deg=angles,
        tilt_deg=stack.geometry.tilt_deg,
        voxel_type="none" if predicted is None else str(predicted),
        memory_bytes=pixels.columns * pixels.rows * len(frames) * (0 if predicted is None else predicted.itemsize),
        time_attribute=stack.time_mark,
        first_position_mm=(x, y, z),
        order=order_certificate(stack),
    )


def _report(
    instances: Sequence[InstanceFile],
    frames: Sequence[FrameInfo],
    stacks: Sequence[Stack],
    findings: Sequence[SeriesFinding],
    *,
    only_localizers: bool,
) -> SeriesReport:
    header = frames[0].instance.header if frames else instances[0].header if instances else None
    bs = b_values(frames)
    if len(bs) > 1:
        message = f"{len(bs)} b-values up to {max(bs):g} s/mm2: the engines dcm2niix and native write .bval and .bvec"
        findings = [*findings, SeriesFinding(code="DIFFUSION", message=message, blocking=False, count=len(bs))]
    if not instances and not findings:
        findings = [SeriesFinding(code="NO_INSTANCES", message="the series has no files: nothing can be converted")]
    codes = {finding.code for finding in findings}
    kind = _kind(instances, frames, stacks, codes, only_localizers=only_localizers)
    return SeriesReport(
        series_instance_uid=text(header, "SeriesInstanceUID") if header is not None else "",
        modality=text(header, "Modality") if header is not None else "",
        description=text(header, "SeriesDescription") if header is not None else "",
        body_part=text(header, "BodyPartExamined") if header is not None else "",
        kernel=text(header, "ConvolutionKernel") if header is not None else "",
        series_number=integer(header, "SeriesNumber") if header is not None else None,
        kind=kind,
        is_diffusion=len(bs) > 1,
        instance_count=len(instances),
        frame_count=len(frames),
        # A segmentation has no parts: its frames are not slices of a volume, and rules about parts must not choose it.
        parts=() if kind is SeriesKind.SEGMENTATION else tuple(_part(stack) for stack in stacks),
        transfer_syntaxes=transfer_syntaxes(instances),
        findings=tuple(findings),
    )


def _kind(
    instances: Sequence[InstanceFile],
    frames: Sequence[FrameInfo],
    stacks: Sequence[Stack],
    codes: set[str],
    *,
    only_localizers: bool,
) -> SeriesKind:
    others = {kind_of_class(text(each.header, "SOPClassUID")) for each in instances} - {SeriesKind.UNKNOWN}
    if len(others) == 1 and not (kind := others.pop()).is_image:
        return kind
    if not frames:
        return SeriesKind.NON_IMAGE if instances else SeriesKind.UNKNOWN
    for code, kind in (("COLOUR", SeriesKind.COLOUR), ("MOSAIC", SeriesKind.MOSAIC)):
        if code in codes:
            return kind
    if only_localizers:
        return SeriesKind.LOCALIZER
    if not stacks:
        if text(frames[0].instance.header, "Modality") in _PROJECTION_MODALITIES:
            return SeriesKind.PROJECTION
        return SeriesKind.MULTI_FRAME if len(frames) > len(instances) else SeriesKind.UNKNOWN
    if len(stacks) > 1:
        return SeriesKind.MULTI_VOLUME
    if len(stacks[0].grid) > 1:
        return SeriesKind.FOUR_D
    return SeriesKind.VOLUME if len(stacks[0].grid[0]) > 1 else SeriesKind.SINGLE_SLICE
