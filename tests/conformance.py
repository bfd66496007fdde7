"""Writes the tables of docs/conformance_statement.md that follow from the code: ``python -m tests.conformance``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.uid import UID
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID

from dcm_processor_service.derived.attributes.iods import IODS, MODULES
from dcm_processor_service.dicom_network import status
from dcm_processor_service.dicom_network.conversion.transcoding import UNCOMPRESSED, lossless_encoders
from dcm_processor_service.dicom_network.dimse import commitment, echo, negotiation, query
from dcm_processor_service.dicom_network.planning import DEFAULT_SYNTAXES
from dcm_processor_service.dicom_network.retrieval import lines
from dcm_processor_service.models import SendOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext

PAGE = Path(__file__).parent.parent / "docs" / "conformance_statement.md"
_IMPLEMENTATION_ROOT = PYNETDICOM_IMPLEMENTATION_UID.rsplit(".", 3)[0]
_BLOCK = re.compile(r"(<!-- table: (?P<name>[a-z ]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def _named(uid: str) -> str:
    return f"{UID(uid).name} `{uid}`"


def _identity() -> str:
    return _table(
        ("item", "value"),
        [
            ("Implementation Class UID", f"pynetdicom's: `{_IMPLEMENTATION_ROOT}.` and its release"),
            ("Implementation Version Name", "pynetdicom's: `PYNETDICOM_` and the digits of its release"),
            ("Longest P-DATA PDU received", f"{negotiation.LARGEST_PDU_RECEIVED_BYTES} bytes"),
            ("Presentation contexts of one association", f"at most {negotiation.MOST_CONTEXTS}"),
            ("Associations side by side", f"{SendOptions().associations}, at most 32 (`SendOptions.associations`)"),
        ],
    )


def _contexts() -> Iterator[ProposedContext]:
    yield from (echo.CONTEXT, commitment.CONTEXT, query.CONTEXT)


def _services() -> str:
    rows = [
        (_named(context.sop_class_uid), "SCU", "<br>".join(map(_named, context.transfer_syntax_uids)))
        for context in _contexts()
    ]
    query_syntaxes = "<br>".join(map(_named, lines.QUERY_SYNTAXES))
    rows += [(_named(uid), "SCU", query_syntaxes) for uid in (lines.STUDY_ROOT_GET, lines.STUDY_ROOT_MOVE)]
    rows.append(("the SOP class of each instance that is sent", "SCU", "see below"))
    rows.append(
        (
            "the storage classes of instances that are fetched by C-GET or C-MOVE",
            "SCP",
            "all in which the peer may send them",
        )
    )
    return _table(("SOP class", "role", "transfer syntaxes proposed"), rows)


def _transfer_syntaxes() -> str:
    return _table(
        ("what", "transfer syntaxes"),
        [
            ("proposed beside the instance's own", "<br>".join(map(_named, DEFAULT_SYNTAXES))),
            ("converted into each other", "<br>".join(map(_named, sorted(UNCOMPRESSED)))),
            (
                "written where a peer takes neither the instance's own nor an uncompressed one",
                "<br>".join(map(_named, lossless_encoders())),
            ),
        ],
    )


def _statuses() -> str:
    exact = [(f"{code:04X}", status.explain(code)) for code in status.EXACT_MEANINGS]
    ranges = [(f"{first:04X} to {last:04X}", status.explain(last)) for first, last, _ in status.RANGES_OF_MEANINGS]
    other = [("any other", status.explain(0x0FFF))]
    return _table(
        ("status", "what it means", "outcome", "tried again"),
        [
            (code, known.meaning, f"`{known.outcome.value}`", "yes" if known.retryable else "no")
            for code, known in [*exact, *ranges, *other]
        ],
    )


def _patience() -> str:
    fields = [(name, field) for name, field in SendOptions.model_fields.items() if name.endswith("_s")]
    return _table(
        ("wait", "default", "for"),
        [(f"`{name}`", f"{field.default:g} s", field.description) for name, field in fields],
    )


def _derived_objects() -> str:
    return _table(
        ("information object", "SOP class UID", "modules (PS3.3)"),
        [
            (name, f"`{uid}`", ", ".join(f"{module} ({MODULES[module][0]})" for module in modules))
            for uid, (name, modules) in IODS.items()
        ],
    )


def _modules() -> str:
    rows = []
    for name, (section, types) in MODULES.items():
        by_type = {
            kind: [keyword for keyword, each in types.items() if each == kind] for kind in ("1", "1C", "2", "2C")
        }
        told = "<br>".join(f"{kind}: {' '.join(keywords)}" for kind, keywords in by_type.items() if keywords)
        rows.append((name, section, told))
    return _table(("module", "section", "attributes by type"), rows)


TABLES = {
    "identity": _identity,
    "services": _services,
    "transfer syntaxes": _transfer_syntaxes,
    "statuses": _statuses,
    "patience": _patience,
    "derived objects": _derived_objects,
    "modules": _modules,
}


def filled(page: str) -> str:
    """Returns the page with its tables made anew from the code."""
    return _BLOCK.sub(lambda block: f"{block[1]}{TABLES[block['name']]()}{block[3]}", page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
