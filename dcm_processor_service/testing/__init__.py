"""For tests of callbacks: a context over memory, synthetic series, an archive on the loopback interface.

The fakes are the memory backend, which passes the same contract suite as SQLite and MongoDB. With pytest the fixture
``fake_context`` is there without an import. Names are loaded when they are used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.testing.contexts import fake_async_context, fake_context, synthetic_series
    from dcm_processor_service.testing.fake_certificates import FakeAuthority
    from dcm_processor_service.testing.fake_pacs import FakePacs, Faults

__all__ = ["FakeAuthority", "FakePacs", "Faults", "fake_async_context", "fake_context", "synthetic_series"]

_HOME = {
    "FakeAuthority": "fake_certificates",
    "FakePacs": "fake_pacs",
    "Faults": "fake_pacs",
    "fake_async_context": "contexts",
    "fake_context": "contexts",
    "synthetic_series": "contexts",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
