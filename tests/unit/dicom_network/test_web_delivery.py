"""The requests of a sending by STOW-RS with prepared answers: halved, tried again, refused and given up."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from dcm_processor_service.dicom_network.dicomweb.authorization import Authorization
from dcm_processor_service.dicom_network.dicomweb.stow_sender import WebDelivery, _TemporaryError, _TooMuchError
from dcm_processor_service.dicom_network.dicomweb.web_client import WebClient
from dcm_processor_service.dicom_network.dimse.connection import PeerRefusesError
from dcm_processor_service.dicom_network.parcels import Ledger
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import ClientCredentials, InstanceRecord, Outcome, Peer, SendOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PEER = Peer(name="WEB", ae_title="WEB", host="127.0.0.1", port=4242, url="http://127.0.0.1:9/dicom-web")


class World:
    """A fake peer behind the requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.poison: set[str] = set()
        self.errors: list[Exception | None] = []
        """Errors that the requests raise in order; after the last one, only ``poison`` raises."""
        self.most = 100
        self.requests: list[list[str]] = []
        self.pauses: list[float] = []
        self.ledger = Ledger()
        monkeypatch.setattr(WebDelivery, "_attempt", lambda _delivery, group: self._answer(group))

    def _answer(self, group: list[Any]) -> None:
        self.requests.append([one.parcel.instance.sop_instance_uid for one in group])
        error = self.errors.pop(0) if self.errors else None
        if error is None and len(group) > self.most:
            error = _TooMuchError("the request is too large")
        if error is None and self.poison & set(self.requests[-1]):
            error = _TemporaryError("500 a fault", is_of_one=True)
        for one in group:
            one.parcel.attempts += 1
            if error is None:
                self.ledger.put(one.parcel.position, one.parcel.record(Outcome.STORED, "stored"))
            else:
                one.parcel.problem = str(error)
        if error is not None:
            raise error

    def send(self, count: int, *, cancelled: Callable[[], bool] = lambda: False, **options: Any) -> WebDelivery:
        made = WebDelivery(PEER, SendOptions(**options), self.ledger, self.pauses.append)
        instances: Any = [
            (
                number,
                SimpleNamespace(
                    sop_class_uid="1.2",
                    sop_instance_uid=uid,
                    transfer_syntax_uid="1.2.840.10008.1.2.1",
                    memory_bytes=1,
                    size_bytes=1,
                ),
            )
            for number, uid in enumerate(uids(count))
        ]
        made.deliver(instances, cancelled)
        made.finish()
        return made

    def records(self) -> list[InstanceRecord]:
        return [record for _, record in sorted(self.ledger.records.items())]

    def outcomes(self) -> list[str]:
        return [record.outcome.value for record in self.records()]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(
        "dcm_processor_service.dicom_network.dicomweb.stow_sender._groups", lambda one, _most: [list(one)]
    )
    return World(monkeypatch)


def uids(count: int) -> list[str]:
    return [f"1.{number}" for number in range(count)]


def test_instances_accepted_at_once_need_one_request(world: World) -> None:
    made = world.send(5)
    assert (world.requests, world.pauses, made.failure) == ([uids(5)], [], None)
    assert world.outcomes() == ["stored"] * 5


def test_a_faulty_instance_is_found_by_halves_and_fails_alone(world: World) -> None:
    world.poison = {"1.5"}
    made = world.send(8, attempts=3)
    assert world.outcomes() == ["stored"] * 5 + ["failed"] + ["stored"] * 2
    assert world.requests == [
        *[uids(8)] * 2,
        uids(4),
        *[["1.4", "1.5", "1.6", "1.7"]] * 2,
        *[["1.4", "1.5"]] * 2,
        ["1.4"],
        *[["1.5"]] * 3,
        ["1.6", "1.7"],
    ]
    failed = world.records()[5]
    assert (failed.meaning, failed.retryable, failed.attempts) == ("500 a fault", True, 9)
    assert made.failure is None


def test_a_peer_that_fails_several_single_instances_is_given_up(world: World) -> None:
    world.poison = set(uids(8))
    made = world.send(8, attempts=3)
    assert str(made.failure) == f"{made.where}: 500 a fault"
    alone = [one for (one, *others) in world.requests if not others]
    assert alone == ["1.0"] * 3 + ["1.1"] * 3 + ["1.2"] * 3
    assert world.outcomes() == ["failed"] * 8


def test_a_success_between_failures_keeps_the_peer(world: World) -> None:
    world.poison = {"1.0", "1.1", "1.3", "1.4", "1.6"}
    made = world.send(8, attempts=3)
    assert made.failure is None
    assert world.outcomes() == ["failed", "failed", "stored", "failed", "failed", "stored", "failed", "stored"]


@pytest.mark.parametrize(("after_s", "pauses"), [(0.0, [0.5, 1.0]), (7.0, [7.0, 7.0]), (90.0, [30.0, 30.0])])
def test_a_peer_that_is_busy_is_asked_again_after_as_long_as_it_says(
    world: World, after_s: float, pauses: list[float]
) -> None:
    world.errors = [_TemporaryError("503 busy", after_s=after_s)] * 2
    made = world.send(3, attempts=3)
    assert world.outcomes() == ["stored"] * 3
    assert (world.pauses, made.failure, len(world.requests)) == (pauses, None, 3)


@pytest.mark.parametrize(("attempts", "requests"), [(3, 3), (5, 5)])
def test_a_peer_that_stays_busy_is_given_up_after_as_many_requests_as_attempts(
    world: World, attempts: int, requests: int
) -> None:
    world.errors = [_TemporaryError("503 busy")] * 9
    made = world.send(3, attempts=attempts)
    assert len(world.requests) == requests
    assert len(world.pauses) == requests - 1
    assert str(made.failure) == f"{made.where}: 503 busy"
    assert {(record.outcome.value, record.retryable) for record in world.records()} == {("failed", True)}


def test_a_request_that_is_too_large_is_halved_at_no_cost_and_a_single_instance_refused(world: World) -> None:
    world.most = 2
    made = world.send(7, attempts=1)
    assert [len(one) for one in world.requests] == [7, 3, 1, 2, 4, 2, 2]
    assert (world.outcomes(), world.pauses, made.failure) == (["stored"] * 7, [], None)
    world.most, world.ledger.records = 0, {}
    world.requests.clear()
    world.send(2)
    assert [(record.outcome, record.meaning) for record in world.records()] == [
        (Outcome.REFUSED, "the request is too large")
    ] * 2


def test_a_refusal_for_good_ends_the_sending(world: World) -> None:
    error = PeerRefusesError("403 not allowed")
    world.errors = [error]
    made = world.send(3)
    assert made.failure is error
    assert [record.retryable for record in world.records()] == [False] * 3
    assert len(world.requests) == 1


def test_a_token_that_cannot_be_fetched_raises_a_configuration_error(world: World) -> None:
    world.errors = [ConfigurationError("the token service refuses")]
    with pytest.raises(ConfigurationError, match="the token service refuses"):
        world.send(3)


def test_instances_left_by_a_cancelled_sending_were_not_attempted(world: World) -> None:
    made = world.send(3, cancelled=lambda: True)
    assert (world.requests, made.failure) == ([], None)
    assert [(record.outcome, record.meaning, record.retryable) for record in world.records()] == [
        (Outcome.NOT_ATTEMPTED, "cancelled", True)
    ] * 3


def test_each_thread_has_one_connection_that_a_late_answer_is_cut_on() -> None:
    client = WebClient(PEER, SendOptions())
    own = client._streams
    own["now"] = "a connection"
    others: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: others.append(client._streams))
    thread.start()
    thread.join()
    assert client._streams is own
    assert others == [{}]
    client.close()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is not a file"), ("garbage", "holds no certificate in PEM form")]
)
def test_an_unusable_ca_file_of_the_token_service_is_reported(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    auth = ClientCredentials(
        token_url="https://login.example/token", client_id="service", client_secret=SecretStr("s"), ca_file=str(file)
    )
    with pytest.raises(ConfigurationError, match=f"the ca_file of the token service of the peer 'WEB' {said}"):
        Authorization(PEER, auth)._trust(auth)
    assert Authorization(PEER, auth)._trust(auth.model_copy(update={"ca_file": None})).check_hostname
