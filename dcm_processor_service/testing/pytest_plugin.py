"""pytest fixtures for callbacks under test; loads the package when a fixture is used, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.runtime.context import RuntimeContext

__all__ = ["fake_context"]


@pytest.fixture
def fake_context() -> Callable[..., RuntimeContext]:
    """Returns :func:`dcm_processor_service.testing.fake_context`: a maker of contexts over memory."""
    from dcm_processor_service.testing import fake_context as make

    return make
