"""Content items for the observer and the language of a report (PS3.16, TID 1001 to 1004 and 1204)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import Dataset

from dcm_processor_service.derived.attributes.uids import keyed_uid
from dcm_processor_service.derived.terminology.codes import code_item
from dcm_processor_service.derived.terminology.languages import language_code
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import Code
from dcm_processor_service.models.reports import PersonObserver

if TYPE_CHECKING:
    from dcm_processor_service.models.derived import Producer

__all__ = ["content_item", "language_item", "observer_items"]

_LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
_OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
_DEVICE = Code("121007", "DCM", "Device")
_PERSON = Code("121006", "DCM", "Person")
_CONTEXT = "HAS OBS CONTEXT"


def content_item(relationship: str, value_type: str, concept: Code) -> Dataset:
    """Returns an item of a content tree without its value."""
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = value_type
    item.ConceptNameCodeSequence = [code_item(concept)]
    return item


def language_item(language: Code | str) -> Dataset:
    """Returns the content item for the language of a report.

    Raises:
        DerivedObjectError: There is no such language.
    """
    item = content_item("HAS CONCEPT MOD", "CODE", _LANGUAGE)
    item.ConceptCodeSequence = [code_item(language_code(language))]
    return item


def observer_items(producer: Producer, observer: PersonObserver | None) -> list[Dataset]:
    """Returns the content items for the observer: the person, or the service as a device if there is none.

    Raises:
        DerivedObjectError: The observer is not a PersonObserver.
    """
    if observer is not None and not isinstance(observer, PersonObserver):
        raise DerivedObjectError("the observer is not a person: give PersonObserver('family^given')")
    kind = content_item(_CONTEXT, "CODE", _OBSERVER_TYPE)
    kind.ConceptCodeSequence = [code_item(_DEVICE if observer is None else _PERSON)]
    return [kind, *(_device(producer) if observer is None else _person(observer))]


def _device(producer: Producer) -> list[Dataset]:
    uid = content_item(_CONTEXT, "UIDREF", Code("121012", "DCM", "Device Observer UID"))
    uid.UID = keyed_uid("device", producer.service_name, producer.version, producer.device_serial_number)
    return [
        uid,
        _words("121013", "Device Observer Name", producer.service_name),
        _words("121014", "Device Observer Manufacturer", producer.manufacturer),
        _words("121015", "Device Observer Model Name", producer.service_name),
        _words("121016", "Device Observer Serial Number", producer.device_serial_number),
    ]


def _person(observer: PersonObserver) -> list[Dataset]:
    name = content_item(_CONTEXT, "PNAME", Code("121008", "DCM", "Person Observer Name"))
    name.PersonName = observer.name
    found = [name]
    if observer.login:
        found.append(_words("128774", "Person Observer's Login Name", observer.login))
    if observer.organization:
        found.append(_words("121009", "Person Observer's Organization Name", observer.organization))
    return found


def _words(value: str, meaning: str, words: str) -> Dataset:
    item = content_item(_CONTEXT, "TEXT", Code(value, "DCM", meaning))
    item.TextValue = words
    return item
