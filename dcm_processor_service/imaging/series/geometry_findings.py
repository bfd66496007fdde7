"""Makes findings about the grouping, geometry, rescale and transfer syntaxes of a series, with code and remedy."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from pydicom.uid import UID

from dcm_processor_service.imaging.decoding.decoders import DECODERS, NEEDS_CODECS, is_decodable
from dcm_processor_service.imaging.geometry import LARGEST_NOISE_MM, slice_normal
from dcm_processor_service.imaging.series.scaling_findings import scaling_findings
from dcm_processor_service.imaging.series.stack import uneven_by_mm, uniform_runs
from dcm_processor_service.models import SeriesFinding, TransferSyntax
from dcm_processor_service.models.counts import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.imaging.series.grouping import FrameGroup
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["about", "distinct", "group_findings", "stack_findings", "syntax_findings", "transfer_syntaxes", "uids"]

_MOST_UIDS = 20
_NAMED_FRAMES = 5
_TILT_DEG = 0.2
_FEW_GAPS_PART = 0.2


def uids(instances: Iterable[InstanceFile]) -> tuple[str, ...]:
    """Returns the distinct SOPInstanceUIDs of instances in their order, but at most 20."""
    return tuple(dict.fromkeys(instance.sop_instance_uid for instance in instances))[:_MOST_UIDS]


def transfer_syntaxes(instances: Sequence[InstanceFile]) -> tuple[TransferSyntax, ...]:
    """Lists the transfer syntaxes of a series, most frequent first, and says whether each can be decoded here."""
    found = Counter(str(instance.transfer_syntax_uid) for instance in instances)
    return tuple(transfer_syntax(UID(uid)) for uid, _ in found.most_common())


def transfer_syntax(uid: UID) -> TransferSyntax:
    """Says whether pixels of a transfer syntax can be decoded here, and what is needed if they cannot."""
    if not uid.is_transfer_syntax:
        return TransferSyntax(
            uid=uid, name="private or unknown transfer syntax", is_decodable=False, needs="its vendor"
        )
    if not uid.is_compressed or uid.is_deflated:
        return TransferSyntax(uid=uid, name=uid.name)
    decodable = is_decodable(str(uid))
    needs = NEEDS_CODECS if uid in DECODERS else "a decoder that this package does not have"
    needs = "" if decodable else needs
    return TransferSyntax(uid=uid, name=uid.name, is_compressed=True, is_decodable=decodable, needs=needs)


def syntax_findings(syntaxes: Sequence[TransferSyntax]) -> list[SeriesFinding]:
    """Returns a COMPRESSED finding for each transfer syntax that is compressed or cannot be decoded here."""
    found = []
    for syntax in syntaxes:
        if syntax.is_decodable and not syntax.is_compressed:
            continue
        said = "is decoded here" if syntax.is_decodable else f"cannot be decoded here: it needs {syntax.needs}"
        found.append(
            SeriesFinding(code="COMPRESSED", message=f"{syntax.name} {said}", blocking=not syntax.is_decodable)
        )
    return found


def about(code: str, instances: Sequence[InstanceFile], message: str) -> SeriesFinding:
    """Makes a finding about some instances, whose message begins with their name or number."""
    who = (
        instances[0].label
        if len(instances) == 1
        else f"each of {len(instances)} instances, such as {instances[0].label},"
    )
    return SeriesFinding(code=code, message=f"{who} {message}", sop_instance_uids=uids(instances), count=len(instances))


def group_findings(groups: Sequence[FrameGroup]) -> list[SeriesFinding]:
    """Returns LOCALIZER, MIXED_SIZE, MIXED_FORMAT, MIXED_ORIENTATION and MIXED_SPACING findings."""
    found = []
    localizers = [group for group in groups if group.is_localizer]
    if localizers:
        instances = [frame.instance for group in localizers for frame in group.frames]
        message = "only plans other scans" if len(localizers) == len(groups) else "is a localizer among other images"
        found.append(about("LOCALIZER", distinct(instances), f"{message}: leave it out"))
    images = [group for group in groups if not group.is_localizer]
    formats = [group.number_format for group in images]
    spacings = {group.spacing_number for group in images}
    orientations = {group.orientation_number for group in images}
    if len({one[:2] for one in formats}) > 1:
        sizes = ", ".join(sorted({f"{columns} x {rows}" for rows, columns in (one[:2] for one in formats)}))
        found.append(_mixed("MIXED_SIZE", f"images have several sizes ({sizes})", images))
    if len({one[2:] for one in formats}) > 1:
        found.append(_mixed("MIXED_FORMAT", "images store their pixels in several number formats", images))
    if len(orientations) > 1:
        found.append(_mixed("MIXED_ORIENTATION", f"slices have {len(orientations)} orientations", images))
    if len(spacings) > 1:
        found.append(_mixed("MIXED_SPACING", f"pixels have {len(spacings)} sizes", images))
    return found


def distinct(instances: Sequence[InstanceFile]) -> list[InstanceFile]:
    """Returns each instance once, in the order of first occurrence."""
    return list({id(instance): instance for instance in instances}.values())


def _mixed(code: str, what: str, groups: Sequence[FrameGroup]) -> SeriesFinding:
    smallest = min(groups, key=lambda group: len(group.frames))
    return SeriesFinding(
        code=code,
        message=f"{what}, so it is not one volume: convert with policy split or largest",
        sop_instance_uids=uids(frame.instance for frame in smallest.frames),
        count=len(groups),
    )


def stack_findings(stack: Stack) -> list[SeriesFinding]:
    """Returns the findings of one stack: those for which it is not one uniform volume, and those that only inform."""
    doubts = [_doubt(stack)] if stack.doubt else [_passes(stack)] if stack.passes_by else []
    found = [*_axis_findings(stack), *_position_findings(stack), *_line_findings(stack), *scaling_findings(stack)]
    return [*doubts, *found]


def _doubt(stack: Stack) -> SeriesFinding:
    message = (
        f"its {len(stack.grid[0])} slices may belong to several volumes that interleave: {stack.doubt}, "
        "and no attribute separates them; convert the files of each volume separately"
    )
    return SeriesFinding(
        code="INTERLEAVED_VOLUMES", message=message, sop_instance_uids=uids(frame.instance for frame in stack.grid[0])
    )


def _passes(stack: Stack) -> SeriesFinding:
    message = (
        f"the values of {stack.passes_by} repeat along its {len(stack.grid[0])} slices: since the slices are evenly "
        "spaced and numbered along the stack, they are assumed to be one volume that was scanned in several passes; if "
        "they are several volumes, convert the files of each volume separately"
    )
    return SeriesFinding(code="ASSUMED_PASSES", message=message, blocking=False, attribute=stack.passes_by)


def _axis_findings(stack: Stack) -> list[SeriesFinding]:
    found = []
    if len(stack.grid[0]) == 1:
        found.append(
            SeriesFinding(
                code="SINGLE_SLICE",
                message="a single slice has no neighbour whose distance would tell its thickness: "
                "convert with policy largest to use the thickness in the header",
                sop_instance_uids=uids(frame.instance for frame in stack.grid[0]),
            )
        )
    if len(stack.grid) > 1:
        count = len(stack.grid)
        order = "" if stack.ordered_by == stack.time_mark else f", in the order of {stack.ordered_by}"
        message = f"{count} volumes at one place, distinguished by {stack.time_mark}{order}: they form the fourth axis"
        found.append(
            SeriesFinding(code="MULTI_VOLUME", message=message, blocking=False, attribute=stack.time_mark, count=count)
        )
    return found


def _along(stack: Stack) -> FloatArray:
    along: FloatArray = stack.origins @ slice_normal(stack.first.orientation or ())
    return along


def _position_findings(stack: Stack) -> list[SeriesFinding]:
    along = _along(stack)
    found = []
    if stack.duplicated:
        found.append(
            SeriesFinding(
                code="DUPLICATE_POSITIONS",
                message=f"{len(stack.duplicated)} of {len(along)} positions have several slices, and neither an "
                "attribute nor the order of InstanceNumbers states without contradiction to which volume each slice "
                "belongs: find out which slices are meant, and convert only these",
                positions_mm=tuple(round(float(along[k]), 4) for k in stack.duplicated),
                sop_instance_uids=uids(frame.instance for frame in stack.spare),
                count=len(stack.spare),
            )
        )
    if stack.incomplete:
        found.append(
            SeriesFinding(
                code="MISSING_SLICES",
                message=f"some of the volumes lack slices, at {counted(len(stack.incomplete), 'position')}, so their "
                f"other {counted(len(stack.spare), 'frame')} cannot be used ({_some(stack.spare)}): get the missing "
                "instances, or convert with policy largest to leave these frames out",
                positions_mm=tuple(round(position, 4) for position in stack.incomplete),
                sop_instance_uids=uids(frame.instance for frame in stack.spare),
                count=len(stack.incomplete),
            )
        )
    return [*found, *_gap_findings(stack)]


def _some(frames: Sequence[FrameInfo]) -> str:
    """Names the first five frames for a message."""
    names = [f"frame {frame.number} of {frame.instance.label}" for frame in frames[:_NAMED_FRAMES]]
    return ", ".join([*names, *(["…"] if len(frames) > _NAMED_FRAMES else [])])


def _gap_findings(stack: Stack) -> list[SeriesFinding]:
    """Returns a finding if the slices seem to be unevenly spaced.

    It is ROUNDED_POSITIONS if rounding in the header explains that, MISSING_SLICES if the gaps are whole multiples of
    the step, and MIXED_SPACING otherwise.
    """
    geometry, along = stack.geometry, _along(stack)
    gaps = len(along) - 1
    if stack.rounded_to_mm:
        return [_rounded(stack)]
    if not stack.is_uneven:
        return []
    positions = tuple(round(float(along[gap]), 4) for gap in geometry.outliers)
    whole = len(geometry.missing) == len(geometry.outliers) > 0
    isolated = all(
        later - earlier > 1 for earlier, later in zip(geometry.outliers, geometry.outliers[1:], strict=False)
    )
    if whole and (isolated or len(geometry.outliers) <= max(1, _FEW_GAPS_PART * gaps)):
        count = sum(lacking for _, lacking in geometry.missing)
        slices = ", ".join(str(gap) for gap, _ in geometry.missing[:5])
        message = (
            f"{count} slice(s) missing after slice {slices}, where the gap is a multiple of {geometry.step_mm:.4g} mm: "
            "get the missing instances, or convert with policy resample or split"
        )
        return [SeriesFinding(code="MISSING_SLICES", message=message, positions_mm=positions, count=count)]
    distances = np.diff(along)
    message = (
        f"the distance between slices varies from {distances.min():.4g} to {distances.max():.4g} mm: "
        f"convert with policy resample, or with split for {_parts(stack)}"
    )
    return [SeriesFinding(code="MIXED_SPACING", message=message, positions_mm=positions, count=len(geometry.outliers))]


def _parts(stack: Stack) -> str:
    """Says into how many parts the policy split divides a stack, and how uneven the steps in these parts are."""
    runs = uniform_runs(stack)
    off_mm = max(uneven_by_mm(_along(run)) for run in runs)
    count = "one part" if len(runs) == 1 else f"{len(runs)} parts"
    return f"{count}, in which slices lie up to {off_mm:.2g} mm off even steps"


def _rounded(stack: Stack) -> SeriesFinding:
    along = _along(stack)
    step = float(along[-1] - along[0]) / (len(along) - 1)
    message = (
        f"positions are rounded to {stack.rounded_to_mm:g} mm, which is {stack.rounded_to_mm / step:.0%} of the step: "
        f"slices are assumed to be evenly spaced, {step:.4g} mm apart"
    )
    return SeriesFinding(code="ROUNDED_POSITIONS", message=message, blocking=False)


def _line_findings(stack: Stack) -> list[SeriesFinding]:
    geometry = stack.geometry
    found = []
    beside_mm = geometry.step_mm * (len(stack.grid[0]) - 1) * np.tan(np.radians(geometry.tilt_deg))
    if geometry.tilt_deg > _TILT_DEG and beside_mm > max(LARGEST_NOISE_MM, stack.rounded_to_mm, stack.written_to_mm):
        found.append(
            SeriesFinding(
                code="GANTRY_TILT",
                message=f"slices are stacked in a direction {geometry.tilt_deg:.2f} degrees off their normal: convert "
                "with policy resample for an upright grid, or with split for a sheared affine",
            )
        )
    if not stack.is_straight:
        found.append(
            SeriesFinding(
                code="SHIFTED_SLICES",
                message=f"slices lie up to {stack.shift_mm:.3g} mm off a straight line: no affine describes "
                "their places, use the slices one by one",
            )
        )
    return found
