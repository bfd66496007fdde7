"""Attributes with one value in a scan or a reconstruction, so that several values mean several scans."""

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
"""Attributes in which parts of one volume may differ; but if slices with different values interleave, the slices belong
to several volumes."""

SETTINGS = (
    "AccessionNumber",
    "AcquisitionDate",
    "AcquisitionMatrix",
    "AcquisitionUID",
    "ActualFrameDuration",
    "CTDIvol",
    "CardiacCyclePosition",
    "ComplexImageComponent",
    "ContrastBolusStartTime",
    "DataCollectionDiameter",
    "DecayCorrection",
    "DerivationDescription",
    "DiffusionGradientOrientation",
    "EchoTrainLength",
    "Exposure",
    "ExposureTime",
    "FocalSpots",
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
    "PerformedProcedureStepID",
    "PhaseNumber",
    "PixelBandwidth",
    "RandomsCorrectionMethod",
    "ReconstructionAlgorithm",
    "ReconstructionDiameter",
    "RespiratoryCyclePosition",
    "RevolutionTime",
    "SAR",
    "ScanOptions",
    "ScatterCorrectionMethod",
    "SequenceName",
    "SeriesNumber",
    "SingleCollimationWidth",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SpiralPitchFactor",
    "StudyDate",
    "StudyTime",
    "TableSpeed",
    "TemporalResolution",
    "WindowCenter",
    "XRayTubeCurrent",
)
"""Attributes that may vary from slice to slice; they mean several volumes only if values alternate along the stack.

Attributes that are measured in each pass of one scan, such as the heart rate, are not listed, because passes of an MR
alternate too.
"""
