"""Ports of the loopback interface at which a server of a test can begin to listen, also some time later."""

from __future__ import annotations

import os
import random
import socket
from itertools import cycle
from pathlib import Path

__all__ = ["free_port"]

_GIVEN_TO_CONNECTIONS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _LOWEST_GIVEN = 10_240, 32_768
_PROCESSES = 32


def free_port() -> int:
    """Returns a port that nothing listens at, and that the system gives to no connection by itself.

    The system gives ports of its own range to every connection, and keeps each for a minute after the end of the
    connection: a port of that range which is free now may be taken when a server is started. The processes of a
    parallel run choose among different ports.
    """
    for port in _candidates:
        try:
            with socket.create_server(("", port)):
                return port
        except OSError:
            continue
    raise AssertionError("unreachable: the candidates have no end")


def _own_ports() -> list[int]:
    """Lists the ports of this process of a parallel run, in an order that no other run has."""
    lowest_given = _LOWEST_GIVEN
    if _GIVEN_TO_CONNECTIONS.exists():
        lowest_given = int(_GIVEN_TO_CONNECTIONS.read_text(encoding="ascii").split()[0])
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    below = range(_LOWEST, lowest_given) or range(_LOWEST, _LOWEST_GIVEN)
    ports = below[number % _PROCESSES :: _PROCESSES]
    return random.SystemRandom().sample(ports, len(ports))


_candidates = cycle(_own_ports())
