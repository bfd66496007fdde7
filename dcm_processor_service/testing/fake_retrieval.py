"""C-GET and C-MOVE of an archive over a few datasets, with faults on request."""

from __future__ import annotations

from copy import deepcopy
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmread
from pynetdicom import build_context

from dcm_processor_service.testing.fake_query import matching

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pynetdicom import evt

    from dcm_processor_service.testing.fake_faults import Faults

__all__ = ["file_of", "got", "moved", "to_send"]

_PENDING, _CANCELLED = 0xFF00, 0xFE00


def file_of(dataset: Dataset) -> bytes:
    """Writes a dataset as a DICOM file."""
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def to_send(held: Mapping[str, bytes], query: Dataset, faults: Faults) -> list[Dataset]:
    """Returns the instances to send for a request, in the order of ``held``, withheld or altered as ``faults`` says."""
    found = matching((dcmread(BytesIO(content)) for content in held.values()), query)
    return [_altered(one, faults) for one in found if str(one.SOPInstanceUID) not in faults.withholds]


def _altered(dataset: Dataset, faults: Faults) -> Dataset:
    changes = faults.alters.get(str(dataset.SOPInstanceUID))
    if changes is None:
        return dataset
    altered = deepcopy(dataset)
    for keyword, value in changes.items():
        setattr(altered, keyword, value)
    altered.file_meta.MediaStorageSOPInstanceUID = altered.SOPInstanceUID
    return altered


def got(event: evt.Event, instances: list[Dataset], drop_after: int | None) -> Iterator[Any]:
    """Answers a C-GET as pynetdicom requires: yields the number, then each instance; aborts after ``drop_after``."""
    yield len(instances)
    yield from _sent(event, instances, drop_after)


def moved(
    event: evt.Event,
    instances: list[Dataset],
    destination: tuple[str, int, dict[str, Any]],
    drop_after: int | None,
    status: int,
) -> Iterator[Any]:
    """Answers a C-MOVE as pynetdicom requires: yields the destination, the number, then each instance.

    Args:
        event: The request.
        instances: What to send.
        destination: The host and port, and arguments for opening the association.
        drop_after: The number of instances after which the association is aborted; None for never.
        status: The final status; unless it is 0, nothing is sent.
    """
    host, port, manners = destination
    kinds = {(str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID)) for one in instances}
    yield host, port, {**manners, "contexts": [build_context(uid, syntax) for uid, syntax in sorted(kinds)]}
    yield len(instances)
    if status:
        yield status, None
        return
    yield from _sent(event, instances, drop_after)


def _sent(event: evt.Event, instances: list[Dataset], drop_after: int | None) -> Iterator[Any]:
    for number, dataset in enumerate(instances):
        if event.is_cancelled:
            yield _CANCELLED, None
            return
        if number == drop_after:
            event.assoc.abort()
            return
        yield _PENDING, dataset
