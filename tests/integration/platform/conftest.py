"""The platform's environments, and applications that end with the test."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom.data
import pytest

from tests.integration.platform.application import Application
from tests.missing import missing
from tests.platform_venv import (
    GENERATOR,
    JOB,
    PLATFORM,
    PREDECESSOR,
    EnvironmentUnavailableError,
    VirtualEnvironment,
    interpreter,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    MakeApplication = Callable[..., Application]


def _python(environment: VirtualEnvironment) -> Path:
    if not (os.environ.get("CI") or os.environ.get("DCM_PROCESSOR_TEST_PLATFORM")):
        pytest.skip("builds the platform's own environments, which takes minutes: set DCM_PROCESSOR_TEST_PLATFORM=1")
    try:
        return interpreter(environment)
    except EnvironmentUnavailableError as error:
        reason = f"the environment {environment.name!r} cannot be built: {error}"
        missing(reason)


@pytest.fixture(scope="session")
def platform_python() -> Path:
    """The platform's packages, with ours as its dcm-processor-service."""
    return _python(PLATFORM)


@pytest.fixture(scope="session")
def job_python() -> Path:
    """Ours alone, as the platform's virtual-environment worker installs it."""
    return _python(JOB)


@pytest.fixture(scope="session")
def predecessor_python() -> Path:
    """The platform's packages with the package whose place we take."""
    return _python(PREDECESSOR)


@pytest.fixture(scope="session")
def generator_python() -> Path:
    """The platform's command line."""
    return _python(GENERATOR)


@pytest.fixture(scope="session")
def scan_folder() -> Path:
    """Seven CT slices in two series of one study, which ship with pydicom."""
    sample = pydicom.data.get_testdata_file("dicomdirtests/98892001/CT5N/2062")
    assert isinstance(sample, str)
    return Path(sample).parent.parent


@pytest.fixture(scope="module")
def make_application(mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeApplication]:
    """Makes applications with a database of their own each; all end with the module."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(python: Path) -> Application:
            name = f"platform_{uuid.uuid4().hex[:12]}"
            made = Application(python, mongo_url, name, tmp_path_factory.mktemp("platform"))
            return stack.enter_context(made.running())

        yield make
