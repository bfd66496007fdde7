"""The platform's manifest of a service, ``dcm-processor.json``: its jobs, and where their code lies.

``dcm-processor generate service`` writes one; ``docs/service_folder.md`` explains every field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dcm_processor_service.disk import is_file, open_to_read
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import JobEvent

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["JOB_FIELDS", "MANIFEST_NAME", "Manifest", "ServiceJob", "manifest_path", "read_manifest"]

MANIFEST_NAME = "dcm-processor.json"
JOB_FIELDS = (
    *("jobName", "workerEntry", "registryEntry", "events", "dependsOn", "worker", "timeout", "params"),
    *("sortPosition", "description", "disabled"),
)
"""The fields of an entry of ``jobs`` that the platform knows."""


class ServiceJob(BaseModel):
    """One entry of the manifest's ``jobs``."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    name: str = Field(alias="jobName", min_length=1)
    worker_entry: str = Field(alias="workerEntry", min_length=1)
    registry_entry: str = Field(alias="registryEntry", min_length=1)
    events: tuple[JobEvent, ...] = ()
    depends_on: tuple[str, ...] = Field(default=(), alias="dependsOn")
    params: dict[str, Any] = Field(default_factory=dict)
    sort_position: float = Field(default=1, alias="sortPosition")
    disabled: bool = False
    timeout: Any = None
    unknown: tuple[str, ...] = ()
    """Fields of its entry that the platform does not know, as they are written there."""

    @field_validator("depends_on", mode="before")
    @classmethod
    def _take_one_name(cls, value: Any) -> Any:
        """Accepts what the scheduler accepts: a list of names, one name, or null."""
        return () if value is None else (value,) if isinstance(value, str) else value

    @field_validator("params", mode="before")
    @classmethod
    def _take_null(cls, value: Any) -> Any:
        return {} if value is None else value


class _Section(BaseModel):
    """The manifest's ``service``."""

    module: str = Field(min_length=1)
    registry: str = Field(min_length=1)
    jobs: tuple[ServiceJob, ...] = ()
    required_services: tuple[str, ...] = ()

    @field_validator("jobs", mode="before")
    @classmethod
    def _separate_unknown_fields(cls, value: Any) -> Any:
        """Separates fields that the platform does not read, such as ``depends_on``, from those that it reads."""
        return (
            [_known_fields(job) if isinstance(job, dict) else job for job in value]
            if isinstance(value, list)
            else value
        )


def _known_fields(job: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in job.items() if name in JOB_FIELDS}
    return {**known, "unknown": tuple(sorted(set(job) - set(known)))}


class _Worker(BaseModel):
    """The manifest's ``worker``, where the service brings one of its own."""

    path: str | None = None


class _Document(BaseModel):
    """The manifest as it is written."""

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    service: _Section
    worker: _Worker | None = None


@dataclass(frozen=True)
class Manifest:
    """The content of a service's manifest."""

    folder: Path
    name: str
    version: str
    module: Path
    """Folder of the code, which the worker imports as the package ``service_module``."""

    registry: Path
    """Folder of the registry functions, which the scheduler imports in its own process."""

    jobs: tuple[ServiceJob, ...]
    required_services: tuple[str, ...]
    """Other services whose jobs this one may depend on."""

    worker_path: str | None
    """Folder of the worker that comes with the service, whose requirements.txt is installed."""


def manifest_path(folder: Path) -> Path | None:
    """Returns the path of a manifest, given that path or the service's folder; None if there is none."""
    path = folder if folder.name == MANIFEST_NAME else folder / MANIFEST_NAME
    return path if is_file(path) else None


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a service's folder.

    Raises:
        ConfigurationError: There is none, it is not JSON, or a field is missing or wrong; the message names each.
        LocalFileError: It cannot be opened.
    """
    path = manifest_path(folder)
    if path is None:
        raise ConfigurationError(
            f"there is no {MANIFEST_NAME} in {str(folder)!r}; give the folder of a service, or make one: "
            "dcm-processor-service new NAME"
        )
    with open_to_read(path) as file:
        content = file.read()
    try:
        written = json.loads(content.decode("utf-8"))
        if not isinstance(written, dict):
            raise ConfigurationError(f"{str(path)!r} is not a manifest of a service: it has to be a JSON object, {{…}}")
        document = _Document.model_validate(written)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{str(path)!r} is not JSON: {error}") from error
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        lines = "".join(f"\n  {'.'.join(map(str, fault['loc'])) or 'the document'}: {fault['msg']}" for fault in faults)
        raise ConfigurationError(f"{str(path)!r} is not a manifest of a service; correct:{lines}") from error
    section = document.service
    place = path.parent.resolve()  # Python caches relative folders, even if the working folder changes
    return Manifest(
        folder=place,
        name=document.name,
        version=document.version,
        module=place / section.module,
        registry=place / section.registry,
        jobs=section.jobs,
        required_services=section.required_services,
        worker_path=document.worker.path if document.worker else None,
    )
