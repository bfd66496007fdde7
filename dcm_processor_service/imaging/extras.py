"""Libraries that extras install, loaded where they are asked for."""

from __future__ import annotations

import importlib
from typing import Any

from dcm_processor_service.errors import ConfigurationError

__all__ = ["load_extra"]


def load_extra(module: str, extra: str) -> Any:
    """Gives a library that an extra installs.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"{module.partition('.')[0]} is needed, and not installed here or not to be loaded: "
            f'pip install "dcm-processor-service[{extra}]"'
        ) from error
