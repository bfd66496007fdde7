"""The rules of every store, as tests: this package runs them over its stores, and another package over its own.

The stores of this package are memory, SQLite, PyMongo and motor. A package that adds a store derives one class, and
opens its store in a fixture::

    import pytest
    from dcm_processor_service.testing.contracts import StoreContract, store_under_test

    class TestTheirStore(StoreContract):
        @pytest.fixture(params=["blocking", "async"])
        def store(self, request):
            with store_under_test({"db_provider": "their-store"}, mode=request.param) as store:
                yield store

To test one part alone, derive from its own class, such as :class:`DataContract`. Only these modules and the plug-in for
pytest need pytest.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("data", "dicom", "files", "jobs", "peers", "sending", "steps"))
)

from dcm_processor_service.testing.contracts.data import DataContract  # noqa: E402  after the call above
from dcm_processor_service.testing.contracts.dicom import DicomContract  # noqa: E402
from dcm_processor_service.testing.contracts.files import FilesContract  # noqa: E402
from dcm_processor_service.testing.contracts.jobs import JobsContract  # noqa: E402
from dcm_processor_service.testing.contracts.peers import PeersContract  # noqa: E402
from dcm_processor_service.testing.contracts.sending import SendingContract  # noqa: E402
from dcm_processor_service.testing.contracts.steps import StepsContract  # noqa: E402
from dcm_processor_service.testing.contracts.store import (  # noqa: E402
    Contract,
    Seeder,
    StoreUnderTest,
    WorkspaceSeeder,
    store_under_test,
)

__all__ = [
    "Contract",
    "DataContract",
    "DicomContract",
    "FilesContract",
    "JobsContract",
    "PeersContract",
    "Seeder",
    "SendingContract",
    "StepsContract",
    "StoreContract",
    "StoreUnderTest",
    "WorkspaceSeeder",
    "store_under_test",
]


class StoreContract(
    DataContract, FilesContract, JobsContract, PeersContract, DicomContract, SendingContract, StepsContract
):
    """All rules of a store."""
