"""Packages of npm for tests, installed once into a folder and kept by their names and versions.

They lie beside the environments of :mod:`tests.platform_venv`.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.missing import missing
from tests.platform_venv import cache_folder, locked

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ADAPTERS", "DCMJS_DIMSE", "node", "node_modules"]

ADAPTERS = ("@cornerstonejs/adapters@5.14.0", "dcmjs@0.52.0", "@babel/runtime@7.28.4")
"""The packages by which viewers such as OHIF read derived objects (MIT); the first uses the last undeclared."""


DCMJS_DIMSE = "dcmjs-dimse@0.3.3"
"""An independent implementation of DIMSE services, in JavaScript (MIT)."""

_INSTALL_S = 300


def node(name: str = "node") -> str:
    """Returns the path of ``node`` or ``npm``; without it the test fails in CI and is skipped elsewhere."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed: apt-get install nodejs npm"
        missing(reason)
    return path


def node_modules(*packages: str) -> Path:
    """Returns the folder with packages and their dependencies; installs them if they are missing."""
    npm = node("npm")
    folder = cache_folder() / f"npm-{'+'.join(packages).replace('/', '-')}"
    with locked(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            options = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder))
            command = [npm, "install", *options, *packages]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
            (folder / "complete").touch()
    return folder / "node_modules"
