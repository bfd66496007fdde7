"""A malformed document of a database is refused by a sentence that names each field and no value."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, ValidationError

from dcm_processor_service.codec import modelled, validation_faults
from dcm_processor_service.errors import StoredValueError


class Finger(BaseModel):
    number: int = Field(ge=1)


class Hand(BaseModel):
    owner: str
    fingers: list[Finger] = []


def faults(fields: object, **spelled: str) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Hand.model_validate(fields)
    return validation_faults(caught.value, "hand", spelled)


def test_each_field_is_named_by_its_whole_path() -> None:
    found = faults({"owner": "Doe^Jane", "fingers": [{"number": 1}, {"number": "DOE"}, {}]})
    assert [fault.partition(": ")[0] for fault in found] == ["fingers.1.number", "fingers.2.number"]
    assert not any("DOE" in fault for fault in found)


def test_a_field_is_named_as_the_reader_knows_it() -> None:
    (fault,) = faults({"fingers": []}, owner="handOwner")
    assert fault == "handOwner: Field required"


def test_what_is_no_document_is_named_as_a_whole() -> None:
    (fault,) = faults("DOE")
    assert fault.startswith("hand: ")
    assert "DOE" not in fault


def test_a_document_becomes_a_model_or_a_sentence_without_its_values() -> None:
    assert modelled(Hand, "the hand", {"owner": "x"}) == Hand(owner="x")
    with pytest.raises(StoredValueError) as caught:
        modelled(Hand, "the hand", {"owner": ["DOE"]}, {"owner": "handOwner"})
    assert str(caught.value).startswith("the hand is malformed in the database: handOwner: ")
    assert "DOE" not in str(caught.value)
    assert caught.value.__cause__ is None
