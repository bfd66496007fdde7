"""Attributes with one value in a scan or a reconstruction, so that several values mean several scans."""

from __future__ import annotations

__all__ = ["LABELS", "MAKING", "SETTINGS", "SHOWING"]

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

MAKING = (
    "AttenuationCorrectionMethod",
    "ComplexImageComponent",
    "CorrectedImage",
    "FilterType",
    "PatientPosition",
    "ReconstructionAlgorithm",
    "ReconstructionMethod",
    "ScatterCorrectionMethod",
)
"""Attributes that say how an image was made of what was measured: images of one place that differ in one of these are
of different kinds, as PET with and without correction for attenuation, and no volumes in time."""

SHOWING = (
    "BodyPartExamined",
    "ContentDescription",
    "ContrastBolusAgent",
    "DerivationDescription",
    "DeviceSerialNumber",
    "ImageComments",
    "ImageLaterality",
    "Laterality",
    "LossyImageCompression",
    "MagneticFieldStrength",
    "ProtocolName",
    "ScanOptions",
    "ScanningSequence",
    "SequenceVariant",
    "SeriesDescription",
    "SliceThickness",
    "SpacingBetweenSlices",
)
"""Attributes that say what an image shows: if volumes of one place differ in one of these, and no time says that they
are volumes in time, they are of different kinds."""
