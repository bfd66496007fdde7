"""What a model refuses is not shown: values of a patient and credentials would get into logs and job records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, ValidationError

from dcm_processor_service import Instance, Job, Patient, Peer, StorageCommitment, StoredFile, Study

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "hidden-value"
MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model for model in (Instance, Job, Patient, Peer, StorageCommitment, StoredFile, Study)
}


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(ValidationError) as caught:
        make()
    return f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("name", MODELS)
def test_no_error_shows_the_values(name: str) -> None:
    given = {key: [SECRET] for key in MODELS[name].model_fields}
    assert SECRET not in refused(lambda: MODELS[name].model_validate(given))


def test_a_token_in_the_url_of_an_incomplete_peer_is_not_shown() -> None:
    url = f"https://pacs.example.org/dicom-web?token={SECRET}"
    assert SECRET not in refused(lambda: Peer.model_validate({"url": url}))
