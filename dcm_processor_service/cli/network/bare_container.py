"""A container for commands that need no session."""

from __future__ import annotations

from typing import cast

from dcm_processor_service.env_vars import read_variables
from dcm_processor_service.models.platform_ids import NO_ID
from dcm_processor_service.runtime.container import Container
from dcm_processor_service.runtime.settings import RuntimeSettings, SettingsValues

__all__ = ["bare_container"]


def bare_container(calling: str) -> Container:
    """Makes a container without a session, with our AE title."""
    values: SettingsValues = {"db_provider": "memory", "session_id": NO_ID, "job_id": NO_ID, "ae_title": calling}
    values.update(cast("SettingsValues", read_variables(["dicom_timeout_s"])))  # the settings report a wrong value
    settings = RuntimeSettings.without_environment(**values)
    container = Container()
    container.settings.override(settings)
    return container
