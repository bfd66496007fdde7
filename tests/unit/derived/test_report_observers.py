"""Who observed, and in which language: said by both kinds of report, refused where it is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import PersonObserver
from dcm_processor_service.derived import measurement_report, text_report
from dcm_processor_service.derived.terminology.languages import language_code
from dcm_processor_service.errors import DerivedObjectError, UnsupportedValueError
from dcm_processor_service.models import Code
from dcm_processor_service.testing import fake_context, synthetic_series
from tests.unit.derived.sources import make_recipe, make_source, stored
from tests.unit.derived.test_reports import items_of, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom import Dataset

MAKERS: dict[str, Callable[..., Dataset]] = {
    "words": lambda **more: text_report("words", make_source(), make_recipe(), **more),
    "measurements": lambda **more: measurement_report(
        {"liver": {"Volume": (1.0, "ml")}}, make_source(), make_recipe(), **more
    ),
}  # fmt: skip


def context(made: Dataset) -> dict[str, Any]:
    items = [item for item in stored(made).ContentSequence if item.RelationshipType == "HAS OBS CONTEXT"]
    return {
        name_of(item): item.get("PersonName") or item.get("TextValue") or item.get("UID") or
        item.ConceptCodeSequence[0].CodeMeaning for item in items
    }  # fmt: skip


def language(made: Dataset) -> str:
    return str(items_of(stored(made), "CODE")[0].ConceptCodeSequence[0].CodeValue)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_service_observes_as_a_device_in_english(kind: str) -> None:
    made = MAKERS[kind]()
    found = context(made)
    assert (found["Observer Type"], found["Device Observer Name"], language(made)) == ("Device", "liver-volume", "en")
    assert context(MAKERS["words"]()) == context(MAKERS["measurements"]())


@pytest.mark.parametrize("kind", MAKERS)
def test_a_person_observes_in_their_language_and_has_signed_nothing(kind: str) -> None:
    made = MAKERS[kind](observer=PersonObserver("Łęcka^Anna", "Szpital", "alecka"), language="pl")
    assert context(made) == {
        "Observer Type": "Person", "Person Observer Name": "Łęcka^Anna", "Person Observer's Login Name": "alecka",
        "Person Observer's Organization Name": "Szpital",
    }  # fmt: skip
    assert language(made) == "pl"
    assert (made.CompletionFlag, made.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert "VerifyingObserverSequence" not in made


def test_reports_of_a_callback_take_both() -> None:
    derive = fake_context(series=synthetic_series(slices=3)).session.dicom
    like = derive.get_series()
    who = PersonObserver("Rossi^Anna")
    for made in (
        derive.derive.text_report("Nessun nodulo.", like=like, observer=who, language="Italian"),
        derive.derive.measurement_report({"liver": {"Volume": (1.0, "ml")}}, like=like, observer=who, language="it"),
    ):
        assert (context(made)["Person Observer Name"], language(made)) == ("Rossi^Anna", "it")


@pytest.mark.parametrize("name", ["", "^Anna", "a\\b", "x" * 65, "a^b^c^d^e^f", "Yamada^Tarou=x", "line\nbreak"])
def test_what_is_no_name_of_a_person_is_refused_without_repeating_it(name: str) -> None:
    with pytest.raises(UnsupportedValueError, match=r"not a person's name: give family\^given") as caught:
        PersonObserver(name)
    assert not name or name not in str(caught.value)


def test_the_name_of_a_person_stays_out_of_its_repr() -> None:
    assert repr(PersonObserver("Rossi^Anna", "Hospital", "arossi")) == "PersonObserver(organization='Hospital')"


@pytest.mark.parametrize(
    ("given", "value", "meaning"),
    [
        ("de", "de", "German"), ("DE", "de", "German"), ("pt_br", "pt-BR", "Portuguese (BR)"),
        ("zh-hant-tw", "zh-Hant-TW", "Chinese (Hant, TW)"), ("es-419", "es-419", "Spanish (419)"),
        ("french", "fr", "French"),
    ],
)  # fmt: skip
def test_a_language_is_known_by_tag_or_name(given: str, value: str, meaning: str) -> None:
    assert language_code(given) == Code(value, "RFC5646", meaning)


def test_a_language_of_ones_own_is_taken_and_an_unknown_one_refused() -> None:
    own = Code("tlh", "RFC5646", "Klingon")
    assert language_code(own) is own
    with pytest.raises(DerivedObjectError, match="no language is called 'Germann': 'German' is"):
        language_code("Germann")
    for tag in ("xx", "", "de-", "d", "de-AT-x-y-z"):
        with pytest.raises(DerivedObjectError, match="no language is called"):
            language_code(tag)
