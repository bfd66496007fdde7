"""Our own stores pass the contract tests that are published for other stores."""

from __future__ import annotations

import inspect

from dcm_processor_service.testing.contracts import Contract, StoreContract


class TestStores(StoreContract):
    """Over memory, SQLite (on the calling thread and in threads), PyMongo and motor: the fixture ``store``."""


def test_no_rule_hides_another_of_the_same_name() -> None:
    parts = [part for part in inspect.getmro(StoreContract)[1:] if part not in {Contract, object}]
    names = [name for part in parts for name in vars(part) if name.startswith("test_")]
    assert len(names) == len(set(names))
    assert len(parts) == len(Contract.__subclasses__())
