"""Registry functions: decided by the header document, never raising, quick to import, plain in what they add."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import BaseModel

from dcm_processor_service import Patient, SeriesRecord, SeriesRules, Study, accepts
from dcm_processor_service.errors import CallbackSignatureError, UnsupportedValueError
from dcm_processor_service.testing import fake_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERIES: dict[str, Any] = {
    "_id": "2" * 24,
    "Instances": ["3" * 24] * 30,
    "Metadata": {
        "Modality": "CT",
        "SeriesDescription": "Thorax of Doe",
        "BodyPartExamined": "CHEST",
        "SeriesNumber": 4,
        "PatientName": "Doe^John",
    },
}


class Params(BaseModel):
    """Params of a job."""

    threshold: float = 0.5


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO):
        yield caplog
    assert "Doe" not in caplog.text


def called(registry: Callable[..., object], headers: Any = SERIES, **more: Any) -> tuple[bool, dict[str, Any]]:
    return fake_registry(registry, headers=headers, **more)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"modality": "CT", "min_slices": 30, "description": "thorax"}, None),
        ({"body_part": "chest", "series_number": (4, 4), "not_description": "abdomen"}, None),
        ({"modality": ("MR", "PT")}, "modality is CT, not MR or PT"),
        ({"min_slices": 31}, "it has 30 slices, fewer than 31"),
        ({"description": "abdomen"}, "description does not match 'abdomen'"),
        ({"not_description": "thorax"}, "description matches 'thorax'"),
        ({"series_number": (5, None)}, "series number is 4, not 5 to any"),
    ],
)
def test_rules_decide_by_the_header_document_with_the_sentences_of_select(
    log: pytest.LogCaptureFixture, rules: dict[str, Any], reason: str | None
) -> None:
    assert called(accepts(SeriesRules(**rules)), job_name="segment") == (reason is None, {})
    expected = [f"the registry declines the job 'segment' for the series {'2' * 24}: {reason}"]
    assert log.messages == (expected if reason else [])


@pytest.mark.parametrize("rule", [{"plane": "axial"}, {"kind": "volume"}, {"convertible": True}, {"kernel": "B"}])
def test_a_rule_that_no_header_document_decides_is_refused_at_once(rule: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedValueError, match=f"does not state {next(iter(rule))}; leave that to the job"):
        accepts(SeriesRules(**rule))


def test_what_the_document_does_not_say_meets_no_rule(log: pytest.LogCaptureFixture) -> None:
    bare = {"_id": "2" * 24, "Instances": []}
    assert called(accepts(SeriesRules(modality="CT")), bare) == (False, {})
    assert called(accepts(SeriesRules(series_number=(1, 2))), bare) == (False, {})
    assert [text.partition(": ")[2] for text in log.messages] == [
        "modality is not said, not CT",
        "series number is not known",
    ]


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        (Study(id="4" * 24, metadata={"ModalitiesInStudy": ["CT", "SR"]}, series_ids=("2" * 24,)), "study"),
        (Patient(id="6" * 24, metadata={"ModalitiesInPatient": ["CT", "SR"]}, study_ids=("4" * 24,)), "patient"),
    ],
)
def test_one_series_of_a_study_or_patient_must_have_the_modality_and_nothing_else_is_decided(
    log: pytest.LogCaptureFixture, subject: Study | Patient, told: str
) -> None:
    assert called(accepts(SeriesRules(modality="SR")), subject) == (True, {})
    assert called(accepts(SeriesRules(modality="MR")), subject) == (False, {})
    assert called(accepts(SeriesRules(modality="CT", min_slices=2)), subject) == (False, {})
    assert "modality is CT and SR, not MR" in log.messages[0]
    assert f"of a {told} does not state min_slices; give the job the event stable-series" in log.messages[1]


def test_params_that_do_not_fit_decline_the_job_and_those_that_do_are_added_with_their_defaults(
    log: pytest.LogCaptureFixture,
) -> None:
    registry = accepts(SeriesRules(modality="CT"), params=Params)
    assert called(registry) == (True, {"threshold": 0.5})
    assert called(registry, params={"threshold": 0.25}) == (True, {"threshold": 0.25})
    assert called(registry, params={"threshold": "high"}) == (False, {})
    assert "the params of the job 'job' do not fit Params" in log.messages[0]


def test_a_function_is_given_what_it_names() -> None:
    def larger(headers: dict[str, Any], params: Params, **others: Any) -> tuple[bool, dict[str, Any]]:
        assert set(others) == {"session_id", "job_name", "added_params"}
        return len(headers["Instances"]) > params.threshold, {"before": others["added_params"]}

    assert called(accepts(larger, params=Params), added_params={"first": {}}) == (True, {"before": {"first": {}}})
    assert called(accepts(lambda job_name: job_name == "job")) == (True, {})
    assert called(accepts(lambda: [1])) == (True, {})
    assert called(accepts(lambda headers: headers["Instances"][:0])) == (False, {})


def test_a_function_that_fails_declines_and_the_log_says_where_but_not_what_of(log: pytest.LogCaptureFixture) -> None:
    def fails(headers: dict[str, Any]) -> bool:
        raise LookupError(headers["Metadata"]["PatientName"])

    def leaves() -> bool:
        sys.exit(2)

    assert called(accepts(fails)) == called(accepts(leaves)) == (False, {})
    assert f"LookupError in fails, line {fails.__code__.co_firstlineno + 1} of {__file__}" in log.messages[0]
    assert "SystemExit in leaves" in log.messages[1]


@pytest.mark.parametrize("error", [GeneratorExit(), asyncio.CancelledError(), type("Panic", (BaseException,), {})()])
def test_an_error_of_any_kind_declines(error: BaseException) -> None:
    def fails() -> bool:
        raise error

    assert called(accepts(fails)) == (False, {})


class Hostile(dict[str, Any]):
    """A document that fails whatever is asked of it."""

    def __contains__(self, key: object) -> bool:
        raise LookupError

    def get(self, *_: Any) -> Any:
        raise LookupError


@pytest.mark.parametrize("headers", [None, [], "CT", 7, {"Instances": 5}, {"Metadata": [1]}, Hostile()])
def test_a_document_that_is_not_the_platforms_declines_without_an_error(headers: Any) -> None:
    by_rules: Callable[..., object] = accepts(SeriesRules(modality="CT", min_slices=1))
    by_function: Callable[..., object] = accepts(lambda headers: headers["Metadata"]["Modality"] == "CT")
    assert by_rules(headers=headers) == by_function(headers=headers) == (False, {})


def test_a_missing_argument_counts_as_empty() -> None:
    registry: Callable[..., object] = accepts(SeriesRules(modality="CT"))
    assert registry() == registry(headers=None, params=None) == (False, {})
    assert registry(headers=SERIES) == (True, {})


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (False, "returned False"),
        (None, "returned None"),
        ("", "returned nothing"),
        ((True, ["threshold"]), "adds a list to the params; return (True, a dictionary)"),
    ],
)
def test_an_answer_that_declines_is_reported(log: pytest.LogCaptureFixture, returned: object, reason: str) -> None:
    assert called(accepts(lambda: returned)) == (False, {})
    assert log.messages[0].endswith(reason)


def test_what_is_added_is_plain_and_the_scheduler_keeps_its_own_documents() -> None:
    def changes(headers: dict[str, Any], params: dict[str, Any]) -> tuple[bool, dict[Any, Any]]:
        headers["Instances"].clear()
        params["threshold"] = 3
        found_at = datetime(2024, 2, 29, tzinfo=timezone.utc)
        return True, {"array": np.arange(2), "huge": 2**70, 3: found_at}

    headers = {"_id": "2" * 24, "Instances": ["3" * 24]}
    params = {"threshold": 1}
    added = {"array": [0, 1], "huge": str(2**70), "3": "2024-02-29T00:00:00+00:00"}
    assert called(accepts(changes), headers, params=params) == (True, added)
    assert (headers["Instances"], params) == (["3" * 24], {"threshold": 1})


def test_what_cannot_decide_is_refused_when_the_registry_is_made(log: pytest.LogCaptureFixture) -> None:
    async def later() -> bool:
        return True

    def wants_more(headers: dict[str, Any], patient: str) -> bool:
        return bool(headers and patient)

    wrong: list[tuple[Any, str]] = [
        (later, "the scheduler waits"),
        (wants_more, "wants_more wants patient"),
        ({"modality": "CT"}, "give SeriesRules or a function"),
    ]
    for function, told in wrong:
        with pytest.raises(CallbackSignatureError, match=told):
            accepts(function)
    returns_coroutine: Callable[..., object] = lambda: later()  # noqa: E731, PLW0108  no async def by itself
    assert called(accepts(returns_coroutine)) == (False, {})
    assert "returned a coroutine" in log.messages[0]


def test_other_functions_are_called_as_the_scheduler_calls_and_reads_them() -> None:
    assert called(lambda **_given: (1, "no dictionary")) == (True, {})
    assert called(lambda **_given: []) == (False, {})
    with pytest.raises(ZeroDivisionError):
        called(lambda **_given: 1 / 0)


def test_a_record_becomes_the_document_that_the_scheduler_hands_over() -> None:
    series = SeriesRecord(
        id="2" * 24, patient_uid="p", study_instance_uid="1.2", series_instance_uid="1.2.3", instance_ids=("3" * 24,)
    )
    _, seen = called(lambda headers, **_given: (True, headers), series)
    assert seen == {
        "_id": "2" * 24,
        "PatientUID": "p",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.2.3",
        "Instances": ["3" * 24],
        "Metadata": {},
    }


def test_a_registry_of_rules_is_imported_and_called_without_any_library() -> None:
    script = (
        "import sys\n"
        "from dcm_processor_service import SeriesRules, accepts\n"
        "registry = accepts(SeriesRules(modality='CT', min_slices=1))\n"
        "given = dict(session_id='5', job_name='j', added_params={}, params={})\n"
        "headers = {'Instances': ['3'], 'Metadata': {'Modality': 'CT'}}\n"
        "assert registry(headers=headers, **given) == (True, {})\n"
        "heavy = 'numpy pydicom nibabel pydantic pymongo bson asyncio'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
