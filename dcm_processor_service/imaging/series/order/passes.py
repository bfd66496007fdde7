"""The tables of attributes in which the passes of one MR scan, or the slices of any volume, may differ.

A scan may take the slices of one volume in several passes, each of which takes every second or third slice. What is
measured in each pass, such as its times, then alternates along the stack, as it does where volumes interleave.
"""

from __future__ import annotations

__all__ = ["COMPARED", "IN_PASSES", "OF_PASSES", "OF_SLICES"]

IN_PASSES = frozenset({"MR"})
"""Modalities that take one volume in several passes."""

COMPARED = ("AcquisitionTime", "TriggerTime", "ContentTime", "RepetitionTime", "InversionTime")
"""Those by which slices are compared that no other attribute separates, the most telling first; in other modalities
than :data:`IN_PASSES`, values that go through a stack several times mean several volumes."""

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
"""All of them: in MR, none of these tells volumes apart by taking turns along a stack."""

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
"""Attributes of a slice's place, of a plane of the detector of a PET, which repeat with each place of the bed, or of
old gantries, which turned back after each slice: in no modality do these tell volumes apart by taking turns."""
