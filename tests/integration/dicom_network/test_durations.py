"""Durations in reports are not longer than the call, as measured by another clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.models import FindQuery, SendOptions
from dcm_processor_service.testing.fake_pacs import FakePacs
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service.dicom_network.sender import PynetdicomSender


def timed(call: Callable[[], object]) -> float:
    """Returns the seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began + 0.05  # two clocks may differ a little


def test_a_report_of_a_sending_is_as_long_as_its_instances_and_no_longer_than_the_call(
    sender: PynetdicomSender,
) -> None:
    with FakePacs() as pacs:
        reports = []
        seconds = timed(lambda: reports.append(sender.send([make_ct(number) for number in range(3)], pacs.peer)))
        (report,) = reports
        of_instances = [record.duration_s for record in report.records]
        assert all(one > 0 for one in of_instances)
        assert sum(of_instances) <= report.duration_s <= seconds
        echoes = []
        seconds = timed(lambda: echoes.append(sender.echo(pacs.peer, options=SendOptions(attempts=1))))
        (echo,) = echoes
        assert 0 < echo.connect_s < echo.connect_s + echo.echo_s <= seconds


def test_a_report_of_a_fetch_is_no_longer_than_the_call(tmp_path: Path) -> None:
    with FakePacs(holds=[make_ct()]) as pacs:
        retriever, reports = DicomRetriever("OURS"), []
        found = retriever.find(
            pacs.peer, FindQuery(level="study", study_instance_uid=(str(make_ct().StudyInstanceUID),))
        )
        seconds = timed(lambda: reports.append(retriever.fetch(found, pacs.peer, tmp_path)))
    assert 0 < reports[0].duration_s <= seconds
