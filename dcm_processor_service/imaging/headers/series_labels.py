"""Attributes whose values tell scans, reconstructions or kinds of image apart."""

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
"""Attributes in which parts of one volume may differ. But if slices with different values interleave along the stack,
they belong to several volumes."""

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
"""Attributes that may vary from slice to slice. The slices belong to several volumes only if values alternate along the
stack.

Attributes that each pass of a scan measures again, such as the heart rate, are not listed: an MR scanner may take
the slices of one volume in several passes, whose slices alternate too.
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
"""Attributes that say how an image was computed from the measurement. Images at one place that differ in one of these
are different kinds of image, such as PET with and without attenuation correction, not volumes at different times."""

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
"""Attributes that say what an image shows. If volumes at one place differ in one of these, and no time separates them,
they are different kinds of image."""
