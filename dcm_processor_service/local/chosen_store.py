"""Reads which MongoDB database stores a workspace in place of a folder, so that several machines can use it.

The platform's own database cannot become such a store: storing the first scan there is refused (see
:mod:`dcm_processor_service.backends.mongo.workspace`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from dcm_processor_service.env_vars import Fault, posix_name, read_variables, variable_name
from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dcm_processor_service.runtime.settings import SettingsValues

__all__ = ["ChosenStore", "chosen_store"]

_SCHEMES = {"mongodb", "mongodb+srv"}
_OF_ENVIRONMENT = "mongodb"
_SECRETS = ("password", "passphrase", "secret", "token")


@dataclass(frozen=True)
class ChosenStore:
    """A MongoDB database that stores a workspace."""

    url: str = field(repr=False)
    database: str
    of_environment: bool
    """Whether every process reads the URL from its own environment, so that the URL is not sent to others."""

    def settings(self) -> SettingsValues:
        """Returns the settings of a container that opens this store."""
        return {"db_provider": "mongodb", "db_url": self.url, "db_name": self.database}

    def as_request(self) -> dict[str, Any]:
        """Returns this store as plain JSON, for another process; empty if that process reads its own environment."""
        return {} if self.of_environment else {"url": self.url, "database": self.database}

    @classmethod
    def of_request(cls, request: Mapping[str, Any] | None) -> ChosenStore | None:
        """Returns the store that a request names; if the request is empty, the store that the environment names.

        Raises:
            ConfigurationError: The request is empty, and the environment names no store.
        """
        if request is None:
            return None
        return cls(request["url"], request["database"], of_environment=False) if request else _of_environment()


def chosen_store(text: str) -> ChosenStore | None:
    """Reads the option ``--store``; None when it is left out, which means the workspace's folder.

    Args:
        text: ``mongodb`` for the database that the environment names, or ``mongodb://HOST:PORT/DATABASE``.

    Raises:
        ConfigurationError: It names no database, or shows a password.

    Example:
        >>> chosen_store("mongodb://10.0.0.5:27017/laptop")
        ChosenStore(database='laptop', of_environment=False)
    """
    if not text:
        return None
    if text == _OF_ENVIRONMENT:
        return _of_environment()
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if _may_show_secret(text):
        raise ConfigurationError(
            f"--store shows a password to all who list processes; set {_variable('db_url')} and {_variable('db_name')} "
            "here and on the workers, and give --store mongodb"
        )
    database = parts.path.removeprefix("/")
    if parts.scheme not in _SCHEMES or not parts.netloc or not database or "/" in database:
        raise ConfigurationError(
            "--store names no database of MongoDB; give mongodb://HOST:PORT/DATABASE, or mongodb for that of the "
            f"environment ({_variable('db_url')}, {_variable('db_name')})"
        )
    return ChosenStore(text, database, of_environment=False)


def _may_show_secret(url: str) -> bool:
    """Returns whether a password may stand in a URL or its options, even if the password makes the URL malformed."""
    rest = url.partition("://")[2] or url
    options = unquote("".join(re.split("[?#]", rest, maxsplit=1)[1:])).lower()
    return ":" in rest.rpartition("@")[0] or any(one in options for one in _SECRETS)


def _of_environment() -> ChosenStore:
    found = read_variables(("db_url", "db_name"))
    for name, value in found.items():
        if isinstance(value, Fault):
            raise ConfigurationError(f"--store mongodb: {variable_name(name)} {value.sentence}")
    missing = [one for one in ("db_url", "db_name") if not found.get(one)]
    if missing:
        raise ConfigurationError(
            f"--store mongodb: {' and '.join(map(_variable, missing))} is not set, "
            "but must name the workspace's database"
        )
    return ChosenStore(str(found["db_url"]), str(found["db_name"]), of_environment=True)


def _variable(field_name: str) -> str:
    return posix_name(variable_name(field_name))
