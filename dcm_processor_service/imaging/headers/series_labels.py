"""Attributes that a scan or a reconstruction has once, so that their values tell whether slices are of several."""

from __future__ import annotations

__all__ = ["LABELS", "SETTINGS"]

LABELS = (
    "AcquisitionDate",
    "AttenuationCorrectionMethod",
    "BodyPartExamined",
    "ContentDescription",
    "ContrastBolusAgent",
    "CorrectedImage",
    "DerivationDescription",
    "DeviceSerialNumber",
    "FilterType",
    "ImageComments",
    "ImageLaterality",
    "Laterality",
    "Manufacturer",
    "PatientPosition",
    "ProtocolName",
    "ReconstructionMethod",
    "ScanningSequence",
    "SequenceVariant",
    "SeriesDate",
    "SeriesDescription",
    "SeriesTime",
    "SoftwareVersions",
    "StationName",
)
"""Texts: parts of a series may differ in them, but do not lie through each other."""

SETTINGS = (
    "AcquisitionMatrix",
    "ActualFrameDuration",
    "EchoTrainLength",
    "Exposure",
    "ImagingFrequency",
    "HeartRate",
    "LossyImageCompression",
    "MagneticFieldStrength",
    "NominalPercentageOfCardiacPhase",
    "NumberOfAverages",
    "PatientOrientation",
    "PixelBandwidth",
    "ReconstructionDiameter",
    "SAR",
    "ScanOptions",
    "SequenceName",
    "SeriesNumber",
    "SliceThickness",
    "SpacingBetweenSlices",
    "WindowCenter",
    "XRayTubeCurrent",
)
"""What may vary from slice to slice, as rounding scatters it: it counts where values take turns along the stack."""
