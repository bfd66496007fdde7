"""Tokens in a stored document that record the operations applied to it.

A write whose answer is lost may have been applied. It is safe to repeat the write if the document shows whether it was
applied. A lane is a name that one operation at a time uses. For each lane, the document keeps the id of the lane's last
operation, so it has at most as many entries as it ever had concurrent writers.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from bson import Int64, ObjectId

from dcm_processor_service.ports.forks import SharedLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.backends.mongo.documents import Document

__all__ = ["Operation", "Operations", "increment_change", "set_change"]

_NUMBERS = ["int", "long", "double", "decimal", "missing"]
_INTEGERS = ["int", "long", "missing"]


class Operation(NamedTuple):
    """One operation on a document: its id, and the lane that it uses."""

    lane: str
    id: ObjectId

    @property
    def field(self) -> str:
        """The field of a document that holds the last operation of the lane."""
        return f"operations.{self.lane}"

    def was_applied(self) -> Document:
        """Returns a query condition that holds for documents to which this operation was applied."""
        return {f"{self.field}.id": self.id}


class Operations:
    """The lanes of one process; several threads and tasks may use them."""

    def __init__(self) -> None:
        self._lock = SharedLock()
        self._free: list[str] = []
        self._pid = os.getpid()

    @contextmanager
    def new(self) -> Iterator[Operation]:
        """Yields a new operation; its lane is free again at the end of the block."""
        with self._lock:
            if self._pid != os.getpid():  # a forked child has lanes of its own
                self._free, self._pid = [], os.getpid()
            lane = self._free.pop() if self._free else secrets.token_hex(6)
        try:
            yield Operation(lane, ObjectId())
        finally:
            with self._lock:
                self._free.append(lane)


def increment_change(new: Document, by: float, operation: Operation) -> list[Document]:
    """Returns the update that adds to a number only once, however often it is sent, and records the sum.

    The server refuses a value that is not a number (code 241), and a sum of integers beyond 64 bits (code 28766).
    """
    number = {"$ifNull": ["$value", 0]}
    total: Any = {"$add": [number, Int64(by) if isinstance(by, int) and abs(by) >= 2**31 else by]}
    refused_type = {"$toInt": {"$concat": ["no number: ", {"$type": "$value"}]}}
    if isinstance(by, int):
        beyond = {"$and": [{"$in": [{"$type": "$value"}, _INTEGERS]}, {"$eq": [{"$type": total}, "double"]}]}
        refused_sum = {"$ln": {"$min": [-1, {"$multiply": [number, 0]}]}}
        total = {"$cond": [beyond, refused_sum, total]}
    total = {"$cond": [{"$in": [{"$type": "$value"}, _NUMBERS]}, total, refused_type]}
    seen = {"$eq": [f"${operation.field}.id", operation.id]}
    fields = {
        **{name: {"$ifNull": [f"${name}", value]} for name, value in new.items()},
        "value": {"$cond": [seen, "$value", total]},
        operation.field: {"$cond": [seen, f"${operation.field}", {"id": operation.id, "sum": total}]},
    }
    return [{"$set": fields}]


def set_change(new: Document, value: Any, operation: Operation) -> list[Document]:
    """Returns the update that stores a value; it changes no byte of a document that holds this value already.

    It records the operation only in a document that it makes or changes. The update holds the value only once, because
    an update may be no larger than a document.
    """
    fields = {name: content for name, content in new.items() if not name.startswith("operations.")}
    made = {name.partition(".")[2]: content for name, content in new.items() if name.startswith("operations.")}
    is_new = {"$eq": [{"$type": "$_id"}, "missing"]}
    recorded = {"$mergeObjects": [{"$cond": [is_new, made, "$operations"]}, {operation.lane: {"id": operation.id}}]}
    same = {"$and": [{"$eq": ["$value", "$$stored"]}, {"$eq": [{"$type": "$value"}, {"$type": "$$stored"}]}]}
    kept = {"$cond": [same, "$operations", recorded]}
    own = {
        "$cond": [is_new, fields, {}]
    }  # only for a new document: they would change the order of the fields of an old one
    changed = {"$mergeObjects": [own, "$$ROOT", {"value": "$$stored", "operations": kept}]}
    return [{"$replaceWith": {"$let": {"vars": {"stored": {"$literal": value}}, "in": changed}}}]
