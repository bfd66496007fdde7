"""Pure functions that convert between the platform's documents, with their BSON types, and our models.

Documents of other programs have ids as ObjectId or as text, in ``sessionId`` or ``session_id``: queries look for all of
these. Documents written here have the platform's own types.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from bson import Binary, CodecOptions, DatetimeConversion, DatetimeMS, Decimal128, Int64, ObjectId, Timestamp
from pymongo import IndexModel

from dcm_processor_service.codec import check_text, modelled
from dcm_processor_service.errors import StoredValueError, StoreError
from dcm_processor_service.models import Instance, Patient, Peer, SeriesRecord, StoredFile, Study, SubjectLevel
from dcm_processor_service.models.platform_ids import is_platform_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from dcm_processor_service.ports import JobKey, NewFile, NormalValue

__all__ = [
    "CHUNK_INDEXES",
    "CODEC",
    "LENIENT_CODEC",
    "NAIVE_CODEC",
    "Document",
    "by_id",
    "chunk_document",
    "chunks_query",
    "data_query",
    "either",
    "equals_literal",
    "file_change",
    "files_query",
    "id_text",
    "id_texts",
    "instance",
    "listed",
    "mapping",
    "new_data",
    "new_id",
    "newest",
    "peer",
    "plain",
    "replaced_query",
    "retirement",
    "same_document",
    "stored_file",
    "subject",
    "subject_fields",
    "subject_query",
    "subjects_of",
    "upload_mark",
    "uploads_pipeline",
    "utc",
    "whole_number",
]

Document: TypeAlias = "dict[str, Any]"

CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=timezone.utc)
"""The options for decoding documents: datetimes are aware, in UTC."""

NAIVE_CODEC: CodecOptions[Document] = CodecOptions()
"""The same with naive datetimes, which :func:`utc` and :func:`plain` make aware: a third faster for many documents."""

_NO_TEXT = "\ufdd0\ufdd1\ufdd0"
"""Code points that no text uses; they mark the place of bytes that are not UTF-8."""

_NO_TEXT_HANDLER = "dcm_processor_service.no_text"


def _no_text(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        return _NO_TEXT, 0
    return _NO_TEXT + error.object[error.start : error.end].hex(), error.end  # different bytes remain different texts


codecs.register_error(_NO_TEXT_HANDLER, _no_text)

LENIENT_CODEC: CodecOptions[Document] = CODEC.with_options(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler=_NO_TEXT_HANDLER
)
"""The options for a second read after one that failed at a datetime or text that Python cannot represent. It decodes
the rest, and :func:`plain` refuses this part."""

_PLAIN_TYPES = frozenset({bool, bytes, float, int, str, type(None)})
_FILE_NAME_HEX_DIGITS = 32
_MADE = "operations.made"
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  BSON's datetimes are naive, and in UTC
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)

CHUNK_INDEXES = (
    IndexModel([("files_id", 1), ("n", 1)], unique=True),
    IndexModel(
        [("upload.session_id", 1), ("upload.job_id", 1), ("upload.name", 1), ("files_id", 1)],
        partialFilterExpression={"upload.session_id": {"$exists": True}},
    ),
)
"""The index for reads, and the index that finds unfinished uploads."""


def new_id() -> ObjectId:
    """Returns a new id; in one process, later ids sort after earlier ones."""
    return ObjectId()


def either(*ids: str) -> Document:
    """Returns the condition that an id is one of ``ids``, stored as ObjectId or as text."""
    texts = [check_text(text, "id") for text in ids]
    return {"$in": [*(ObjectId(text) for text in texts if ObjectId.is_valid(text)), *texts]}


def id_text(value: object) -> str:
    """Returns an id as text, from ObjectId, text or Extended JSON.

    Example:
        >>> id_text({"$oid": "0123456789abcdef01234567"})
        '0123456789abcdef01234567'
    """
    if type(value) is str:
        return value
    if isinstance(value, dict):
        value = value.get("$oid", "")
    return "" if value is None else str(value)


def _owner(key: JobKey) -> Document:
    """Returns the ids of a job's key in the platform's types."""
    for what, text in (("session", key.session_id), ("job", key.job_id)):
        if not is_platform_id(text):
            raise StoreError(
                f"{text[:40]!r} is not an id of a {what}, so nothing can be stored for it; ids have 24 hex digits"
            )
    return {"session_id": ObjectId(key.session_id), "job_id": ObjectId(key.job_id)}


def mapping(value: Any) -> Mapping[str, Any]:
    """Returns a part of a document that should be a mapping; any other value counts as empty."""
    if value is None or type(value) is dict:
        return value or {}
    return value if isinstance(value, Mapping) else {}  # a check against an ABC takes ten times as long


def listed(value: Any) -> Sequence[Any]:
    """Returns a part of a document that should be a list; any other value counts as empty."""
    return value if isinstance(value, (list, tuple)) else ()


def id_texts(values: Any) -> Any:
    """Returns a list of ids as text; None becomes an empty list; :func:`modelled` refuses any other value."""
    return tuple(map(id_text, values)) if isinstance(values, (list, tuple)) else values or ()


def utc(value: Any) -> Any:
    """Returns a naive datetime as an aware one, in UTC, as BSON stores it; returns any other value unchanged."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return _LONG_AGO + (value - _NAIVE_EPOCH)  # takes a tenth of the time of ``replace``
    return value


def plain(value: Any, what: str) -> NormalValue:
    """Returns a stored value in plain Python types: no Int64, no ObjectId (its text), no Binary (its bytes).

    Raises:
        StoredValueError: The value holds a BSON type that this function does not convert, such as a regular expression.
    """
    if type(value) is str and _NO_TEXT in value:
        raise StoredValueError(f"{what} holds a text that is not UTF-8; store it again")
    if type(value) in _PLAIN_TYPES:
        return value
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, dict):
        return {key: plain(item, what) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, what) for item in value]
    return _plain_scalar(value, what)


def _plain_scalar(value: Any, what: str) -> NormalValue:
    if isinstance(value, Int64):
        return int(value)
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, Binary):
        return bytes(value)
    if isinstance(value, Decimal128):
        return float(value.to_decimal())
    if isinstance(value, Timestamp):
        return value.as_datetime()
    if isinstance(value, DatetimeMS):
        raise StoredValueError(
            f"{what} holds a datetime outside Python's, which has the years 1 to 9999; store it again"
        )
    raise StoredValueError(f"{what} holds a BSON {type(value).__name__}, which is not supported; store another value")


def whole_number(field: str) -> Document:
    """Returns an expression for a field's value as an integer; 0 if it is not a number from 0 to 2 to the 62."""
    fits = [{"$isNumber": field}, {"$gte": [field, 0]}, {"$lt": [field, 2**62]}]
    return {"$cond": [{"$and": fits}, {"$toLong": field}, 0]}


# session data


def data_query(key: JobKey, name: str | None = None) -> Document:
    """Returns the query for the values of a job, or for one of them by name."""
    query: Document = {"session_id": either(key.session_id), "job_id": either(key.job_id)}
    return query if name is None else {**query, "name": check_text(name, "name")}


def equals_literal(field: str, value: NormalValue) -> Document:
    """Returns the condition that a field equals a value as a whole.

    An ordinary condition would look into arrays, and would match None to a missing field. An expression does neither,
    distinguishes bools from numbers, and treats NaN as equal to itself.
    """
    return {"$expr": {"$eq": [f"${field}", {"$literal": value}]}}


def new_data(key: JobKey, name: str) -> Document:
    """Returns the fields of a new document of session data, except its value.

    Its ``_id`` follows from session, job and name: if two writers make it at the same time, the second one finds the
    first one's document, without an index. A field with a new id distinguishes it from a document of the same ``_id``
    that was removed before.
    """
    owner = _owner(key)
    digest = hashlib.sha256(owner["session_id"].binary + owner["job_id"].binary + name.encode()).digest()
    return {"_id": ObjectId(digest[:12]), **owner, _MADE: new_id()}


def same_document(row: Document) -> Document:
    """Returns the condition that a document is the one of ``row``, not one made later under the same ``_id``.

    For a document of another program, the ``_id`` is enough, because it is never used again.
    """
    made = mapping(row.get("operations")).get("made")
    return {"_id": row["_id"]} if made is None else {"_id": row["_id"], _MADE: made}


# session files (GridFS)


def files_query(key: JobKey, name: str | None = None) -> Document:
    """Returns the query for the files of a job, or for all versions of one file."""
    return {f"metadata.{field}": condition for field, condition in data_query(key, name).items()}


def replaced_query(key: JobKey, name: str, document: Document) -> Document:
    """Returns the query for the versions that ``document`` replaces: older ones, and any of another program.

    Two writers at the same time agree on which version is older, so that they do not both remove the other's.
    """
    version, file_id = document["version"], document["_id"]
    return {
        **files_query(key, name),
        "_id": {"$ne": file_id},
        "$or": [
            {"version": {"$lt": version}},
            {"version": version, "_id": {"$lt": file_id}},
            {"version": {"$exists": False}},  # a file of another program counts as older, whatever its date says
        ],
    }


def newest(documents: Iterable[Document]) -> Document | None:
    """Returns the newest version of a file.

    Versions of this package carry the store's logical time, which never goes back: a new primary continues after the
    last write that it knows. Files of other programs have only a date, so they are compared by date.
    """
    rows = list(documents)
    ours = [row for row in rows if isinstance(row.get("version"), Timestamp)]
    others = [row for row in rows if not isinstance(row.get("version"), Timestamp)]
    candidates = [
        *([max(ours, key=lambda row: (row["version"], id_text(row["_id"])))] if ours else []),
        *([max(others, key=lambda row: (_uploaded_at(row), id_text(row["_id"])))] if others else []),
    ]
    return max(candidates, key=_uploaded_at) if candidates else None


def _uploaded_at(document: Document) -> datetime:
    uploaded = document.get("uploadDate")
    return uploaded if isinstance(uploaded, datetime) else _LONG_AGO


def upload_mark(key: JobKey, name: str) -> Document:
    """Returns the mark of every chunk: session, job and name, by which an upload without a document is found."""
    return {**_owner(key), "name": check_text(name, "name")}


def uploads_pipeline(session_id: str, job_id: str | None = None) -> list[Document]:
    """Returns the pipeline that lists the ids and names of uploads that have chunks; it reads only the index."""
    query: Document = {"upload.session_id": either(session_id)}
    if job_id is not None:
        query |= {"upload.job_id": either(job_id)}
    return [{"$match": query}, {"$group": {"_id": "$files_id", "name": {"$first": "$upload.name"}}}]


def retirement(key: JobKey) -> Document:
    """Returns the upsert for an upload that was given up: an empty file without a name.

    While it exists, the upload cannot become visible; it is removed with the session's files.
    """
    fields = {"filename": "", "length": Int64(0), "chunkSize": 1, "metadata": _owner(key), "retired": True}
    return {"$setOnInsert": fields, "$currentDate": {"uploadDate": True}}


def file_change(key: JobKey, name: str, new: NewFile, *, size_bytes: int, sha256: str, chunk_bytes: int) -> Document:
    """Returns the upsert that makes a new version's document; the store sets its logical time and its date.

    The file name begins with the checksum. An upload by the 0.0.1 API changes the file name of this document and keeps
    the other fields, so a file name without the checksum shows that the checksum is outdated.
    """
    check_text(name, "name")
    fields = {
        "filename": sha256[:_FILE_NAME_HEX_DIGITS] + (new.extension or _extension(name)),
        "contentType": new.content_type,
        "length": Int64(size_bytes),
        "chunkSize": chunk_bytes,
        "metadata": {**new.metadata, "name": name, **_owner(key), "sha256": sha256},
    }
    return {"$currentDate": {"uploadDate": True, "version": {"$type": "timestamp"}}, "$setOnInsert": fields}


def _extension(name: str) -> str:
    _stem, *suffixes = name.rpartition("/")[2].split(".")
    return "".join(f".{suffix}" for suffix in suffixes[-2 if suffixes[-1] == "gz" else -1 :]) if suffixes else ""


def chunk_document(file_id: ObjectId, number: int, content: bytes, mark: Document) -> Document:
    """Returns one chunk of a file."""
    return {"_id": new_id(), "files_id": file_id, "n": number, "data": content, "upload": mark}


def chunks_query(file_id: object, first: int, last: int) -> Document:
    """Returns the query for chunks by number, from ``first`` to before ``last``."""
    return {"files_id": file_id, "n": {"$gte": first, "$lt": last}}


def stored_file(document: Document) -> StoredFile:
    """Reads a file's document."""
    metadata = {**mapping(document.get("metadata"))}
    name, job_id = metadata.pop("name", ""), id_text(metadata.pop("job_id", None))
    sha256 = metadata.pop("sha256", None)
    metadata.pop("session_id", None)
    if sha256 is not None and not str(document.get("filename")).startswith(str(sha256)[:_FILE_NAME_HEX_DIGITS]):
        sha256 = None  # it belongs to the content that the 0.0.1 API has replaced
    what = f"the file {name!r}"
    fields = {
        "id": id_text(document["_id"]),
        "job_id": job_id,
        "name": name,
        "size_bytes": document.get("length"),
        "content_type": document.get("contentType") or "application/octet-stream",
        "sha256": sha256,
        "metadata": plain(metadata, what),
        "uploaded_at": document.get("uploadDate"),
    }
    return modelled(StoredFile, what, fields, {"size_bytes": "length"})


# peers


_PEER_OPTIONS = (
    *("cert_file", "key_file", "ca_file", "url", "transfer_syntax_uid", "timeout_s", "connection_timeout_s"),
    *("max_associations", "max_pdu_bytes", "max_request_bytes", "tls_server_name", "certificate_sha256"),
)
"""The platform writes the fields of the three files; an operator may add the others, which only this package reads."""


def peer(document: Document) -> Peer:
    """Reads a peer's document, of ``peers`` or of ``dicomnodes``."""
    fields = {
        "id": id_text(document["_id"]),
        "name": document.get("name"),
        "ae_title": document.get("aet"),
        "calling_ae_title": document.get("calling_aet"),
        "host": document.get("host"),
        "port": document.get("port"),
        "tls": bool(document.get("tls")),
        **{name: document.get(name) or None for name in _PEER_OPTIONS},
    }
    what = f"the DICOM peer {document.get('name') or id_text(document['_id'])!r}"
    return modelled(Peer, what, fields, {"ae_title": "aet", "calling_ae_title": "calling_aet"})


# patients, studies, series, instances


class _Level(NamedTuple):
    """How the platform stores one level of the hierarchy."""

    name: str
    collection: str
    model: type[Patient | Study | SeriesRecord]
    key: str
    """The field that identifies a record besides its ``_id``."""
    uids: dict[str, str]
    """The model's UIDs, each with the document's field."""
    members: tuple[str, str]
    """The fields with the ids of the level below: the model's and the document's."""


_STUDY_UID = {"study_instance_uid": "StudyInstanceUID"}
_SERIES_UIDS = {**_STUDY_UID, "series_instance_uid": "SeriesInstanceUID"}
_LEVELS = {
    SubjectLevel.PATIENT: _Level("patient", "patients", Patient, "PatientUID", {}, ("study_ids", "Studies")),
    SubjectLevel.STUDY: _Level("study", "studies", Study, "StudyInstanceUID", _STUDY_UID, ("series_ids", "Series")),
    SubjectLevel.SERIES: _Level(
        "series", "series", SeriesRecord, "SeriesInstanceUID", _SERIES_UIDS, ("instance_ids", "Instances")
    ),
}


def subject(level: SubjectLevel, document: Mapping[str, Any]) -> Patient | Study | SeriesRecord:
    """Reads a patient, study or series; also the snapshot of one in a job's headers."""
    shape = _LEVELS[level]
    fields = subject_fields(level, document)
    return modelled(shape.model, _what(level, fields["id"]), fields, shape.uids)


def subject_fields(level: SubjectLevel, document: Mapping[str, Any]) -> Document:
    """Returns the fields of the model of a patient, study or series, which are not checked yet."""
    shape = _LEVELS[level]
    ids, array = shape.members
    subject_id = id_text(document.get("_id"))
    fields = {
        "level": shape.name,
        "id": subject_id,
        "patient_uid": document.get("PatientUID") or "",
        "metadata": plain(metadata, _what(level, subject_id)) if (metadata := document.get("Metadata")) else {},
        ids: id_texts(members) if (members := document.get(array)) else (),
    }
    for field, uid in shape.uids.items():
        fields[field] = document.get(uid) or ""
    return fields


def _what(level: SubjectLevel, subject_id: str) -> str:
    return f"the {level.value} {subject_id}"


def subjects_of(level: SubjectLevel) -> str:
    """Returns the name of a level's collection."""
    return _LEVELS[level].collection


def subject_query(level: SubjectLevel, id_or_uid: str) -> Document:
    """Returns the query for one record by id (24 hex digits), instance UID or the platform's patient hash."""
    if is_platform_id(check_text(id_or_uid, "id or UID")):
        return {"_id": either(id_or_uid)}
    return {_LEVELS[level].key: id_or_uid}


def parent_query(level: SubjectLevel, child_id: str) -> Document:
    """Returns the query for the record of a level that lists a child."""
    return {_LEVELS[level].members[1]: either(child_id)}


def instance(instance_id: str, document: Document | None) -> Instance:
    """Reads a DICOM file's document; without a document, the instance has only its id."""
    metadata = mapping((document or {}).get("metadata"))
    fields = {
        "id": instance_id,
        "sop_instance_uid": str(metadata.get("SOPInstanceUID") or ""),
        "size_bytes": (document or {}).get("length") or 0,
    }
    return modelled(Instance, f"the instance {instance_id}", fields, {"size_bytes": "length"})


def by_id(documents: Iterable[Document]) -> dict[str, Document]:
    """Arranges documents by the text of their ids."""
    return {id_text(document["_id"]): document for document in documents}
