"""Warns of kinds of MongoDB deployments that endanger acknowledged writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.backends.mongo.driver.collection import Collection

__all__ = ["deployment_warnings"]

_STANDALONE = (
    "MongoDB is a standalone: if its machine or disk fails, all results are lost, and no other server takes over; "
    "run a replica set of three members that hold data"
)
_ARBITER = (
    "MongoDB is a replica set with an arbiter: while one member that holds data is down, no write is "
    "acknowledged; replace the arbiter with a member that holds data"
)


async def deployment_warnings(collection: Collection) -> list[str]:
    """Returns a sentence for each thing about the deployment that endangers data or availability."""
    hello = await collection.command("hello")
    if hello.get("msg") == "isdbgrid":  # a router does not show its replica sets
        return []
    if "setName" not in hello:
        return [_STANDALONE]
    if hello.get("arbiters"):
        return [_ARBITER]
    return []
