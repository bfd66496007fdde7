"""A sending passes its arguments to the sender, and keeps a journal so that the same sending later sends the rest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.errors import ConfigurationError, DerivedObjectError, PeerNotFoundError, SendRejectedError
from dcm_processor_service.models import (
    AcceptedContext,
    EchoResult,
    InstanceRecord,
    Outcome,
    Peer,
    PeerProposal,
    SendOptions,
    SendReport,
    StorageCommitment,
)
from dcm_processor_service.session.network.sending import journal_key
from dcm_processor_service.testing import fake_async_context, fake_context, synthetic_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from dcm_processor_service import Container, RuntimeContext
    from dcm_processor_service.ports import Sendable

PACS = Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242)
WEB = Peer(name="WEB", ae_title="ORTHANC", host="127.0.0.1", port=4242, url="https://pacs.example/dicom-web")
PINNED = "sending-337812f83b7bb8b8552d7cbd2d3320fd"
PINNED_WEB = "sending-1841d09c26f239c375b1298c08412ef7"


class NotingSender:
    """A sender with a given number of instances; acknowledges some of them, and records its arguments."""

    def __init__(self, outcomes: Iterable[Outcome] = (Outcome.STORED,)) -> None:
        self.outcomes = list(outcomes)
        self.items: list[Any] = []
        self.peers: list[Peer] = []
        self.options: list[SendOptions] = []
        self.known: list[dict[str, InstanceRecord]] = []
        self.cancelled: list[bool] = []

    def identify(self, items: Sendable | Iterable[Sendable]) -> list[str]:
        assert isinstance(items, list)
        self.items.append(items)
        return [f"1.2.{number}" for number in range(len(self.outcomes))]

    def send(
        self,
        items: Sendable | Iterable[Sendable],
        peer: Peer,
        *,
        options: SendOptions = SendOptions(),  # noqa: B008  frozen
        acknowledged: Mapping[str, InstanceRecord] | None = None,
        on_record: Callable[[InstanceRecord], None] | None = None,
        on_begin: Callable[[Sequence[str]], None] | None = None,
        may_hold: Callable[[str], bool] = bool,
        on_commitment: Callable[[StorageCommitment], None] | None = None,
        cancelled: Callable[[], bool] = bool,
    ) -> SendReport:
        assert items is self.items[-1]
        self.peers.append(peer)
        self.options.append(options)
        self.known.append(dict(acknowledged or {}))
        self.cancelled.append(cancelled())
        records = [
            InstanceRecord(sop_instance_uid=f"1.2.{number}", outcome=outcome, attempts=1)
            for number, outcome in enumerate(self.outcomes)
        ]
        records = [self.known[-1].get(record.sop_instance_uid, record) for record in records]
        assert on_record is not None
        assert on_begin is not None
        assert on_commitment is not None
        assert not may_hold("1.3")
        on_begin([record.sop_instance_uid for record in records])
        for record in records:
            on_record(record)
        report = SendReport(peer=peer.address, records=tuple(records))
        if not report.ok:
            raise SendRejectedError("not all is stored", report)
        return report

    def echo(self, peer: Peer, *, options: SendOptions | None = None) -> EchoResult:
        del options
        self.peers.append(peer)
        return EchoResult(peer="fake", ok=True)

    def probe(self, peer: Peer, *, options: SendOptions | None = None) -> list[AcceptedContext]:
        del options
        self.peers.append(peer)
        return [AcceptedContext(sop_class_uid="1.2")]

    def propose(self, peer: Peer, *, options: SendOptions | None = None) -> PeerProposal:
        del options
        self.peers.append(peer)
        return PeerProposal(peer=peer)

    def check(self, peer: Peer) -> None:
        if peer.ca_file == "missing":
            raise ConfigurationError("missing")


def by(sender: NotingSender) -> Callable[[Container], None]:
    """Returns the function that makes a fake context use this sender."""

    def customise(container: Container) -> None:
        container.sender.override(sender)

    return customise


def sending(sender: NotingSender, **settings: Any) -> RuntimeContext:
    made: RuntimeContext = fake_context(
        series=synthetic_series(slices=3), peers=[PACS, WEB], customise=by(sender), **settings
    )
    return made


def test_one_parcel_or_several_of_any_kind_become_datasets_and_paths(tmp_path: Path) -> None:
    sender = NotingSender()
    ctx = sending(sender)
    dicom = ctx.session.dicom
    series, (dataset,) = dicom.get_series(), synthetic_series(slices=1)
    parcels: list[tuple[Any, list[Any]]] = [
        (tmp_path, [tmp_path]),
        (str(tmp_path), [str(tmp_path)]),
        (dataset, [dataset]),
        (series, series.paths()),
        ([series, tmp_path, dataset], [*series.paths(), tmp_path, dataset]),
        ((part for part in (dataset, str(tmp_path))), [dataset, str(tmp_path)]),
        ([], []),
    ]
    for what, items in parcels:
        assert dicom.send(what, to="PACS").ok
        assert sender.items[-1] == items
    assert len(series.paths()) == 3


def test_two_datasets_that_differ_under_one_uid_are_refused_before_anything_is_sent() -> None:
    sender = NotingSender()
    dicom = sending(sender).session.dicom
    one, other, another = synthetic_series(slices=3)
    assert dicom.send([one, one, other], to="PACS").ok
    another.SOPInstanceUID = one.SOPInstanceUID
    with pytest.raises(DerivedObjectError, match=f"two of the datasets have the SOPInstanceUID {one.SOPInstanceUID}"):
        dicom.send([one, other, another], to="PACS")
    assert len(sender.peers) == 1
    for nameless in (one, other):
        nameless.SOPInstanceUID = ""
    assert dicom.send([one, other], to="PACS").ok


def test_an_asynchronous_series_becomes_its_files() -> None:
    sender = NotingSender()

    async def send(ctx: Any) -> None:
        series = await ctx.session.dicom.get_series()
        await ctx.session.dicom.send(series, to=PACS)
        await ctx.session.dicom.send([series, series], to=PACS)
        paths = await series.paths()
        assert sender.items == [paths, [*paths, *paths]]

    series = synthetic_series(slices=3)
    asyncio.run(send(fake_async_context(series=series, customise=by(sender))))


def test_the_peer_is_looked_up_by_name_and_the_options_are_the_callers() -> None:
    sender = NotingSender()
    ctx = sending(sender)
    ctx.session.dicom.send("folder", to="WEB")
    ctx.session.dicom.send("folder", to=PACS, options=SendOptions(associations=2))
    assert [peer.name for peer in sender.peers] == ["WEB", "PACS"]
    assert sender.peers[1] is PACS
    assert sender.options == [SendOptions(), SendOptions(associations=2)]


def test_the_sender_notices_when_the_job_is_cancelled() -> None:
    sender = NotingSender()
    containers: list[Container] = []

    def customise(container: Container) -> None:
        container.sender.override(sender)
        containers.append(container)

    ctx = fake_context(customise=customise)
    ctx.session.dicom.send("folder", to=PACS)
    containers[0].cancellation().cancel()
    ctx.session.dicom.send("folder", to=PACS)
    assert sender.cancelled == [False, True]


def test_the_names_of_journals_are_those_of_earlier_releases() -> None:
    """With another name, a sending interrupted before an upgrade would send everything again."""
    assert journal_key(PACS, ["1.2.3", "1.2.4"]) == PINNED
    assert journal_key(PACS, ["1.2.4", "1.2.3", "1.2.3"]) == PINNED
    assert journal_key(WEB, ["1.2.3", "1.2.4"]) == PINNED_WEB
    assert journal_key(PACS, ["1.2.31.2.4"]) not in {PINNED, PINNED_WEB}
    assert journal_key(PACS, ["1.2.31", ".2.4"]) != journal_key(PACS, ["1.2.3", "1.2.4"])


@pytest.mark.parametrize("method", ["echo", "probe"])
def test_a_peer_is_asked_by_its_name_or_as_it_is(method: str) -> None:
    sender = NotingSender()
    peers = sending(sender).session.peers
    ask = getattr(peers, method)
    assert ask("WEB") == ask(PACS) == getattr(NotingSender(), method)(PACS)
    assert [peer.name for peer in sender.peers] == ["WEB", "PACS"]
    with pytest.raises(PeerNotFoundError, match="no DICOM peer is named 'CT'; known peers: PACS, WEB"):
        ask("CT")


def test_a_certificate_that_cannot_be_used_is_reported_when_the_peer_is_looked_up() -> None:
    secure = PACS.model_copy(update={"name": "SECURE", "tls": True, "ca_file": "missing"})
    plain = secure.model_copy(update={"name": "PLAIN", "tls": False})
    sender = NotingSender()
    peers = fake_context(peers=[secure, plain], customise=by(sender)).session.peers
    for look_up in (peers.current, lambda: peers.get("SECURE"), lambda: peers.echo("SECURE")):
        with pytest.raises(ConfigurationError, match="missing"):
            look_up()
    assert sender.peers == []
    assert peers.get("PLAIN").name == "PLAIN"
