"""Checks what would happen to instances if they were sent: reads and, if necessary, converts each, but sends none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.association import open_association
from dcm_processor_service.dicom_network.parcels import UNSENDABLE, why_unsendable
from dcm_processor_service.dicom_network.planning import Choice, Kind, Refusal, choose, plan
from dcm_processor_service.dicom_network.repeats import WHY_NOT, conflicting
from dcm_processor_service.dicom_network.sources import Outgoing, Unreadable, UnreadableInstanceError, survey
from dcm_processor_service.models import CheckedInstance, LeftOutFile, Outcome, SendCheck, Verdict
from dcm_processor_service.models.files import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from dcm_processor_service.models import Peer, SendOptions
    from dcm_processor_service.ports import Sendable

__all__ = ["check_sending"]

_UNKNOWN = "whether a DICOMweb peer accepts it shows only when it is sent"


def check_sending(
    items: Sendable | Iterable[Sendable], peer: Peer, options: SendOptions, calling_ae_title: str
) -> SendCheck:
    """Checks each instance, then asks the peer about each kind of instance (SOP class and transfer syntax).

    Raises:
        PeerUnreachableError: No association could be opened.
        InvalidSeriesError: A folder holds no instance to send.
    """
    records: dict[int, CheckedInstance] = {}
    sound: dict[int, Outgoing] = {}
    left_out: list[LeftOutFile] = []
    found = list(survey(items))
    conflicts = conflicting(found)
    for position, one in enumerate(found):
        if isinstance(one, LeftOutFile):
            left_out.append(one)
        elif isinstance(one, Unreadable):
            records[position] = CheckedInstance(verdict=Verdict.UNSOUND, path=one.path, meaning=one.reason)
        elif (problem := _problem(one, conflicts)) is not None:
            records[position] = problem
        else:
            sound[position] = one
    kinds = {position: Kind.of(one, peer, options) for position, one in sound.items()}
    asked = {*kinds.values(), *(kind.without_preference() for kind in kinds.values())}
    ways = _ways(asked, peer, options, calling_ae_title)
    for position, one in sound.items():
        kind = kinds[position]
        record = _record(one, ways.get(kind))
        if kind.preferred and record.verdict is Verdict.NOT_TAKEN:  # cannot be converted to the preferred syntax
            record = _record(one, ways.get(kind.without_preference()))
        records[position] = record
    in_order = tuple(record for _, record in sorted(records.items()))
    return SendCheck(peer=peer.address, records=in_order, left_out=tuple(left_out))


def _problem(instance: Outgoing, conflicts: Collection[str]) -> CheckedInstance | None:
    try:
        instance.require_sound()
        problem = WHY_NOT if instance.sop_instance_uid in conflicts else ""
    except UnreadableInstanceError as error:
        problem = str(error)
    if problem:
        path = printable(instance.source) if isinstance(instance.source, Path) else ""
        return CheckedInstance(
            verdict=Verdict.UNSOUND,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            path=path,
            meaning=problem,
        )
    return None


def _ways(kinds: set[Kind], peer: Peer, options: SendOptions, calling_ae_title: str) -> dict[Kind, Choice | Refusal]:
    """Asks the peer whether it accepts kinds of instances.

    If it refuses a kind that might be sent in a lossless compression, it is asked again about that.
    """
    if peer.url is not None:
        return {}
    ways = _ask(sorted(kinds, key=str), peer, options, calling_ae_title)
    again = {
        replace(kind, recompress=True): kind
        for kind, way in ways.items()
        if isinstance(way, Refusal) and way.recompress
    }
    for kind, way in _ask(list(again), peer, options, calling_ae_title).items():
        ways[again[kind]] = way
    return ways


def _ask(kinds: list[Kind], peer: Peer, options: SendOptions, calling_ae_title: str) -> dict[Kind, Choice | Refusal]:
    ways: dict[Kind, Choice | Refusal] = {}
    for batch in plan(kinds, transcode=options.transcode):
        with open_association(peer, batch.contexts, options, calling_ae_title) as association:
            for kind in batch.kinds:
                ways[kind] = choose(kind, association.agreed, transcode=options.transcode)
    return ways


def _record(instance: Outgoing, way: Choice | Refusal | None) -> CheckedInstance:
    record = CheckedInstance(
        verdict=Verdict.AS_IT_IS,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        meaning=_UNKNOWN if way is None else "",
        transfer_syntax_uid=instance.transfer_syntax_uid,
        has_meta_information=instance.is_part10,
    )
    if isinstance(way, Refusal):
        return _changed(record, Verdict.NOT_TAKEN, way.reason)
    if way is None or way.transfer_syntax_uid == instance.transfer_syntax_uid:
        return record
    try:
        instance.open_file(way.transfer_syntax_uid).close()  # converts it, as only this shows whether it is possible
    except UNSENDABLE as error:
        outcome, meaning = why_unsendable(error)
        return _changed(record, Verdict.NOT_TAKEN if outcome is Outcome.REFUSED else Verdict.UNSOUND, meaning)
    return _changed(record, Verdict.CONVERTED, "", way.transfer_syntax_uid)


def _changed(record: CheckedInstance, verdict: Verdict, meaning: str, transfer_syntax_uid: str = "") -> CheckedInstance:
    return record.model_copy(
        update={"verdict": verdict, "meaning": meaning, "transfer_syntax_uid": transfer_syntax_uid}
    )
