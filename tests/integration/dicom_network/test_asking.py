from __future__ import annotations

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import SendOptions
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults


def test_an_echo_tells_its_timing() -> None:
    with FakePacs() as pacs:
        result = PynetdicomSender().echo(pacs.peer)
    assert result.ok
    assert result.status == 0
    assert result.connect_s > 0
    assert result.echo_s > 0
    assert str(result).startswith(f"{pacs.peer.address} answers: association in ")


def test_an_echo_that_fails_tells_why() -> None:
    with FakePacs(Faults(calling_ae_titles=["OTHER"])) as pacs:
        rejected = PynetdicomSender("OURS").echo(pacs.peer)
    assert not rejected.ok
    assert rejected.reason.startswith("rejected the association: it does not know our AE title 'OURS'; add it there")
    gone = PynetdicomSender().echo(pacs.peer)
    assert str(gone) == f"{pacs.peer.address} does not answer: nothing listens on this port; check host and port"


def test_an_echo_does_not_wait_for_ever() -> None:
    with FakePacs(Faults(delay_s=60)) as pacs:
        result = PynetdicomSender().echo(pacs.peer, options=SendOptions(dimse_timeout_s=0.1))
    assert result.reason == "the peer did not answer in time"


def test_a_probe_lists_what_is_accepted() -> None:
    faults = Faults(
        refuse_classes=["1.2.840.10008.5.1.4.1.1.4"], accept_syntaxes=[str(ExplicitVRLittleEndian), str(RLELossless)]
    )
    with FakePacs(faults) as pacs:
        found = {context.sop_class_uid: context for context in PynetdicomSender().probe(pacs.peer)}
    ct = found[str(CTImageStorage)]
    assert ct.name == "CT Image Storage"
    assert ct.transfer_syntax_uids == (str(ExplicitVRLittleEndian), str(RLELossless))
    mr = found["1.2.840.10008.5.1.4.1.1.4"]
    assert not mr.accepted
    assert mr.reason == "the peer does not accept this SOP class"
    assert found["1.2.840.10008.1.1"].accepted
    assert found["1.2.840.10008.1.20.1"].accepted
    assert not pacs.arrivals


def test_a_probe_without_a_peer_is_an_error() -> None:
    with FakePacs() as pacs:
        gone = pacs.peer
    with pytest.raises(PeerUnreachableError):
        PynetdicomSender().probe(gone)
