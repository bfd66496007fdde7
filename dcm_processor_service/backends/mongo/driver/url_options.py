"""The options of a connection string, checked before the driver reads them.

The driver ignores an option that it cannot read, and only warns: with ``tls=True`` it would connect without TLS, with
``w=-1`` write without waiting for a majority, and with ``timeoutMS=1m`` wait without limit. ``j`` is the name that
manuals and shells use for ``journal``; the driver knows only the latter in a connection string.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.uri_parser import validate_options

from dcm_processor_service.errors import ConfigurationError

__all__ = ["check_options", "spelled_for_driver", "url_options"]

_NAMES = {
    **{name.lower(): name for name in ("w", "journal", "wtimeoutMS", "timeoutMS", "serverSelectionTimeoutMS")},
    **{name.lower(): name for name in ("socketTimeoutMS", "connectTimeoutMS", "waitQueueTimeoutMS")},
    **{name.lower(): name for name in ("tls", "ssl", "tlsInsecure", "tlsAllowInvalidCertificates")},
    **{name.lower(): name for name in ("tlsAllowInvalidHostnames", "tlsDisableOCSPEndpointCheck")},
}
"""The options that must not be ignored, by their name in lower case: durability, time limits and TLS."""

_JOURNAL = re.compile(r"(^|[&;])j=", re.IGNORECASE)


def spelled_for_driver(url: str) -> str:
    """Returns the connection string with the option ``j`` under the name that the driver knows.

    Example:
        >>> spelled_for_driver("mongodb://host/?w=1&j=true")
        'mongodb://host/?w=1&journal=true'
    """
    place, mark, options = url.partition("?")
    return place + mark + _JOURNAL.sub(r"\1journal=", options)


def url_options(url: str) -> dict[str, str]:
    """Returns the options of a connection string, their names in lower case.

    Example:
        >>> url_options("mongodb://host/?timeoutMS=5000")
        {'timeoutms': '5000'}
    """
    pairs = parse_qsl(url.partition("?")[2].replace(";", "&"))
    return {name.lower(): value for name, value in pairs}


def check_options(options: dict[str, str]) -> None:
    """Refuses an option of durability, time limits or TLS that the driver would ignore.

    Raises:
        ConfigurationError: The value of such an option cannot be read, or ``w`` is not a number above 0 and not a name.
    """
    for name in options.keys() & _NAMES.keys():
        if name == "waitqueuetimeoutms" and options[name] == "0":
            continue  # 0 means no limit, as if the option were left out
        try:
            validate_options({_NAMES[name]: options[name]}, warn=False)
        except (ValueError, TypeError, DriverConfigurationError) as error:
            raise ConfigurationError(
                f"{_NAMES[name]} in DCM-PROCESSOR-SERVICE-DB-URL has a value that cannot be read; time limits are "
                "milliseconds such as 30000, switches are true or false, and w is majority, a number or a name"
            ) from error
