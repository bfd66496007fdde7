"""The fixtures of the tests of MongoDB: each ``async def`` test runs through PyMongo, stepped, and motor, awaited."""

from __future__ import annotations

from tests.integration.mongo.conftest import client, database, pytest_pyfunc_call, store

__all__ = ["client", "database", "pytest_pyfunc_call", "store"]
