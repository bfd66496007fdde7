"""Every error of this package, in one tree.

::

    DcmProcessorError
    ├ ConfigurationError (ValueError)
    ├ CallbackError
    │ ├ CallbackNotFoundError (ImportError)
    │ ├ CallbackSignatureError (TypeError)
    │ ├ CallbackFailedError
    │ └ JobTimeoutError (TimeoutError)
    ├ InvalidNameError (ValueError)
    ├ UnsupportedValueError (TypeError)
    ├ LocalFileError (OSError)
    │ └ LocalFileNotFoundError (FileNotFoundError)
    ├ StoreError
    │ ├ StoreUnavailableError (ConnectionError)      retryable
    │ ├ StepBusyError                                retryable
    │ ├ SessionsLockedError                          retryable
    │ ├ RetryRefusedError
    │ ├ StoredValueError (ValueError)
    │ └ NotFoundError (LookupError)
    │   ├ DataNotFoundError (KeyError)
    │   ├ StoredFileNotFoundError (FileNotFoundError)
    │   ├ SessionNotFoundError
    │   ├ JobNotFoundError
    │   │ └ AmbiguousJobError
    │   ├ UpstreamFailedError
    │   ├ PeerNotFoundError
    │   └ SeriesNotFoundError
    │     └ AmbiguousSeriesError
    └ DicomError
      ├ InvalidSeriesError (ValueError)
      │ └ UnreadableFileError
      ├ DerivedObjectError (ValueError)
      ├ NiftiConversionError
      ├ UnsupportedTransferSyntaxError
      ├ FindError
      │ └ FindIncompleteError                        retryable
      ├ FetchError
      │ └ FetchIncompleteError                       retryable
      ├ PatientMismatchError (ValueError)
      └ SendError
        ├ PeerUnreachableError (ConnectionError)     retryable
        └ SendRejectedError
          └ SendIncompleteError                      retryable

``DcmProcessorError`` catches all of them; those with a builtin in parentheses are also caught as that builtin. A
message says what happened, where, and what to do. No message carries a patient attribute, a secret or a connection
string.

``exit_code`` is the exit code of a process that ends with the error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

    from dcm_processor_service.models.images.series_report import SeriesReport
    from dcm_processor_service.models.network.fetching import FetchReport
    from dcm_processor_service.models.network.sending import SendReport

__all__ = [
    "EXIT_CONFIGURATION",
    "EXIT_DONE",
    "EXIT_FAILED",
    "EXIT_RETRYABLE",
    "AmbiguousJobError",
    "AmbiguousSeriesError",
    "CallbackError",
    "CallbackFailedError",
    "CallbackNotFoundError",
    "CallbackSignatureError",
    "ConfigurationError",
    "DataNotFoundError",
    "DcmProcessorError",
    "DerivedObjectError",
    "DicomError",
    "FetchError",
    "FetchIncompleteError",
    "FindError",
    "FindIncompleteError",
    "InvalidNameError",
    "InvalidSeriesError",
    "JobNotFoundError",
    "JobTimeoutError",
    "LocalFileError",
    "LocalFileNotFoundError",
    "NiftiConversionError",
    "NotFoundError",
    "PatientMismatchError",
    "PeerNotFoundError",
    "PeerUnreachableError",
    "RetryRefusedError",
    "SendError",
    "SendIncompleteError",
    "SendRejectedError",
    "SeriesNotFoundError",
    "SessionNotFoundError",
    "SessionsLockedError",
    "StepBusyError",
    "StoreError",
    "StoreUnavailableError",
    "StoredFileNotFoundError",
    "StoredValueError",
    "UnreadableFileError",
    "UnsupportedTransferSyntaxError",
    "UnsupportedValueError",
    "UpstreamFailedError",
]


EXIT_DONE = 0
EXIT_FAILED = 1
"""The callback failed, or something was refused."""
EXIT_CONFIGURATION = 2
"""An option, an argument or the environment is wrong and has to be corrected first."""
EXIT_RETRYABLE = 3
"""Trying again later may help."""


class DcmProcessorError(Exception):
    """The root of every error that this package raises on purpose.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> try:
        ...     fake_context().session.data.get("volume_ml")
        ... except DcmProcessorError as error:
        ...     type(error).__name__, error.retryable
        ('DataNotFoundError', False)
    """

    exit_code: ClassVar[int] = EXIT_FAILED
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        # KeyError would show the repr of the message, OSError its errno: the sentence is what a reader needs
        return self.message


class ConfigurationError(DcmProcessorError, ValueError):
    """The environment or an option is missing, malformed or contradicts itself; lists every fault at once."""

    exit_code = EXIT_CONFIGURATION


class CallbackError(DcmProcessorError):
    """Something is wrong with the user's callback."""

    exit_code = EXIT_CONFIGURATION


class CallbackNotFoundError(CallbackError, ImportError):
    """The module or function that should be run cannot be imported."""


class CallbackSignatureError(CallbackError, TypeError):
    """The callback has a parameter that cannot be injected, or mixes blocking and asynchronous objects."""


class CallbackFailedError(CallbackError):
    """The callback raised; the original exception is ``__cause__``."""

    exit_code = EXIT_FAILED


class JobTimeoutError(CallbackError, TimeoutError):
    """The job reached its time limit; its callback returned early, or its process was ended after a grace period."""

    exit_code = EXIT_FAILED


class InvalidNameError(DcmProcessorError, ValueError):
    """A name of data or of a file is not allowed."""


class UnsupportedValueError(DcmProcessorError, TypeError):
    """A value cannot be stored as session data; the message names the path inside the value and the remedy."""


class LocalFileError(DcmProcessorError, OSError):
    """A file of this machine, such as one to store or to download to, cannot be read or written."""


class LocalFileNotFoundError(LocalFileError, FileNotFoundError):
    """There is no file at the path."""


class StoreError(DcmProcessorError):
    """The store failed, or does not have what was asked for.

    ``maybe_applied`` is True where the answer to a write was lost: the write may be stored, or not, or be stored later.
    """

    def __init__(self, message: str, *, maybe_applied: bool = False) -> None:
        super().__init__(message)
        self.maybe_applied = maybe_applied


class StoreUnavailableError(StoreError, ConnectionError):
    """The store cannot be reached or did not answer in time; trying again later may help.

    With ``maybe_applied`` the write may have been stored all the same; repeating it does no harm.
    """

    exit_code = EXIT_RETRYABLE
    retryable = True


class StepBusyError(StoreError):
    """Another run of this job, which is alive, is doing the step; try again when it has ended, to get its result."""

    exit_code = EXIT_RETRYABLE
    retryable = True


class SessionsLockedError(StoreError):
    """Another process sweeps the sessions or retries a job; try again when it has ended or its lock has expired."""

    exit_code = EXIT_RETRYABLE
    retryable = True


class RetryRefusedError(StoreError):
    """A job cannot be run again: it is done, waiting or in progress, or would die of the same cause."""


class StoredValueError(StoreError, ValueError):
    """The stored value or file is not as expected: another type, another checksum, an unreadable document."""


class NotFoundError(StoreError, LookupError):
    """Something that was asked for by name or id does not exist."""


class DataNotFoundError(NotFoundError, KeyError):
    """No session data of that name."""


class StoredFileNotFoundError(NotFoundError, FileNotFoundError):
    """No session file of that name."""

    def __new__(cls, *arguments: Any, **_named: Any) -> Self:
        """Calls FileNotFoundError's method; without this, pickle would call LookupError's, which refuses this class."""
        return FileNotFoundError.__new__(cls, *arguments)


class SessionNotFoundError(NotFoundError):
    """The session of this process does not exist in the store."""

    exit_code = EXIT_CONFIGURATION


class JobNotFoundError(NotFoundError):
    """No job of that id or name in this session."""

    exit_code = EXIT_CONFIGURATION


class AmbiguousJobError(JobNotFoundError):
    """A job name may mean any of several jobs; ``job_ids`` are their ids."""

    def __init__(self, message: str, job_ids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.job_ids = job_ids


class UpstreamFailedError(NotFoundError):
    """The job whose output was asked for failed; ``job_id`` is that job."""

    def __init__(self, message: str, job_id: str = "") -> None:
        super().__init__(message)
        self.job_id = job_id


class PeerNotFoundError(NotFoundError):
    """No DICOM peer of that name or id."""


class SeriesNotFoundError(NotFoundError):
    """No patient, study or series of that id or UID."""


class AmbiguousSeriesError(SeriesNotFoundError):
    """The job's subject has several series and none was named."""


class DicomError(DcmProcessorError):
    """DICOM content or a DICOM peer is at fault."""


class InvalidSeriesError(DicomError, ValueError):
    """The series is not of the kind that the operation needs; ``report`` is the report of its inspection, or None."""

    def __init__(self, message: str, report: SeriesReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class UnreadableFileError(InvalidSeriesError):
    """A file is not a DICOM instance, is damaged, or cannot be opened.

    ``reason`` says which, as the end of the sentence "the file is …", without the file's name. ``faulty`` is True if
    the file is or may be a DICOM file, so that an instance is missing.
    """

    def __init__(self, message: str, reason: str = "", *, faulty: bool = True) -> None:
        super().__init__(message)
        self.reason = reason or message
        self.faulty = faulty


class DerivedObjectError(DicomError, ValueError):
    """A DICOM object cannot be made, because of the shape, geometry or values of its input, or a missing identity."""


class NiftiConversionError(DicomError):
    """A converter ran and made no usable result."""


class UnsupportedTransferSyntaxError(DicomError):
    """The pixel data is compressed in a way that this installation cannot decode; the message names the remedy."""


class FindError(DicomError):
    """The peer did not list what it holds, or found more than was allowed."""


class FindIncompleteError(FindError):
    """The peer did not list what it holds, and asking again may help: it was busy, or stopped midway."""

    exit_code = EXIT_RETRYABLE
    retryable = True


class FetchError(DicomError):
    """Not everything that the peer listed was fetched; ``report`` has one record for each instance."""

    def __init__(self, message: str, report: FetchReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class FetchIncompleteError(FetchError):
    """Not everything was fetched, and asking for the rest again may help: the peer was busy, or stopped midway."""

    exit_code = EXIT_RETRYABLE
    retryable = True


class PatientMismatchError(DicomError, ValueError):
    """Objects that were to be used together belong to different patients, or may do so."""


class SendError(DicomError):
    """Instances did not reach the peer."""


class PeerUnreachableError(SendError, ConnectionError):
    """No association with the peer: nothing listens there, or it was rejected, or TLS failed, or the time was up.

    ``report`` has one record for each instance, if the sending got that far.
    """

    exit_code = EXIT_RETRYABLE
    retryable = True

    def __init__(self, message: str, report: SendReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class SendRejectedError(SendError):
    """The peer did not store everything; ``report`` has one record for each instance."""

    def __init__(self, message: str, report: SendReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class SendIncompleteError(SendRejectedError):
    """The peer did not store everything, and sending the rest again may help: it was busy, or stopped midway."""

    exit_code = EXIT_RETRYABLE
    retryable = True
