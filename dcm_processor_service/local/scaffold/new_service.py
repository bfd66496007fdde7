"""Writes the folder of a new service."""

from __future__ import annotations

import json
import re
from enum import Enum
from importlib import resources
from typing import TYPE_CHECKING, Any

from dcm_processor_service.disk import exists, write_whole
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.local.service.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.abc import Traversable
    from pathlib import Path

__all__ = ["Template", "make_service"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_SUFFIX = ".tmpl"
_VERSION = "0.1.0"


class Template(str, Enum):
    """The templates: what a new service does, until its author changes it."""

    SEGMENTATION = "segmentation"
    REPORT = "report"
    STUDY = "study"


def make_service(folder: Path, template: Template) -> tuple[Path, list[Path]]:
    """Writes a service into a new folder, whose name is the service's; returns the folder and its files.

    Raises:
        ConfigurationError: The name cannot be that of a service, or the folder is there already.
        LocalFileError: The folder cannot be written.
    """
    name = folder.name
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a service; give letters, digits, - and _, beginning with a letter"
        )
    if exists(folder):
        raise ConfigurationError(f"there is {str(folder)!r} already; give another name, or remove it")
    contents = {MANIFEST_NAME: json.dumps(_manifest(name, template), indent=4) + "\n"}
    root = resources.files(__package__).joinpath("templates")
    for part in ("common", template.value):  # files of the template take precedence over those that all templates share
        for place, text in _texts(root.joinpath(part)):
            contents[place] = text.replace("{{NAME}}", name)
    files = []
    for place, text in sorted(contents.items()):
        files.append(folder / place)
        with write_whole(files[-1]) as file:
            file.write(text.encode())
    return folder, files


def _texts(folder: Traversable, above: str = "") -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _texts(entry, f"{above}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield above + entry.name.removesuffix(_SUFFIX), entry.read_text(encoding="utf-8")


def _manifest(name: str, template: Template) -> dict[str, Any]:
    """Returns what ``dcm-processor generate service --inc-worker`` would write, with the template's jobs."""
    jobs = {
        Template.SEGMENTATION: [_job(name, name, "stable-series", {"threshold": -50, "structure": "Tissue"})],
        Template.REPORT: [_job(name, name, "stable-series", {})],
        Template.STUDY: [
            _job(name, f"{name}-measure", "stable-series", {"threshold": -50}, entry="measure"),
            _job(name, f"{name}-summary", "stable-study", {}, entry="summary"),
        ],
    }[template]
    return {
        "name": name,
        "version": _VERSION,
        "summary": "",
        "tags": [name],
        "worker": {"path": "worker", "type": "venv"},
        "service": {
            "registry": "registry",
            "module": "module",
            "required_services": [],
            "required_workers": [],
            "jobs": jobs,
        },
    }


def _job(service: str, name: str, event: str, params: dict[str, Any], *, entry: str = "worker") -> dict[str, Any]:
    return {
        "jobName": name,
        "workerEntry": entry,
        "registryEntry": "callback",
        "events": [event],
        "dependsOn": [],
        "worker": service,
        "timeout": "1h",
        "params": params,
        "sortPosition": 0,
        "description": "",
    }
