"""What is said to have come with a Python is there from that one on, and not before."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from dcm_processor_service.local.checking.newer_library import _MODULES, _SINCE


def has(module: str, name: str) -> bool:
    return hasattr(importlib.import_module(module), name)


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what it would be a part of is not a package
        return False


def test_names_are_there_from_the_python_on_that_brought_them() -> None:
    own = sys.version_info[:2]
    assert len(_SINCE) > 40
    assert {one for one, since in _SINCE.items() if has(*one) is not (own >= since)} == set()


def test_modules_are_there_from_the_python_on_that_brought_them() -> None:
    own = sys.version_info[:2]
    assert {name: is_module(name) for name in _MODULES} == {name: own >= since for name, since in _MODULES.items()}
