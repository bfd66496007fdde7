"""The settings of a job: reads the environment into one validated model. One error names all faults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypedDict

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

from dcm_processor_service.env_vars import Fault, posix_name, read_variables, variable_name
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.keywords import refuse_unknown
from dcm_processor_service.models.jobs import JobEvent
from dcm_processor_service.models.network.peers import DEFAULT_AE_TITLE, AETitle
from dcm_processor_service.models.platform_ids import is_platform_id
from dcm_processor_service.ports import Durability

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails
    from typing_extensions import Unpack

__all__ = ["RuntimeSettings", "SettingsValues"]


def _check_id(value: str) -> str:
    if not is_platform_id(value):
        raise ValueError("24 hexadecimal digits")
    return value.lower()


PlatformId = Annotated[str, AfterValidator(_check_id)]


def _check_log_level(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class SettingsValues(TypedDict, total=False):
    """The values of settings as keyword arguments; :class:`RuntimeSettings` says what each means, and its default.

    Example:
        >>> values: SettingsValues = {"job_name": "segment", "store_timeout_s": 10}
        >>> from dcm_processor_service.testing import fake_context
        >>> fake_context(**values).job_name
        'segment'
    """

    db_provider: str
    db_url: str | SecretStr
    db_name: str
    session_id: str
    job_id: str
    job_name: str
    job_event: JobEvent | str | None
    service_name: str
    peer_id: str | None
    ae_title: str
    service_version: str
    store_timeout_s: float
    store_operation_timeout_s: float
    store_transfer_timeout_s: float
    durability: Durability
    dicom_timeout_s: float
    workspace: str | Path
    scratch: str | Path | None
    cleanup: Literal["keep", "session", "all"]
    log_level: str
    grace_s: float
    session_dir: str | Path | None
    data_dir: str | Path | None
    data_cache: str | Path | None
    data_cache_bytes: int


class RuntimeSettings(BaseSettings):
    """The nine values that a worker injects, and this package's own settings, validated at once.

    Example:
        >>> settings = RuntimeSettings(db_provider="memory", session_id="a" * 24, job_id="b" * 24)
        >>> settings.store_timeout_s
        4.0

    Raises:
        ConfigurationError: A variable is missing or malformed; the message names every such variable, with the expected
            value and an example. Or a keyword is not a setting.
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
        description="24 hexadecimal digits: the peer that sent the images",
        examples=["65f0c0ffee65f0c0ffee65f2"],
    )

    ae_title: AETitle = Field(
        default=DEFAULT_AE_TITLE, description="Our own AE title, 1 to 16 characters", examples=["LIVERAI"]
    )
    service_version: str = Field(
        default="0",
        description="Version of the service; derived DICOM objects name it, and their UIDs depend on it",
        examples=["1.4.0"],
    )
    store_timeout_s: float = Field(
        default=4.0, gt=0, le=600, description="Seconds until an unreachable store is given up", examples=["5"]
    )
    store_operation_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds that one operation of the store may take, the election of a new primary included",
        examples=["60"],
    )
    store_transfer_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds without progress until the upload or download of a file is given up",
        examples=["60"],
    )
    durability: Durability = Field(
        default="full",
        description="full: a write that returned survives crash, power cut and failover; fast: it may be lost then",
        examples=["full"],
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
        description="What is removed at a session's end: keep (nothing), session (data and files), all (images too)",
        examples=["session"],
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_check_log_level)] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR", examples=["INFO"]
    )

    grace_s: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="Seconds that a job has after its time limit to see ctx.cancelled and return",
        examples=["10"],
    )

    session_dir: Path | None = Field(
        default=None,
        description="Folder that the docker worker's pre- and post-scripts share with the job",
        examples=["/session"],
    )
    data_dir: Path | None = Field(
        default=None, description="Folder with the docker worker's data, such as models", examples=["/data"]
    )
    data_cache: Path | None = Field(
        default=None,
        description="Folder that keeps data from a zip file unpacked for the next job",
        examples=["/var/cache/models"],
    )
    data_cache_bytes: int = Field(
        default=20 * 1024**3,
        ge=1,
        description="Most bytes in that folder; the least recently used data is removed first",
        examples=["21474836480"],
    )

    def __init__(self, **values: Unpack[SettingsValues]) -> None:
        refuse_unknown(type(self).__name__, "setting", values, type(self).model_fields)
        try:
            super().__init__(**values)
        except ValidationError as error:
            faults = error.errors(include_url=False)
        else:
            return
        # outside of the handler, so that pydantic's error, which shows secret values, does not become its context
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
        """Reads arguments first, then the environment, through this package's own source in place of pydantic's."""
        del env_settings, dotenv_settings, file_secret_settings
        return (init_settings, _EnvironmentSource(settings_cls))

    @model_validator(mode="before")
    @classmethod
    def _require_location(cls, values: dict[str, Any]) -> dict[str, Any]:
        backend = _canonical(str(values.get("db_provider") or ""))
        # a store that another package adds checks its own settings
        required = {"mongodb": ("db_url", "db_name"), "sqlite": ("db_url",)}.get(backend, ())
        return values | {field: Fault("is not set") for field in required if not values.get(field)}

    @field_validator("*", mode="before")
    @classmethod
    def _report_fault(cls, value: Any) -> Any:
        if isinstance(value, Fault):
            raise PydanticCustomError("environment", "{sentence}", {"sentence": value.sentence})
        return value

    @classmethod
    def without_environment(cls, **values: Unpack[SettingsValues]) -> Self:
        """Returns settings of these values and the defaults; the environment is not read.

        Raises:
            ConfigurationError: A value is missing or malformed, or a keyword is not a setting.

        Example:
            >>> RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24).job_name
            ''
        """
        chosen: dict[str, Any] = {
            name: Fault("is not set") if field.is_required() else field.default
            for name, field in cls.model_fields.items()
        }
        chosen.update(values)
        return cls(**chosen)

    @property
    def backend_name(self) -> str:
        """The provider's canonical name: both ``mongo`` and ``mongodb`` become ``mongodb``."""
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
    return f"\n  {name} {fault}; expected: {info.description}; for example {posix_name(name)}={example}"


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
    """The variables of the environment, by field."""

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Returns one variable's value, or the fault that makes it unusable."""
        return read_variables([field_name]).get(field_name), field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        """Returns the variables that are set, by field; reads none if every field was passed as an argument."""
        fields = self.settings_cls.model_fields
        return {} if self.current_state.keys() >= fields.keys() else {**read_variables(fields)}
