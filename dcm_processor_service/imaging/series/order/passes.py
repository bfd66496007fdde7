"""Lists the attributes in which the passes of one MR scan, or the slices of any volume, may differ.

A scan may acquire the slices of one volume in several passes, each of which acquires every second or third slice.
Values that are measured in each pass, such as times, then alternate along the stack, just as if several volumes
interleaved.
"""

from __future__ import annotations

__all__ = ["COMPARED", "IN_PASSES", "OF_PASSES", "OF_SLICES"]

IN_PASSES = frozenset({"MR"})
"""Modalities that acquire one volume in several passes."""

COMPARED = ("AcquisitionTime", "TriggerTime", "ContentTime", "RepetitionTime", "InversionTime")
"""Attributes by which slices are compared if no other attribute separates them, the most telling first. If their values
repeat along a stack, and the modality is not in :data:`IN_PASSES`, there are several volumes."""

OF_PASSES = frozenset(
    {
        *COMPARED,
        "AcquisitionDateTime",
        "AcquisitionDuration",
        "ActualCardiacTriggerDelayTime",
        "ActualCardiacTriggerTimePriorToRPeak",
        "ActualRespiratoryTriggerDelayTime",
        "ContentDate",
        "FrameAcquisitionDateTime",
        "FrameAcquisitionDuration",
        "FrameReferenceDateTime",
        "HeartRate",
        "HighRRValue",
        "ImagingFrequency",
        "InstanceCreationTime",
        "IntervalsAcquired",
        "IntervalsRejected",
        "InversionTimes",
        "LowRRValue",
        "NominalInterval",
        "RRIntervalTimeNominal",
        "TransmitterFrequency",
    }
)
"""Attributes that may differ between the passes of one scan: in MR, their alternation along a stack does not show that
there are several volumes."""

OF_SLICES = frozenset(
    {
        "DeadTimeFactor",
        "ImageIndex",
        "InStackPositionNumber",
        "RotationDirection",
        "ScatterFractionFactor",
        "SliceLocation",
        "SliceSensitivityFactor",
        "TubeAngle",
    }
)
"""Attributes that may alternate along the stack of one volume in any modality. Some number the slices. Some belong to a
plane of a PET detector, and repeat with each position of the bed. Some belong to old CT gantries, which turned back
after each slice."""
