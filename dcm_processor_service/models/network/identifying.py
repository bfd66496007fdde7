"""Which header attributes identify a person: those that a workspace keeps, and those that are removed from logs.

PS3.15, table E.1-1 lists what a basic de-identification removes. This module has the names of persons from that table
(every attribute of VR PN), the identifiers of the patient, visit and order, and the dates.
"""

from __future__ import annotations

__all__ = ["DATES", "IDS", "NAMES"]

NAMES = frozenset(
    {
        "ConsultingPhysicianName",
        "ContentCreatorName",
        "CurrentObserverTrial",
        "DistributionName",
        "DocumentAuthorTrial",
        "EvaluatorName",
        "HumanPerformerName",
        "InterpretationAuthor",
        "InterpretationRecorder",
        "InterpretationTranscriber",
        "NameOfPhysiciansReadingStudy",
        "NamesOfIntendedRecipientsOfResults",
        "OperatorsName",
        "OrderEnteredBy",
        "OtherPatientNames",
        "PatientBirthName",
        "PatientMotherBirthName",
        "PatientName",
        "PerformingPhysicianName",
        "PersonName",
        "PhysicianApprovingInterpretation",
        "PhysiciansOfRecord",
        "ROIInterpreter",
        "ReferringPhysicianName",
        "RequestingPhysician",
        "ResponsiblePerson",
        "ReviewerName",
        "ScheduledPerformingPhysicianName",
        "SecondaryReviewerName",
        "SelectorPNValue",
        "VerbalSourceTrial",
        "VerifyingObserverName",
    }
)
IDS = frozenset(
    {
        "AccessionNumber",
        "AdmissionID",
        "ClinicalTrialSubjectID",
        "ClinicalTrialSubjectReadingID",
        "DistributionAddress",
        "FillerOrderNumberImagingServiceRequest",
        "FillerOrderNumberImagingServiceRequestRetired",
        "FillerOrderNumberProcedure",
        "InsurancePlanIdentification",
        "MedicalRecordLocator",
        "OrderCallbackPhoneNumber",
        "OtherPatientIDs",
        "PatientAddress",
        "PatientComments",
        "PatientID",
        "PatientTelecomInformation",
        "PatientTelephoneNumbers",
        "PerformedProcedureStepID",
        "PersonAddress",
        "PersonTelephoneNumbers",
        "PlacerOrderNumberImagingServiceRequest",
        "PlacerOrderNumberImagingServiceRequestRetired",
        "PlacerOrderNumberProcedure",
        "ReferringPhysicianAddress",
        "ReferringPhysicianTelephoneNumbers",
        "RequestedProcedureID",
        "ScheduledProcedureStepID",
        "ServiceEpisodeID",
        "SpecimenAccessionNumber",
        "StudyID",
    }
)
DATES = frozenset(
    {
        "AcquisitionDate",
        "AcquisitionDateTime",
        "AdmittingDate",
        "ContentDate",
        "InstanceCreationDate",
        "LastMenstrualDate",
        "PatientBirthDate",
        "PerformedProcedureStepStartDate",
        "SeriesDate",
        "StudyDate",
    }
)
"""The dates that a workspace keeps. The scrubbing of logs uses every attribute whose keyword ends in Date or DateTime.
"""
