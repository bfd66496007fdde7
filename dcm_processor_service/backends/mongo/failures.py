"""PyMongo's errors in our words: the one place that knows them. motor raises the same classes.

The server's own texts are not repeated: they quote stored values (a duplicate key, the operand of an increment), and
texts about the URL quote pieces of it.
"""

from __future__ import annotations

from contextlib import contextmanager
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
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from dcm_processor_service.errors import (
    ConfigurationError,
    StoredValueError,
    StoreError,
    StoreUnavailableError,
    UnsupportedValueError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DuplicateIdError", "IndexExistsError", "NoNumberError", "translated", "translated_url"]

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
_INDEX_CODES = frozenset({85, 86})  # IndexOptionsConflict, IndexKeySpecsConflict
_LOGIN_CODES = frozenset({11, 13, 18, 8000})  # UserNotFound, Unauthorized, AuthenticationFailed, Atlas' own
_TOO_LARGE_CODES = frozenset({15, 10334, 17419, 17420})  # Overflow (depth), BSONObjectTooLarge, document after update
_TRANSIENT_CODES = frozenset({14031, 16500, 50, 262})  # OutOfDiskSpace, throttled, MaxTimeMSExpired, ExceededTimeLimit


class DuplicateIdError(StoreError):
    """Another writer was faster to make the document."""


class NoNumberError(StoreError):
    """An increment met a value that is no number."""


class IndexExistsError(StoreError):
    """An index over these keys is there, with a name or options of its own."""


@contextmanager
def translated() -> Iterator[None]:
    """Turns what the driver raises into this package's errors.

    Raises:
        StoreUnavailableError: No server was reached, or it did not answer in time.
        ConfigurationError: The URL is malformed, or the server refuses the login in it.
        UnsupportedValueError: The value does not fit into a document.
        StoredValueError: What is stored is no BSON that Python can hold.
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
            "a stored document cannot be read: it holds a moment or text outside Python's"
        ) from error
    except PyMongoError as error:
        raise _from_driver(error) from error


@contextmanager
def translated_url() -> Iterator[None]:
    """Turns what the driver raises while it reads the URL into this package's errors.

    Raises:
        ConfigurationError: The URL is malformed.
    """
    try:
        yield
    except (driver.ConfigurationError, ValueError) as error:
        raise _bad_url(error) from None


def _bad_url(error: Exception) -> ConfigurationError:
    """Tells the kind of error alone: the driver's text quotes the URL, and with it perhaps a password."""
    return ConfigurationError(
        f"{_URL_VARIABLE} is no usable MongoDB connection string ({type(error).__name__}); expected is such as "
        "mongodb://user:password@host:27017, with user and password percent-encoded"
    )


def _from_driver(error: PyMongoError) -> StoreError | ConfigurationError | UnsupportedValueError:
    if isinstance(error, DuplicateKeyError):
        return DuplicateIdError("another writer stored a document of that id at the same moment; try again")
    if isinstance(error, (ServerSelectionTimeoutError, NetworkTimeout, ExecutionTimeout, WTimeoutError)):
        return StoreUnavailableError(_NO_ANSWER)
    if isinstance(error, (ConnectionFailure, WaitQueueTimeoutError)):
        return StoreUnavailableError(
            f"the connection to MongoDB broke; check that it runs and that {_URL_VARIABLE} names it, or try again later"
        )
    if isinstance(error, OperationFailure):
        return _from_server(error)
    return StoreError(f"MongoDB refused the operation ({type(error).__name__})")


def _from_server(error: OperationFailure) -> StoreError | ConfigurationError | UnsupportedValueError:
    code = error.code
    if isinstance(error, BulkWriteError):
        code = next((fault.get("code") for fault in (error.details or {}).get("writeErrors", ())), code)
    if code in _LOGIN_CODES:
        return ConfigurationError(
            f"MongoDB refuses the login or lacks the right for it (code {code}); check user, password and authSource "
            f"in {_URL_VARIABLE}, and the user's role on the database"
        )
    if code in _TOO_LARGE_CODES:
        return UnsupportedValueError(_TOO_LARGE)
    if code in _TRANSIENT_CODES:
        return StoreUnavailableError(f"MongoDB cannot do it now (code {code}): out of time or of disk; try again later")
    if code in _INDEX_CODES:
        return IndexExistsError("an index over these keys is there, with other options")
    if code == _TYPE_MISMATCH:
        return NoNumberError("the stored value is no number")
    if code == _BAD_VALUE:
        return UnsupportedValueError("MongoDB refuses the value; a sum of integers must stay within 64 bits")
    return StoreError(f"MongoDB refused the operation (code {code})")
