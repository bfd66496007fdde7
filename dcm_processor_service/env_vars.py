"""The environment: the variables that a worker sets, and this package's own. Nothing else reads ``os.environ``.

Every variable is read under two spellings, ``DCM-PROCESSOR-SERVICE-DB-URL`` (the worker's) and
``DCM_PROCESSOR_SERVICE_DB_URL`` (a POSIX shell drops names with hyphens). It is an error to set both to different
values. An empty value means that the variable is not set. A ``.env`` file in the working directory sets variables that
the environment lacks, and ``…_DB_URL_FILE`` names a file that holds the URL, such as a container's secret.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "Fault",
    "get_db_info",
    "get_job_event",
    "get_job_id",
    "get_job_name",
    "get_job_service_name",
    "get_peer_id",
    "get_session_id",
    "posix_name",
    "read_variables",
    "variable_name",
    "variables_set",
]

PREFIX = "DCM-PROCESSOR-SERVICE-"

_SUFFIXES = {"service_name": "JOB-SERVICE-NAME"}
"""By field, the end of a variable's name that differs from the field's name."""

_SECRET_FILES = ("db_url",)
"""Fields whose value may be in a file, which the variable ``…-FILE`` names."""


class Fault:
    """Takes the place of a field's value if its variable cannot be used, so that one validation reports every fault."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence


def variable_name(field: str) -> str:
    """Returns the worker's spelling of a field's environment variable.

    Example:
        >>> variable_name("db_url")
        'DCM-PROCESSOR-SERVICE-DB-URL'
    """
    return PREFIX + _SUFFIXES.get(field, field.upper().replace("_", "-"))


def posix_name(name: str) -> str:
    """Returns the spelling that a shell can set."""
    return name.replace("-", "_")


def read_variables(fields: Iterable[str]) -> dict[str, str | Fault]:
    """Returns the values of the variables that are set, by field, from the environment, else from the ``.env`` file.

    A :class:`Fault` is the value of a variable that cannot be used.

    Raises:
        ConfigurationError: There is a ``.env`` file that cannot be read.
    """
    layers = (os.environ, _dotenv_values(Path(".env")))
    found = {field: _in_first(layers, field) for field in fields}
    return {field: value for field, value in found.items() if value is not None}


@contextmanager
def variables_set(values: Mapping[str, str]) -> Iterator[None]:
    """Sets the variables of fields within the block, as a worker does, and unsets their other spellings.

    A local run, which runs one job at a time in a process, sets them for the job's code and the processes that it
    starts.
    """
    names = {spelling for field in values for name in _spellings(field) for spelling in (name, posix_name(name))}
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update({variable_name(field): value for field, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _spellings(field: str) -> list[str]:
    name = variable_name(field)
    return [name, f"{name}-FILE"] if field in _SECRET_FILES else [name]


def _in_first(layers: Iterable[Mapping[str, str | None]], field: str) -> str | Fault | None:
    name = variable_name(field)
    for layer in layers:
        value = _either_spelling(layer, name)
        if field in _SECRET_FILES:
            value = _direct_or_file(layer, name, value)
        if value is not None:
            return value
    return None


def _dotenv_values(path: Path) -> Mapping[str, str | None]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the .env file in the working directory cannot be read: {type(error).__name__}; make it readable UTF-8 "
            "text, or remove it"
        ) from None  # the cause holds the file's content


def _either_spelling(layer: Mapping[str, str | None], name: str) -> str | Fault | None:
    hyphens, underscores = (layer.get(spelling) or None for spelling in (name, posix_name(name)))
    if hyphens and underscores and hyphens != underscores:
        return Fault(f"and {posix_name(name)} are both set and differ; set one of them")
    return hyphens or underscores


def _direct_or_file(layer: Mapping[str, str | None], name: str, direct: str | Fault | None) -> str | Fault | None:
    in_file = _content_of(_either_spelling(layer, f"{name}-FILE"), f"{name}-FILE")
    if isinstance(direct, str) and in_file is not None and in_file != direct:
        return Fault(f"and {name}-FILE are both set and differ; set one of them")
    return in_file if direct is None else direct


def _content_of(path: str | Fault | None, name: str) -> str | Fault | None:
    if path is None or isinstance(path, Fault):
        return path
    try:
        return Path(path).read_text(encoding="utf-8").strip() or Fault(
            f"cannot be read: the file that {name} names is empty"
        )
    except (OSError, UnicodeDecodeError):
        return Fault(f"cannot be read: the file that {name} names is missing or not text")


def _get(field: str) -> str | None:
    name = variable_name(field)
    value = _either_spelling(os.environ, name)
    if isinstance(value, Fault):
        raise ConfigurationError(f"{name} {value.sentence}")
    return value


def get_db_info() -> tuple[str | None, str | None, str | None]:
    """Returns provider, URL and name of the database, as the worker set them.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.db_provider``, ``db_url`` and ``db_name``.
    """
    return _get("db_provider"), _get("db_url"), _get("db_name")


def get_session_id() -> str | None:
    """Returns the id of this process's session.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session_id``.
    """
    return _get("session_id")


def get_job_id() -> str | None:
    """Returns the id of this process's job.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.job_id``.
    """
    return _get("job_id")


def get_job_event() -> str | None:
    """Returns the event of this process's job; None for pre- and post-services.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.job_event``.
    """
    return _get("job_event")


def get_job_name() -> str | None:
    """Returns the name of this process's job; None for pre- and post-services.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.job_name``.
    """
    return _get("job_name")


def get_job_service_name() -> str | None:
    """Returns the name of this process's service; None for pre- and post-services.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.service_name``.
    """
    return _get("service_name")


def get_peer_id() -> str | None:
    """Returns the id of the peer that sent the images.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.peer_id``.
    """
    return _get("peer_id")
