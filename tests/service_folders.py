"""Service folders for tests, in the layout that ``dcm-processor generate service`` makes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["job", "write_service"]

ACCEPT = "def callback(session_id, job_name, headers, params, added_params, **kwargs):\n    return True\n"


def job(name: str, entry: str = "worker", event: str = "stable-series", **fields: Any) -> dict[str, Any]:
    """Returns an entry of the manifest's ``jobs``."""
    return {
        "jobName": name,
        "workerEntry": entry,
        "registryEntry": "callback",
        "events": [event],
        "dependsOn": [],
        "worker": None,
        "timeout": "1h",
        "params": {},
        "sortPosition": 0,
        "description": "",
    } | fields


def write_service(
    folder: Path,
    jobs: list[dict[str, Any]],
    files: dict[str, str],
    *,
    registry: str = ACCEPT,
    **fields: Any,
) -> Path:
    """Writes a service; ``files`` go below it, ``registry`` into the registry's ``main.py``."""
    section = {"registry": "registry", "module": "module", "required_services": [], "required_workers": []}
    manifest = {"name": folder.name, "version": "0.0.1", "summary": "", "tags": [folder.name]}
    service = section | {"jobs": jobs} | fields
    names = sorted({one["registryEntry"] for one in jobs})
    written = {
        "dcm-processor.json": json.dumps(manifest | {"service": service}),
        "registry/__init__.py": "".join(f"from .main import {name}\n" for name in names),
        "registry/main.py": registry,
    } | files
    for name, content in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder
