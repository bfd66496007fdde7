"""What an installation reports about its decoders, its converters and the libraries of extras."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import dcm2niix
import pytest
from pydicom.uid import AllTransferSyntaxes, JPEGBaseline8Bit, RLELossless

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.imaging import capabilities
from dcm_processor_service.imaging.capabilities import (
    Capability,
    converter_capabilities,
    decoder_capabilities,
    load_extra,
)

if TYPE_CHECKING:
    from pathlib import Path


def converter(name: str) -> Capability:
    return {one.name: one for one in converter_capabilities()}[name]


def program(path: Path, *lines: str) -> str:
    """Writes a program that consists of some lines of shell script."""
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return str(path)


def test_a_decoder_is_named_with_what_it_decodes_and_by_which_library() -> None:
    found = {one.name: one for one in decoder_capabilities()}
    assert found["JPEGBaseline8Bit"] == Capability("JPEGBaseline8Bit", True, f"{JPEGBaseline8Bit.name}; by pillow")
    assert found["RLELossless"] == Capability("RLELossless", True, f"{RLELossless.name}; by pylibjpeg")
    assert found.keys() <= {uid.keyword for uid in AllTransferSyntaxes if uid.is_compressed}


def test_a_decoder_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "decoders_of", lambda uid: () if uid == str(RLELossless) else ("one", "two"))
    found = {one.name: one for one in decoder_capabilities()}
    missing, there = found["RLELossless"], found["JPEG2000"]
    assert not missing.available
    assert missing.detail == f'{RLELossless.name}; pip install "dcm-processor-service[codecs]"'
    assert there.available
    assert there.detail.endswith("; by one")


def test_installed_converters_are_available_in_order() -> None:
    assert [(one.name, one.available) for one in converter_capabilities()] == [
        ("native", True),
        ("dcm2niix", True),
        ("dicom2nifti", True),
    ]
    assert converter("native").detail
    assert converter("dicom2nifti").detail == version("dicom2nifti")
    assert converter("dcm2niix").detail.startswith("v1.")  # the version that the program prints about itself


def test_the_last_line_of_the_program_is_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(tmp_path / "dcm2niix", "echo A program of somebody", "echo", 'echo "  v9.9 after $1  "', "echo")
    monkeypatch.setattr(dcm2niix, "bin", made)
    assert converter("dcm2niix") == Capability("dcm2niix", True, "v9.9 after --version")


def test_a_program_that_prints_nothing_has_the_version_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dcm2niix, "bin", program(tmp_path / "dcm2niix", "echo", "echo '  '", "exit 3"))
    assert converter("dcm2niix") == Capability("dcm2niix", True, version("dcm2niix"))


def test_a_program_that_does_not_run_is_not_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcm2niix, "bin", str(tmp_path / "none"))
    found = converter("dcm2niix")
    assert not found.available
    assert found.detail.endswith("pip install dcm2niix")


def test_a_program_that_does_not_end_is_stopped_and_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def hangs(command: list[str], *, timeout: float, **_: object) -> None:
        limits.append(timeout)
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    assert not converter("dcm2niix").available
    assert 1 <= limits[0] <= 60


def test_a_package_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(capabilities, "version", none)
    for name in ("dcm2niix", "dicom2nifti"):
        assert converter(name) == Capability(name, False, f"pip install {name}")
    assert converter("native").available


def test_the_library_of_an_extra_is_loaded() -> None:
    assert load_extra("json", "any") is json


def test_a_library_that_is_missing_names_its_extra() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_extra("not_there_at_all.part", "some-extra")
    assert str(caught.value).startswith("not_there_at_all is needed")
    assert str(caught.value).endswith('pip install "dcm-processor-service[some-extra]"')
    assert isinstance(caught.value.__cause__, ImportError)
