"""Policies for a series that is not one clean volume: refuse it, split it, take the largest part, or resample.

============  ==========================================================================================================
``strict``    refuse, with the report; the default
``split``     convert every part that is one uniform volume or a clean 4D stack; each gets a name
``largest``   convert the part with the most voxels
``resample``  fill gaps and uneven steps and set a tilted stack upright, by linear interpolation
============  ==========================================================================================================

No policy makes a volume of damaged files, of colour images, of several patients or studies, or of images without a
place in the patient, and no policy puts slices of two volumes into one. ``split`` and ``largest`` leave out images
without a place, such as a screenshot among CT slices, and the report names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedTransferSyntaxError, UnsupportedValueError
from dcm_processor_service.imaging.series.stack import uniform_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.series.inspection import Inspection
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.models import SeriesFinding, SeriesReport
    from dcm_processor_service.models.images.nifti import Policy

__all__ = [
    "check_policy",
    "chosen_stacks",
    "largest_stack",
    "open_findings",
    "refusal",
    "split_stacks",
    "with_findings",
]

POLICIES = ("strict", "split", "largest", "resample")

_PARTS = frozenset(
    {
        "GANTRY_TILT",
        "LOCALIZER",
        "MISSING_SLICES",
        "MIXED_FORMAT",
        "MIXED_FRAME_OF_REFERENCE",
        "MIXED_MODALITY",
        "MIXED_ORIENTATION",
        "MIXED_PHOTOMETRIC",
        "MIXED_SIZE",
        "MIXED_SPACING",
        "MIXED_UNITS",
        "MOVED_VOLUMES",
        "MULTI_VOLUME",
        "PICTURE_AMONG_SLICES",
        "SINGLE_SLICE",
    }
)
# codes of the findings in spite of which a policy converts a series
_RESOLVED: dict[str, frozenset[str]] = {
    "strict": frozenset(),
    "split": _PARTS,
    "largest": _PARTS,
    "resample": frozenset({"GANTRY_TILT", "MISSING_SLICES", "MIXED_SPACING"}),
}


def chosen_stacks(inspection: Inspection, policy: Policy) -> list[Stack]:
    """Returns the stacks that a policy converts, in stable order.

    Raises:
        InvalidSeriesError: The policy refuses the series; the error has the report.
        UnsupportedTransferSyntaxError: The only reason for the refusal is a missing decoder.
    """
    report, stacks = inspection.report, list(inspection.stacks)
    unresolved = open_findings(inspection, policy)
    if unresolved or not stacks:
        raise refusal(report, unresolved)
    if policy in {"split", "largest"}:
        stacks = split_stacks(inspection)
    if policy == "largest":
        return [largest_stack(stacks)]
    return stacks


def largest_stack(stacks: Sequence[Stack]) -> Stack:
    """Returns the stack with the most voxels."""
    return max(stacks, key=_voxels)


def split_stacks(inspection: Inspection) -> list[Stack]:
    """Returns every uniform part of a series, whatever its findings are."""
    return [run for stack in inspection.stacks for run in uniform_runs(stack)]


def check_policy(policy: str) -> None:
    """Raises an error if the string names no policy.

    Raises:
        UnsupportedValueError: ``policy`` is not one of the four.
    """
    if policy not in POLICIES:
        raise UnsupportedValueError(f"a policy is one of {', '.join(POLICIES)}, not {policy!r}")


def open_findings(inspection: Inspection, policy: Policy) -> list[SeriesFinding]:
    """Lists the findings for which a policy refuses a series."""
    check_policy(policy)
    blocking = [finding for finding in inspection.report.findings if finding.blocking]
    stacks = inspection.stacks
    if policy == "resample" and (len(stacks) > 1 or any(stack.incomplete for stack in stacks)):
        return blocking  # interpolation can fill gaps in one stack, but not complete volumes or join stacks
    return [finding for finding in blocking if finding.code not in _RESOLVED[policy]]


def _voxels(stack: Stack) -> int:
    pixels = stack.first.pixel_format
    return pixels.rows * pixels.columns * len(stack.grid) * len(stack.grid[0])


def refusal(
    report: SeriesReport, findings: Sequence[SeriesFinding]
) -> InvalidSeriesError | UnsupportedTransferSyntaxError:
    """Makes the error that says why a series is refused, with the first three findings."""
    reasons = "; ".join(str(finding) for finding in findings[:3]) or "it holds no image that lies in a patient"
    more = f"; and {len(findings) - 3} more" if len(findings) > 3 else ""  # noqa: PLR2004 three are shown
    if findings and all(finding.code == "COMPRESSED" for finding in findings):
        return UnsupportedTransferSyntaxError(f"series {report.series_instance_uid}: {reasons}")
    return InvalidSeriesError(f"series {report.series_instance_uid} is refused: {reasons}{more}", report)


def with_findings(report: SeriesReport, *findings: SeriesFinding) -> SeriesReport:
    """Returns a report with further findings behind its own."""
    return report.model_copy(update={"findings": (*report.findings, *findings)})
