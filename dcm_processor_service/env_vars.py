"""The environment: the variables that a worker sets, and this package's own. Nothing else reads ``os.environ``.

Every variable is read under two spellings, ``DCM-PROCESSOR-SERVICE-DB-URL`` (the worker's) and
``DCM_PROCESSOR_SERVICE_DB_URL`` (a POSIX shell drops names with hyphens). Both set and different is an error. An empty
value means that the variable is not set. A ``.env`` file in the working directory fills in what the environment leaves
open, and ``…_DB_URL_FILE`` names a file that holds the URL, as container secrets come.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import Self, override

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models.jobs import JobEvent
from dcm_processor_service.models.peers import AETitle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

__all__ = [
    "RuntimeSettings",
    "get_db_info",
    "get_job_event",
    "get_job_id",
    "get_job_name",
    "get_job_service_name",
    "get_peer_id",
    "get_session_id",
    "variable_name",
]

PREFIX = "DCM-PROCESSOR-SERVICE-"

_SUFFIXES = {"service_name": "JOB-SERVICE-NAME"}
"""Fields whose variable is not the field's own name."""

_SECRET_FILES = ("db_url",)
"""Fields that may be given as a file that holds the value."""


class _Fault:
    """Stands in a field's place when its variable cannot be used, so that one validation reports every fault."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence


def variable_name(field: str) -> str:
    """Gives the worker's spelling of a field's environment variable.

    Example:
        >>> variable_name("db_url")
        'DCM-PROCESSOR-SERVICE-DB-URL'
    """
    return PREFIX + _SUFFIXES.get(field, field.upper().replace("_", "-"))


def _posix_name(name: str) -> str:
    return name.replace("-", "_")


def _check_id(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{24}", value):
        raise ValueError("24 hexadecimal digits")
    return value.lower()


PlatformId = Annotated[str, AfterValidator(_check_id)]


def _check_log_level(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class RuntimeSettings(BaseSettings):
    """The nine values that a worker injects, and this package's own settings, validated at once.

    Example:
        >>> settings = RuntimeSettings(db_provider="memory", session_id="a" * 24, job_id="b" * 24)
        >>> settings.store_timeout_s
        5.0

    Raises:
        ConfigurationError: Names every missing or malformed variable, what is expected, and an example.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(frozen=True, extra="ignore", validate_default=False)

    db_provider: str = Field(
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Which store: mongodb (or mongo), sqlite, memory, or a backend that another package adds",
        examples=["mongodb"],
    )
    db_url: SecretStr = Field(
        default=SecretStr(""),
        description="Where the store is: a connection string, or the workspace folder of sqlite",
        examples=["mongodb://localhost:27017"],
    )
    db_name: str = Field(default="", description="Name of the database (mongodb)", examples=["dcm-processor"])
    session_id: PlatformId = Field(
        description="24 hexadecimal digits: the session", examples=["65f0c0ffee65f0c0ffee65f0"]
    )
    job_id: PlatformId = Field(description="24 hexadecimal digits: the job", examples=["65f0c0ffee65f0c0ffee65f1"])
    job_name: str = Field(default="", description="Name of the job in the service's manifest", examples=["segment"])
    job_event: JobEvent | None = Field(
        default=None,
        description="stable-series, stable-study or stable-patient; not set for pre- and post-services",
        examples=["stable-series"],
    )
    service_name: str = Field(default="", description="Name of the service", examples=["liver"])
    peer_id: PlatformId | None = Field(
        default=None,
        description="24 hexadecimal digits: the node that sent the images",
        examples=["65f0c0ffee65f0c0ffee65f2"],
    )

    ae_title: AETitle = Field(
        default="DCM-PROCESSOR", description="Our own AE title, 1 to 16 characters", examples=["LIVERAI"]
    )
    service_version: str = Field(
        default="0",
        description="Version of the service, which derived DICOM objects name and their UIDs are keyed by",
        examples=["1.4.0"],
    )
    store_timeout_s: float = Field(
        default=5.0, gt=0, le=600, description="Seconds until an unreachable store is given up", examples=["5"]
    )
    dicom_timeout_s: float = Field(
        default=30.0, gt=0, le=3600, description="Seconds until a silent DICOM peer is given up", examples=["30"]
    )
    workspace: Path = Field(
        default=Path("dcm-workspace"), description="Folder of the embedded store for local runs", examples=["work"]
    )
    scratch: Path | None = Field(
        default=None, description="Folder for temporary files; the system's when not set", examples=["/scratch"]
    )
    cleanup: Literal["keep", "session", "all"] = Field(
        default="all",
        description="What goes at a session's end: keep (nothing), session (data and files), all (images too)",
        examples=["session"],
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_check_log_level)] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR", examples=["INFO"]
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            faults = error.errors(include_url=False)
        else:
            return
        # outside of the handler: pydantic's error shows the values, one of which is a secret, so it is no context
        raise ConfigurationError(_sentence(type(self), faults))

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Reads arguments first, then the environment; the other sources are part of the latter."""
        del env_settings, dotenv_settings, file_secret_settings
        return (init_settings, _EnvironmentSource(settings_cls))

    @model_validator(mode="before")
    @classmethod
    def _require_location(cls, values: dict[str, Any]) -> dict[str, Any]:
        backend = _canonical(str(values.get("db_provider") or ""))
        required = {"": (), "memory": (), "mongodb": ("db_url", "db_name")}.get(backend, ("db_url",))
        return values | {field: _Fault("is not set") for field in required if not values.get(field)}

    @field_validator("*", mode="before")
    @classmethod
    def _report_fault(cls, value: Any) -> Any:
        if isinstance(value, _Fault):
            raise PydanticCustomError("environment", "{sentence}", {"sentence": value.sentence})
        return value

    @classmethod
    def without_environment(cls, **values: Any) -> Self:
        """Gives settings of these values and the defaults; the environment is not read."""
        defaults = {
            name: _Fault("is not set") if field.is_required() else field.default
            for name, field in cls.model_fields.items()
        }
        return cls(**(defaults | values))

    @property
    def backend_name(self) -> str:
        """The provider's canonical name: ``mongo`` and ``mongodb`` are one."""
        return _canonical(self.db_provider)

    def __str__(self) -> str:
        return repr(self)


def _canonical(provider: str) -> str:
    name = provider.lower()
    return "mongodb" if name == "mongo" else name


def _line(model: type[RuntimeSettings], field: str, fault: str) -> str:
    info: FieldInfo = model.model_fields[field]
    name = variable_name(field)
    example = (info.examples or [""])[0]
    return f"\n  {name} {fault}; expected: {info.description}; for example {_posix_name(name)}={example}"


def _sentence(model: type[RuntimeSettings], faults: list[ErrorDetails]) -> str:
    lines = []
    for fault in faults:
        field = str(fault["loc"][0]) if fault["loc"] else ""
        if field not in model.model_fields:
            lines.append(f"\n  {field or 'settings'}: {fault['msg']}")
            continue
        message = {"missing": "is not set", "environment": fault["msg"]}.get(fault["type"], "is malformed")
        lines.append(_line(model, field, message))
    return "the environment of this job is not usable:" + "".join(lines)


class _EnvironmentSource(PydanticBaseSettingsSource):
    """Finds each field's variable under both spellings, in the environment, then in the ``.env`` file."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self._layers: tuple[Mapping[str, str | None], ...] = ()

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Gives the variable's value, or the fault that makes it unusable."""
        name = variable_name(field_name)
        for layer in self._layers:
            value = _either_spelling(layer, name)
            if field_name in _SECRET_FILES:
                value = _direct_or_file(layer, name, value)
            if value is not None:
                return value, field_name, False
        return None, field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        """Gives what is set, by field; reads nothing when every field was given."""
        if self.current_state.keys() >= self.settings_cls.model_fields.keys():
            return {}
        self._layers = (os.environ, _dotenv_values(Path(".env")))
        found = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, key, _complex = self.get_field_value(field, field_name)
            if value is not None:
                found[key] = value
        return found


def _dotenv_values(path: Path) -> Mapping[str, str | None]:
    if not path.is_file():
        return {}
    try:
        return dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the .env file in the working directory cannot be read: {type(error).__name__}; make it readable UTF-8 "
            "text, or remove it"
        ) from None  # the cause holds the file's content


def _either_spelling(layer: Mapping[str, str | None], name: str) -> str | _Fault | None:
    hyphens, underscores = (layer.get(spelling) or None for spelling in (name, _posix_name(name)))
    if hyphens and underscores and hyphens != underscores:
        return _Fault(f"and {_posix_name(name)} are both set and differ; set one of them")
    return hyphens or underscores


def _direct_or_file(layer: Mapping[str, str | None], name: str, direct: str | _Fault | None) -> str | _Fault | None:
    in_file = _content_of(_either_spelling(layer, f"{name}-FILE"), f"{name}-FILE")
    if isinstance(direct, str) and in_file is not None and in_file != direct:
        return _Fault(f"and {name}-FILE are both set and differ; set one of them")
    return in_file if direct is None else direct


def _content_of(path: str | _Fault | None, name: str) -> str | _Fault | None:
    if path is None or isinstance(path, _Fault):
        return path
    try:
        return Path(path).read_text(encoding="utf-8").strip() or _Fault(
            f"cannot be read: the file that {name} names is empty"
        )
    except (OSError, UnicodeDecodeError):
        return _Fault(f"cannot be read: the file that {name} names is missing or not text")


def _get(field: str) -> str | None:
    name = variable_name(field)
    value = _either_spelling(os.environ, name)
    if isinstance(value, _Fault):
        raise ConfigurationError(f"{name} {value.sentence}")
    return value


def get_db_info() -> tuple[str | None, str | None, str | None]:
    """Gives provider, URL and name of the database, as the worker set them."""
    return _get("db_provider"), _get("db_url"), _get("db_name")


def get_session_id() -> str | None:
    """Gives the id of this process's session."""
    return _get("session_id")


def get_job_id() -> str | None:
    """Gives the id of this process's job."""
    return _get("job_id")


def get_job_event() -> str | None:
    """Gives the event of this process's job; None for pre- and post-services."""
    return _get("job_event")


def get_job_name() -> str | None:
    """Gives the name of this process's job; None for pre- and post-services."""
    return _get("job_name")


def get_job_service_name() -> str | None:
    """Gives the name of this process's service; None for pre- and post-services."""
    return _get("service_name")


def get_peer_id() -> str | None:
    """Gives the id of the node that sent the images."""
    return _get("peer_id")
