"""Collects the evidence for the order of a stack's slices and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.imaging.frames.frame import marks
from dcm_processor_service.imaging.series.order.number_plan import plan_of_grid
from dcm_processor_service.models import OrderCertificate

if TYPE_CHECKING:
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["order_certificate"]

# attributes that may differ between the slices of one volume
_MAY_VARY = (
    "ImageType",
    "AcquisitionNumber",
    "AcquisitionTime",
    "ContentTime",
    "ConvolutionKernel",
    "EchoTime",
    "FlipAngle",
    "FrameReferenceTime",
    "InversionTime",
    "KVP",
    "RepetitionTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
)


def order_certificate(stack: Stack) -> OrderCertificate:
    """Lists the attributes that order the volumes and slices of a stack, and those that differ within a volume."""
    return OrderCertificate(
        volumes_by=stack.time_mark,
        ordered_by=stack.ordered_by,
        plan=plan_of_grid(stack.grid),
        varies=tuple(name for name in _MAY_VARY if any(len(set(marks(line, name))) > 1 for line in stack.grid)),
        passes_by=stack.passes_by,
    )
