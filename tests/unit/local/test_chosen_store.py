"""The option ``--store``: which database a run's workspace is in."""

from __future__ import annotations

import pytest

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.local.chosen_store import chosen_store


def test_two_spellings_of_a_variable_that_differ_are_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCM-PROCESSOR-SERVICE-DB-URL", "mongodb://user:secret@a")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_URL", "mongodb://user:secret@b")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_NAME", "laptop")
    with pytest.raises(ConfigurationError, match="-DB-URL and DCM_PROCESSOR_SERVICE_DB_URL are both set") as caught:
        chosen_store("mongodb")
    assert "secret" not in str(caught.value)
    monkeypatch.delenv("DCM-PROCESSOR-SERVICE-DB-URL")
    monkeypatch.delenv("DCM_PROCESSOR_SERVICE_DB_NAME")
    with pytest.raises(ConfigurationError, match="DCM_PROCESSOR_SERVICE_DB_NAME is not set"):
        chosen_store("mongodb")
