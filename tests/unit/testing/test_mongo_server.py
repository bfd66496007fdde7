"""The port of a MongoDB of a test run: free until its server listens there, and another in each process."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.testing import mongo_server
from tests.ports import free_port

GIVEN_TO_CONNECTIONS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_port_is_one_that_the_system_may_give_to_a_connection_meanwhile() -> None:
    lowest = int(GIVEN_TO_CONNECTIONS.read_text().split()[0]) if GIVEN_TO_CONNECTIONS.exists() else 32_768
    if lowest <= 20_000:
        lowest = 1 << 16  # this machine gives all of them
    assert max(free_port(), mongo_server._free_port()) < lowest


def test_processes_that_are_seeded_alike_have_ports_of_their_own() -> None:
    ports = set()
    for _ in range(8):
        random.seed(2026)
        ports.add(mongo_server._free_port())
    assert len(ports) > 1


def test_where_no_port_is_free_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr(mongo_server, "_PORTS", range(port, port + 1))
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigurationError, match="is taken"):
        mongo_server._free_port()
