"""Frozen values that cross a port: what repositories return and facades hand out.

One module a subject. A ``repr`` never shows a patient attribute: header values are kept out of it.
"""

from dcm_processor_service.models.files import StoredFile
from dcm_processor_service.models.imaging import Finding, SeriesReport
from dcm_processor_service.models.jobs import Job, JobEvent, JobOutput, JobState
from dcm_processor_service.models.peers import Peer
from dcm_processor_service.models.sending import InstanceRecord, SendReport
from dcm_processor_service.models.subjects import Instance, Patient, Series, Study, Subject, SubjectLevel

__all__ = [
    "Finding",
    "Instance",
    "InstanceRecord",
    "Job",
    "JobEvent",
    "JobOutput",
    "JobState",
    "Patient",
    "Peer",
    "SendReport",
    "Series",
    "SeriesReport",
    "StoredFile",
    "Study",
    "Subject",
    "SubjectLevel",
]
