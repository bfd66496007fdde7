"""Virtual environments with the platform's published packages, each built once and kept for later runs.

The platform pins its libraries exactly, so it cannot share an environment with the tests. Each environment here is a
folder whose name carries a checksum of everything that goes into it: interpreter, requirements and, where our package
is installed, every file of it. A complete environment is reused, and never changed in place.

They lie in the folder that the variable ``DCM_PROCESSOR_TEST_CACHE`` names, else in the system's folder for temporary
files.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "GENERATOR",
    "JOB",
    "PLATFORM",
    "PREDECESSOR",
    "EnvironmentUnavailableError",
    "VirtualEnvironment",
    "cache_folder",
    "interpreter",
    "locked",
]

ROOT = Path(__file__).resolve().parent.parent
CACHE_VARIABLE = "DCM_PROCESSOR_TEST_CACHE"
STALE_AFTER_S = 24 * 3600
BUILD_TIMEOUT_S = 900

_PUBLISHED = (
    "dcm-processor-worker==0.0.1",
    "dcm-processor-db-provider==0.0.1",
    "dcm-processor-job-scheduler==0.0.1",
    "dcm-processor-dicom-server==0.0.1",
    "dcm-processor-utils==0.0.1",
    "mongo-qas==0.5.0",
)


@dataclass(frozen=True)
class VirtualEnvironment:
    """The packages of one environment."""

    name: str
    requirements: tuple[str, ...]
    with_our_wheel: bool
    check: str
    """Python that must run there, such as an import that needs a library of the operating system."""


PLATFORM = VirtualEnvironment(
    "platform", _PUBLISHED, with_our_wheel=True, check="import dcm_processor_db_provider, dcm_processor_service"
)
"""The platform as its application installs it, with our package in place of its dcm-processor-service."""

JOB = VirtualEnvironment("job", (), with_our_wheel=True, check="import dcm_processor_service")
"""An environment as the platform's worker makes it for a service: our package and nothing of the platform."""

PREDECESSOR = VirtualEnvironment(
    "predecessor",
    (*_PUBLISHED, "dcm-processor-service==0.0.1"),
    with_our_wheel=False,
    check="import dcm_processor_db_provider, dcm_processor_service",
)
"""The platform with release 0.0.1 of this package."""


GENERATOR = VirtualEnvironment(
    "generator", ("dcm-processor==2.0.1",), with_our_wheel=False, check="import dcm_processor"
)
"""The platform's command line, which makes the folders of new services."""


class EnvironmentUnavailableError(RuntimeError):
    """An environment cannot be built here; the message says what is missing."""


def interpreter(environment: VirtualEnvironment) -> Path:
    """Returns the Python of an environment, which is built if it does not exist yet.

    Raises:
        EnvironmentUnavailableError: It cannot be built, or a library of the operating system is missing.
    """
    folder = cache_folder() / f"{environment.name}-{_checksum(environment)}"
    python = folder / "bin" / "python"
    complete = folder / "complete"
    with locked(folder.with_suffix(".lock")):
        if not (complete.exists() and python.exists()):  # an interpreter that was removed leaves a dead link
            _remove_stale(environment.name)
            shutil.rmtree(folder, ignore_errors=True)
            _build(environment, folder)
            _run([str(python), "-I", "-c", environment.check])  # imports the installed package, not the source tree
        complete.touch()  # its time says when the environment was last used
    return python


def cache_folder() -> Path:
    """Returns the folder in which environments are kept; makes it if it is missing."""
    named = os.environ.get(CACHE_VARIABLE)
    user = os.getuid() if hasattr(os, "getuid") else "user"
    cache = Path(named) if named else Path(tempfile.gettempdir()) / f"dcm-processor-environments-{user}"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return cache


def _checksum(environment: VirtualEnvironment) -> str:
    digest = hashlib.sha256()
    for part in (str(base_python()), *environment.requirements):
        digest.update(part.encode() + b"\0")
    if environment.with_our_wheel:
        package = sorted(path for path in (ROOT / "dcm_processor_service").rglob("*") if path.suffix != ".pyc")
        for path in [ROOT / "pyproject.toml", *(path for path in package if path.is_file())]:
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock while the block runs: two test sessions never build the same environment at once."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_stale(name: str) -> None:
    """Removes earlier builds that no session has used for a day."""
    now = time.time()
    for complete in cache_folder().glob(f"{name}-*/complete"):
        if now - complete.stat().st_mtime > STALE_AFTER_S:
            shutil.rmtree(complete.parent, ignore_errors=True)
            complete.parent.with_suffix(".lock").unlink(missing_ok=True)


@functools.cache
def base_python() -> Path:
    """Returns a Python 3.10, which the platform's worker template asks for; the running Python if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [*sorted(pyenv.glob("versions/3.10*/bin/python3.10")), Path(shutil.which("python3.10") or "")]
    if sys.version_info[:2] == (3, 10):
        candidates.insert(0, Path(sys.executable))
    return next((path for path in candidates if _is_python_3_10(path)), Path(sys.executable))


def _is_python_3_10(path: Path) -> bool:
    return path.is_file() and _says(str(path), "-c", "import sys, venv; print(sys.version_info[:2])") == "(3, 10)"


def _says(*command: str) -> str | None:
    """Returns what a program prints; None if it fails, as pyenv's launchers do for programs that a version lacks."""
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def _build(environment: VirtualEnvironment, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        requirements = list(environment.requirements)
        if shutil.which("uv") and _says("uv", "--version"):
            _run(["uv", "venv", "--quiet", "--python", str(base_python()), str(folder)])
            if environment.with_our_wheel:
                _run(["uv", "build", "--quiet", "--wheel", "--out-dir", scratch, str(ROOT)])
                requirements += map(str, Path(scratch).glob("*.whl"))
            python = str(folder / "bin" / "python")
            _run(["uv", "pip", "install", "--quiet", "--python", python, *requirements])
            return
        _run([str(base_python()), "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        if environment.with_our_wheel:
            _run([*pip, "wheel", "--no-deps", "--wheel-dir", scratch, str(ROOT)])
            requirements += map(str, Path(scratch).glob("*.whl"))
        _run([*pip, "install", *requirements])


def _run(command: list[str]) -> None:
    """Runs one step of a build, apart from the environment of the tests themselves."""
    apart = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    variables = {name: value for name, value in os.environ.items() if name not in apart}
    try:
        subprocess.run(
            command, env=variables, cwd=ROOT, capture_output=True, text=True, check=True, timeout=BUILD_TIMEOUT_S
        )
    except subprocess.CalledProcessError as error:
        hint = " (Debian: apt-get install libmagic1)" if "libmagic" in error.stderr else ""
        raise EnvironmentUnavailableError(f"{command[:4]} failed{hint}: {error.stderr[-2000:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentUnavailableError(f"{command[:4]} failed: {error}") from error
