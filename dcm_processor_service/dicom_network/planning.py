"""Which presentation contexts to propose, from the instances themselves, and which one an instance goes over.

A peer picks one transfer syntax of a context. So each syntax that instances of a class have gets a context of its own:
a peer that picked another one would leave compressed instances without a way, and have uncompressed ones converted that
could go as they are. What is left of the two common uncompressed syntaxes shares one more context a class, the way for
what the peer wants decoded (and PS3.5, 10.1, asks for the default syntax). An association has room for 128 contexts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.conversion.transcoding import UNCOMPRESSED, lossless_encoders
from dcm_processor_service.dicom_network.dimse.negotiation import MOST_CONTEXTS, Agreement, ProposedContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dcm_processor_service.dicom_network.sources import Outgoing
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["DEFAULT_SYNTAXES", "Batch", "Choice", "Kind", "Refusal", "choose", "plan"]

DEFAULT_SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


@dataclass(frozen=True)
class Kind:
    """What instances have in common that the negotiation is about."""

    sop_class_uid: str
    transfer_syntax_uid: str
    recompress: bool = False
    """The peer refused both its syntax and the uncompressed ones."""
    preferred: str = ""
    """Another syntax that the peer prefers, and that such instances can be converted to; empty where there is none."""

    @classmethod
    def of(cls, instance: Outgoing, peer: Peer, options: SendOptions) -> Kind:
        """The kind of an instance, on its way to a peer."""
        own = instance.transfer_syntax_uid
        wanted = (peer.transfer_syntax_uid or "") if options.transcode else ""
        # compressed pixels stay as they are or are decoded: compressing them anew has no use
        convertible = wanted != own and (own in UNCOMPRESSED or wanted in UNCOMPRESSED)
        return cls(instance.sop_class_uid, own, preferred=wanted if convertible else "")

    def without_preference(self) -> Kind:
        """The kind of an instance that turned out not to be convertible."""
        return replace(self, preferred="")

    @property
    def compressed(self) -> bool:
        """The data set needs a context of its own."""
        return self.transfer_syntax_uid not in UNCOMPRESSED


@dataclass
class Batch:
    """Kinds that one association can carry."""

    kinds: list[Kind] = field(default_factory=list)
    contexts: tuple[ProposedContext, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The way an instance goes."""

    context_id: int
    transfer_syntax_uid: str


@dataclass(frozen=True)
class Refusal:
    """No way for an instance."""

    reason: str
    recompress: bool
    """Another association may take it in a lossless compression."""


def plan(kinds: Iterable[Kind], *, transcode: bool = True, most_contexts: int = MOST_CONTEXTS) -> list[Batch]:
    """Spreads kinds over as few associations as their contexts need, in the order in which they come.

    Example:
        >>> ct = "1.2.840.10008.5.1.4.1.1.2"
        >>> batches = plan([Kind(ct, "1.2.840.10008.1.2.1"), Kind(ct, "1.2.840.10008.1.2.4.90")])
        >>> [context.transfer_syntax_uids for context in batches[0].contexts]
        [('1.2.840.10008.1.2.1',), ('1.2.840.10008.1.2.4.90',), ('1.2.840.10008.1.2',)]
    """
    batches: list[Batch] = []
    for kind in dict.fromkeys(kinds):
        for batch in batches:
            contexts = _contexts([*batch.kinds, kind], transcode=transcode)
            if len(contexts) <= most_contexts:
                break
        else:
            batch = Batch()
            batches.append(batch)
            contexts = _contexts([kind], transcode=transcode)
        batch.kinds.append(kind)
        batch.contexts = contexts
    return batches


def _contexts(kinds: list[Kind], *, transcode: bool) -> tuple[ProposedContext, ...]:
    proposed: dict[ProposedContext, None] = {}
    fallbacks: dict[str, None] = {}
    for kind in kinds:
        own = lossless_encoders() if kind.recompress else (kind.transfer_syntax_uid,)
        if kind.preferred:
            proposed[ProposedContext(kind.sop_class_uid, (kind.preferred,))] = None
        for syntax in own:
            proposed[ProposedContext(kind.sop_class_uid, (syntax,))] = None
        if not kind.recompress and (transcode or not kind.compressed):
            fallbacks[kind.sop_class_uid] = None
    for sop_class_uid in fallbacks:
        left = tuple(uid for uid in DEFAULT_SYNTAXES if ProposedContext(sop_class_uid, (uid,)) not in proposed)
        if left:
            proposed[ProposedContext(sop_class_uid, left)] = None
    return tuple(proposed)


def choose(kind: Kind, agreed: Mapping[int, Agreement], *, transcode: bool = True) -> Choice | Refusal:
    """Finds the way for instances of a kind: as the peer prefers, as they are, uncompressed, or compressed."""
    mine = {number: answer for number, answer in agreed.items() if answer.proposed.sop_class_uid == kind.sop_class_uid}
    accepted = {answer.transfer_syntax_uid: number for number, answer in mine.items() if answer.accepted}
    if kind.preferred in accepted:
        return Choice(accepted[kind.preferred], kind.preferred)
    if kind.transfer_syntax_uid in accepted:
        return Choice(accepted[kind.transfer_syntax_uid], kind.transfer_syntax_uid)
    if transcode or not kind.compressed:
        for syntax in (*DEFAULT_SYNTAXES, *UNCOMPRESSED):
            if syntax in accepted:
                return Choice(accepted[syntax], syntax)
    if kind.recompress:
        for syntax in lossless_encoders():
            if syntax in accepted:
                return Choice(accepted[syntax], syntax)
    reasons = list(dict.fromkeys(answer.reason for answer in mine.values() if not answer.accepted))
    class_refused = any(answer.class_refused for answer in mine.values())
    reason = "; ".join(reasons) or "the peer accepted no transfer syntax that it can go in"
    return Refusal(
        reason, recompress=transcode and not kind.recompress and not class_refused and bool(lossless_encoders())
    )
