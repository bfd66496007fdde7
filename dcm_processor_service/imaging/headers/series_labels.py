"""Attributes that a scan or a reconstruction has once, so that their values tell whether slices are of several."""

from __future__ import annotations

__all__ = ["LABELS", "SETTINGS"]

LABELS = (
    "AttenuationCorrectionMethod",
    "BodyPartExamined",
    "ContentDescription",
    "ContrastBolusAgent",
    "CorrectedImage",
    "DeviceSerialNumber",
    "FilterType",
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
    "AcquisitionDate",
    "AcquisitionMatrix",
    "AcquisitionUID",
    "ActualFrameDuration",
    "CardiacCyclePosition",
    "DecayCorrection",
    "DerivationDescription",
    "EchoTrainLength",
    "Exposure",
    "ImageComments",
    "IrradiationEventUID",
    "LossyImageCompression",
    "MagneticFieldStrength",
    "NominalCardiacTriggerDelayTime",
    "NominalPercentageOfCardiacPhase",
    "NominalPercentageOfRespiratoryPhase",
    "NominalRespiratoryTriggerDelayTime",
    "NumberOfAverages",
    "PatientOrientation",
    "PixelBandwidth",
    "RandomsCorrectionMethod",
    "ReconstructionAlgorithm",
    "ReconstructionDiameter",
    "RespiratoryCyclePosition",
    "SAR",
    "ScanOptions",
    "ScatterCorrectionMethod",
    "SequenceName",
    "SeriesNumber",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SpiralPitchFactor",
    "TemporalResolution",
    "WindowCenter",
    "XRayTubeCurrent",
)
"""What may vary from slice to slice, as rounding or notes scatter it: counts where values take turns along the stack.

Left out is what each pass of one scan measures anew, such as the heart rate: the passes of an MR take turns.
"""
