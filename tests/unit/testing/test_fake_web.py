"""The DICOMweb service of a fake archive: it has time for a busy client, and none for a silent one once it closes."""

from __future__ import annotations

import socket
import time
import urllib.request
from urllib.parse import urlsplit

from dcm_processor_service.testing import FakePacs, fake_web


def test_a_client_that_says_nothing_keeps_no_archive_from_closing() -> None:
    with FakePacs() as pacs:
        url = str(pacs.web_peer.url)
        place = urlsplit(url)
        assert place.port is not None
        silent = socket.create_connection((place.hostname, place.port), timeout=fake_web._PATIENCE_S)
        with urllib.request.urlopen(f"{url}/studies", timeout=fake_web._PATIENCE_S) as answer:
            assert answer.read() == b"[]"  # it has accepted the silent one before
        began = time.monotonic()
    took_s = time.monotonic() - began
    with silent:
        assert silent.recv(1) == b""
    assert took_s < fake_web._PATIENCE_S - 5
