"""Reads DICOM in XML (PS3.19, A.1), from services that cannot answer in JSON, into the structure of DICOM JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET  # nosec B405  a document that declares entities is refused before

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # nosec B405

__all__ = ["from_xml", "is_xml"]

_DEEPEST = 16


def is_xml(content: bytes) -> bool:
    """Returns whether an answer begins like XML."""
    return content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def from_xml(content: bytes) -> dict[str, Any]:
    """Returns the attributes by tag, in the structure of DICOM JSON; all values are text.

    Raises:
        ValueError: The content is not a ``NativeDicomModel``, or declares entities, which could exhaust memory.

    Example:
        >>> told = b'<NativeDicomModel><DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2</Value>'
        >>> from_xml(told + b"</DicomAttribute></NativeDicomModel>")
        {'00081155': {'vr': 'UI', 'Value': ['1.2']}}
    """
    if b"<!DOCTYPE" in content or b"\0" in content:  # zero bytes show UTF-16 or UTF-32, which would hide a declaration
        raise ValueError("the answer in XML declares entities, or is not in UTF-8")
    try:
        root = ET.fromstring(content)  # noqa: S314  # nosec B314  without entities there is nothing to expand
    except (ET.ParseError, LookupError) as error:  # LookupError: the XML names an encoding that does not exist
        raise ValueError("the answer is not XML") from error
    if _name(root) != "NativeDicomModel":
        raise ValueError("the answer in XML is not a NativeDicomModel")
    return _data_set(root, 0)


def _data_set(parent: Element, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise ValueError("the answer in XML is nested too deeply")
    found: dict[str, Any] = {}
    for attribute in parent:
        if _name(attribute) == "DicomAttribute":
            values: list[Any] = []
            for child in attribute:
                if _name(child) == "Item":
                    values.append(_data_set(child, depth + 1))
                elif _name(child) == "Value":
                    values.append((child.text or "").strip())
            tag = attribute.get("tag", "").upper()
            found.setdefault(tag, {"vr": attribute.get("vr", ""), "Value": []})["Value"] += values
    return found


def _name(element: Element) -> str:
    """Returns the name of an element without its namespace, because some services leave the namespace out."""
    return element.tag.rpartition("}")[2]
