"""The versions that a run's numbers depend on."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

__all__ = ["versions"]

_PACKAGES = (
    "dcm-processor-service",
    "dcm2niix",
    "dicom2nifti",
    "highdicom",
    "monai",
    "nibabel",
    "numpy",
    "onnxruntime",
    "pydicom",
    "pynetdicom",
    "scipy",
    "SimpleITK",
    "torch",
)
"""The packages that read, compute or send."""


@lru_cache
def _installed() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version()), ("system", f"{platform.system()} {platform.machine()}")]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def versions() -> dict[str, str]:
    """Returns the versions of Python, the system and the packages that are installed, in a fixed order.

    Example:
        >>> list(versions())[:3]
        ['python', 'system', 'dcm-processor-service']
    """
    return dict(_installed())
