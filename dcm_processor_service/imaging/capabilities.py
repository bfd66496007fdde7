"""Tells which decoders and converters are installed, and loads the libraries of extras."""

from __future__ import annotations

import importlib
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.imaging.decoding.decoders import DECODERS, NEEDS_CODECS, decoders_of

__all__ = ["Capability", "converter_capabilities", "decoder_capabilities", "load_extra"]

_VERSION_TIMEOUT_S = 10


@dataclass(frozen=True)
class Capability:
    """A decoder or converter, and whether it is installed; ``detail`` describes it, or says how to install it."""

    name: str
    available: bool
    detail: str


def decoder_capabilities() -> list[Capability]:
    """Tells for each compressed transfer syntax (PS3.5, chapter 10) whether its pixel data can be decoded here."""
    found = []
    for syntax in DECODERS:
        names = decoders_of(str(syntax))
        how = f"by {names[0]}" if names else NEEDS_CODECS
        found.append(Capability(syntax.keyword, bool(names), f"{syntax.name}; {how}"))
    return found


def converter_capabilities() -> list[Capability]:
    """Tells which engines can turn DICOM into NIfTI here."""
    return [
        Capability("native", available=True, detail="part of this package"),
        _dcm2niix(),
        _package("dicom2nifti"),
    ]


def _package(name: str) -> Capability:
    try:
        return Capability(name, available=True, detail=version(name))
    except PackageNotFoundError:
        return Capability(name, available=False, detail=f"pip install {name}")


def _dcm2niix() -> Capability:
    package = _package("dcm2niix")
    if not package.available:
        return package
    import dcm2niix

    try:
        ran = subprocess.run(  # noqa: S603  the wheel's own binary
            [dcm2niix.bin, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return Capability("dcm2niix", available=False, detail="its binary does not run here; pip install dcm2niix")
    lines = [line for line in ran.stdout.splitlines() if line.strip()]
    return Capability("dcm2niix", available=True, detail=lines[-1].strip() if lines else package.detail)


def load_extra(module: str, extra: str) -> Any:
    """Imports a module of a library that an extra of this package installs, and returns it.

    Raises:
        ConfigurationError: The library is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"{module.partition('.')[0]} is needed, but it is not installed here or cannot be loaded: "
            f'pip install "dcm-processor-service[{extra}]"'
        ) from error
