"""Plans which presentation contexts to propose for instances, and chooses the context of each instance.

A peer accepts one transfer syntax of each context. So each transfer syntax in which instances of a class are encoded
gets a context of its own: if a context proposed several, the peer might accept one that forces us to convert instances,
or one in which compressed instances cannot be sent. One more context for each class proposes the two common
uncompressed syntaxes, unless they have a context already, for instances that must be decoded for the peer (PS3.5,
section 10.1, requires the default syntax, too). An association has room for 128 contexts.
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
    """The properties of an instance that matter for the negotiation of contexts; many instances share one kind."""

    sop_class_uid: str
    transfer_syntax_uid: str
    recompress: bool = False
    """Whether to propose lossless compressions, because the peer refused the instance's own transfer syntax and the
    uncompressed ones."""
    preferred: str = ""
    """A transfer syntax that the peer prefers, if such instances can be converted to it; otherwise empty."""

    @classmethod
    def of(cls, instance: Outgoing, peer: Peer, options: SendOptions) -> Kind:
        """Returns the kind of an instance that is sent to a peer."""
        own = instance.transfer_syntax_uid
        wanted = (peer.transfer_syntax_uid or "") if options.transcode else ""
        # compressed pixels are never compressed in another way: they stay as they are, or are decoded
        convertible = wanted != own and (own in UNCOMPRESSED or wanted in UNCOMPRESSED)
        return cls(instance.sop_class_uid, own, preferred=wanted if convertible else "")

    def without_preference(self) -> Kind:
        """Returns the same kind without a preferred syntax, for an instance that cannot be converted."""
        return replace(self, preferred="")

    @property
    def compressed(self) -> bool:
        """Whether the syntax is compressed or deflated."""
        return self.transfer_syntax_uid not in UNCOMPRESSED


@dataclass
class Batch:
    """Kinds of instances that are sent over one association, and the contexts that they need."""

    kinds: list[Kind] = field(default_factory=list)
    contexts: tuple[ProposedContext, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The context and the transfer syntax with which an instance is sent."""

    context_id: int
    transfer_syntax_uid: str


@dataclass(frozen=True)
class Refusal:
    """The peer accepted no context for an instance."""

    reason: str
    recompress: bool
    """Whether it may be accepted in a lossless compression, which another association has to propose."""


def plan(kinds: Iterable[Kind], *, transcode: bool = True, most_contexts: int = MOST_CONTEXTS) -> list[Batch]:
    """Distributes kinds over as few associations as their contexts allow, in the given order.

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
    """Chooses a context for a kind: its preferred syntax if possible; or its own, an uncompressed or a lossless one."""
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
    reason = "; ".join(reasons) or "the peer accepted no transfer syntax in which it can be sent"
    return Refusal(
        reason, recompress=transcode and not kind.recompress and not class_refused and bool(lossless_encoders())
    )
