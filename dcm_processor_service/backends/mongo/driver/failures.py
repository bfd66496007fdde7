"""Translates PyMongo's errors, which motor raises, too, into this package's errors.

The server's own messages are not repeated, because they quote stored values (a duplicate key, the operand of an
increment), and messages about the URL quote parts of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from ssl import SSLError
from typing import TYPE_CHECKING

from bson.errors import BSONError, InvalidDocument
from pymongo import errors as driver
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from dcm_processor_service.backends.mongo.driver.tls_failures import certificate_fault, handshake_hint
from dcm_processor_service.errors import (
    ConfigurationError,
    DcmProcessorError,
    StoredValueError,
    StoreError,
    StoreUnavailableError,
    UnsupportedValueError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DuplicateIdError",
    "IndexExistsError",
    "NoNumberError",
    "are_all_duplicates",
    "from_driver",
    "is_temporary",
    "may_be_applied",
    "translated",
    "translated_url",
]

_URL_VARIABLE = "DCM-PROCESSOR-SERVICE-DB-URL"
_NO_ANSWER = (
    f"MongoDB did not answer in time; check that it runs, that {_URL_VARIABLE} names it, and the network between, or "
    "try again later"
)
_TOO_LARGE = (
    "the value is larger than one MongoDB document holds (16 MiB), or nested deeper than 100 levels; store it as a "
    "file: session.files.save(name, value)"
)

# codes of the server (src/mongo/base/error_codes.yml of MongoDB)
_BAD_VALUE = 2
_TYPE_MISMATCH = 14
_CONVERSION_FAILURE = 241
_BEYOND_64_BITS = 28766  # for $ln of a negative number, which an increment computes to refuse a sum beyond 64 bits
_DUPLICATE_KEY = 11000
_UNSATISFIABLE_WRITE_CONCERN = frozenset({79, 100})  # UnknownReplWriteConcern, UnsatisfiableWriteConcern
_INDEX_CODES = frozenset({85, 86})  # IndexOptionsConflict, IndexKeySpecsConflict
_LOGIN_CODES = frozenset({11, 13, 18, 8000})  # UserNotFound, Unauthorized, AuthenticationFailed, Atlas' own
_TOO_LARGE_CODES = frozenset({15, 10334, 16493, 17419, 17420})
"""Codes for a value that no document can hold.

Overflow (nested too deep), BSONObjectTooLarge, too large a text in a pipeline, too large a document after an update.
"""
_NOT_APPLIED_CODES = frozenset(
    {
        *(10107, 13435, 13436),  # NotWritablePrimary, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary
        *(24, 46, 112, 365),  # LockTimeout, LockBusy, WriteConflict, TemporarilyUnavailable
        *(63, 13388),  # StaleShardVersion, StaleConfig
        *(133, 134),  # FailedToSatisfyReadPreference, ReadConcernMajorityNotAvailableYet
        *(462, 14031, 16500),  # IngressRequestRateLimitExceeded, OutOfDiskSpace, throttled
    }
)
"""Codes of temporary errors after which a write was certainly not applied."""
_TEMPORARY_CODES = _NOT_APPLIED_CODES | frozenset(
    {
        *(6, 7, 89, 9001),  # HostUnreachable, HostNotFound, NetworkTimeout, SocketException
        *(91, 189),  # ShutdownInProgress, PrimarySteppedDown
        *(11600, 11601, 11602),  # InterruptedAtShutdown, Interrupted, InterruptedDueToReplStateChange
        *(50, 202, 262),  # MaxTimeMSExpired, NetworkInterfaceExceededTimeLimit, ExceededTimeLimit
        *(43, 175, 237, 246),  # CursorNotFound, QueryPlanKilled, CursorKilled, SnapshotUnavailable
        64,  # WriteConcernFailed: applied, but not on all members yet
        *(276, 279),  # IndexBuildAborted, ClientDisconnect
    }
)
"""Codes of temporary errors, after which another attempt may succeed."""

_TEMPORARY_LABELS = ("RetryableWriteError", "TransientTransactionError", "SystemOverloadedError", "RetryableError")


class DuplicateIdError(StoreError):
    """Another writer has made a document with this id already."""


class NoNumberError(StoreError):
    """The stored value that was to be incremented is not a number."""


class IndexExistsError(StoreError):
    """An index over these keys exists already, with another name or other options."""


@contextmanager
def translated() -> Iterator[None]:
    """Turns errors of the driver into this package's errors.

    Raises:
        StoreUnavailableError: No server was reached, or it did not answer in time.
        ConfigurationError: The URL is malformed, or the server refuses the login in it.
        UnsupportedValueError: The value does not fit into a document.
        StoredValueError: A stored document holds BSON that Python cannot represent.
        StoreError: Anything else that the server refuses.
    """
    try:
        yield
    except driver.ConfigurationError as error:
        raise _bad_url(error) from None
    except (InvalidDocument, OverflowError, UnicodeEncodeError, DocumentTooLarge) as error:
        raise UnsupportedValueError(
            _TOO_LARGE if isinstance(error, DocumentTooLarge) else "the value holds something that BSON cannot hold"
        ) from error
    except BSONError as error:
        raise StoredValueError(
            "a stored document cannot be read: it holds a datetime or a text that Python cannot represent"
        ) from error
    except PyMongoError as error:
        raise from_driver(error) from error


@contextmanager
def translated_url() -> Iterator[None]:
    """Turns errors of the driver about the URL into this package's errors.

    Raises:
        ConfigurationError: The URL is malformed, or a file that it names is not a certificate.
        StoreUnavailableError: The name servers cannot resolve the URL's SRV record now.
    """
    try:
        yield
    except (driver.ConfigurationError, ValueError, TypeError, LookupError, OSError) as error:
        raise _bad_url(error) from None


def is_temporary(error: PyMongoError) -> bool:
    """Returns whether the same attempt may succeed a little later.

    A failed search for a server does not count, because it has used up the time limit.
    """
    if isinstance(error, ServerSelectionTimeoutError) or certificate_fault(error):
        return False
    if isinstance(error, (ConnectionFailure, WaitQueueTimeoutError, WTimeoutError, ExecutionTimeout)):
        return True
    return isinstance(error, OperationFailure) and (_code(error) in _TEMPORARY_CODES or _is_labelled_temporary(error))


def may_be_applied(error: PyMongoError) -> bool:
    """Returns whether a write that ended with this error may have been applied nevertheless."""
    if isinstance(error, (ServerSelectionTimeoutError, NotPrimaryError, WaitQueueTimeoutError)):
        return False
    if isinstance(error, ConnectionFailure):
        return True
    if isinstance(error, WriteConcernError):  # it was applied, perhaps not on all members
        return True
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        if details.get("nInserted") or details.get("writeConcernErrors") or _DUPLICATE_KEY in _write_codes(error):
            return True
    if not isinstance(error, OperationFailure) or _code(error) in _NOT_APPLIED_CODES:
        return False
    return _code(error) in _TEMPORARY_CODES or _is_labelled_temporary(error)


def are_all_duplicates(error: PyMongoError) -> bool:
    """Returns whether an insert failed only because its documents exist already."""
    if not isinstance(error, BulkWriteError):
        return False
    details = error.details or {}
    codes = {fault.get("code") for fault in details.get("writeErrors", ())}
    return codes == {_DUPLICATE_KEY} and not details.get("writeConcernErrors")


def _bad_url(error: Exception) -> ConfigurationError | StoreUnavailableError:
    """Returns an error that names only the kind of fault, since the driver's message quotes parts of the URL."""
    cause = error.__cause__ or error.__context__
    if cause is not None and type(cause).__module__.partition(".")[0] == "dns":
        return StoreUnavailableError(
            f"the name servers do not return the address of MongoDB ({type(cause).__name__} for the SRV record that "
            f"{_URL_VARIABLE} names); check the host in it and the name servers, or try again later"
        )
    if isinstance(error, OSError) or isinstance(cause, SSLError):
        return ConfigurationError(
            f"a file for TLS that {_URL_VARIABLE} names cannot be read, or holds no certificate with its key "
            f"({type(error).__name__}); check tlsCAFile and tlsCertificateKeyFile in it"
        )
    return ConfigurationError(
        f"{_URL_VARIABLE} is not a usable MongoDB connection string ({type(error).__name__}); give one such as "
        "mongodb://user:password@host:27017, with user and password percent-encoded"
    )


def from_driver(error: PyMongoError, *, maybe_applied: bool = False) -> DcmProcessorError:
    """Returns this package's error for one of the driver's.

    Args:
        error: The driver's error.
        maybe_applied: Whether a write may have been applied nevertheless.
    """
    if fault := certificate_fault(error):
        return ConfigurationError(
            f"no TLS connection to MongoDB: {fault}; check the host and the tls options in {_URL_VARIABLE}, such as "
            "tlsCAFile"
        )
    if isinstance(error, driver.ConfigurationError):
        return _bad_url(error)
    if isinstance(error, DuplicateKeyError):
        return DuplicateIdError("another writer stored a document of that id at the same time; try again")
    fate = "; the write may have been applied all the same" if maybe_applied else ""
    if isinstance(error, (ServerSelectionTimeoutError, NetworkTimeout, ExecutionTimeout, WTimeoutError)):
        return StoreUnavailableError(_NO_ANSWER + handshake_hint(error) + fate, maybe_applied=maybe_applied)
    if isinstance(error, (ConnectionFailure, WaitQueueTimeoutError)):
        return StoreUnavailableError(
            f"the connection to MongoDB broke; check that it runs and that {_URL_VARIABLE} names it, or try again later"
            + handshake_hint(error)
            + fate,
            maybe_applied=maybe_applied,
        )
    if isinstance(error, OperationFailure):
        return _from_server(error, fate, maybe_applied=maybe_applied)
    return StoreError(f"MongoDB refused the operation ({type(error).__name__})", maybe_applied=maybe_applied)


def _is_labelled_temporary(error: OperationFailure) -> bool:
    """Returns whether the server labels a failure as temporary, as newer servers do for codes that are not listed."""
    return any(error.has_error_label(label) for label in _TEMPORARY_LABELS)


def _code(error: OperationFailure) -> int | None:
    """Returns the server's code; for several writes, the code of the first that failed.

    Duplicate keys are skipped, if other errors occurred: such a document was stored by an earlier attempt.
    """
    if not isinstance(error, BulkWriteError):
        return error.code
    of_concern = [fault.get("code") for fault in (error.details or {}).get("writeConcernErrors", ())]
    codes = [*_write_codes(error), *of_concern]
    return next((code for code in codes if code != _DUPLICATE_KEY), codes[0] if codes else error.code)


def _write_codes(error: BulkWriteError) -> list[int | None]:
    return [fault.get("code") for fault in (error.details or {}).get("writeErrors", ())]


def _from_server(error: OperationFailure, fate: str, *, maybe_applied: bool) -> DcmProcessorError:
    code = _code(error)
    if code in _LOGIN_CODES:
        return ConfigurationError(
            f"MongoDB refuses the login, or the user lacks a right (code {code}); check user, password and authSource "
            f"in {_URL_VARIABLE}, and the user's role on the database"
        )
    if code in _UNSATISFIABLE_WRITE_CONCERN:
        return ConfigurationError(
            f"MongoDB has fewer members than w in {_URL_VARIABLE} wants to acknowledge a write (code {code}); correct "
            "w there"
        )
    if code in _TOO_LARGE_CODES:
        return UnsupportedValueError(_TOO_LARGE)
    if code in _TEMPORARY_CODES or _is_labelled_temporary(error):
        return StoreUnavailableError(
            f"MongoDB cannot do it now (code {code}): no primary, no time or no disk space left; try again later{fate}",
            maybe_applied=maybe_applied,
        )
    if code in _INDEX_CODES:
        return IndexExistsError("an index over these keys exists already, with other options")
    if code in {_TYPE_MISMATCH, _CONVERSION_FAILURE}:
        return NoNumberError("the stored value is not a number")
    if code in {_BAD_VALUE, _BEYOND_64_BITS}:
        return UnsupportedValueError("MongoDB refuses the value; a sum of integers must stay within 64 bits")
    return StoreError(f"MongoDB refused the operation (code {code})", maybe_applied=maybe_applied)
