"""A service that moves from 0.0.1: the old entry and the new one stand side by side, and return the same mean.

Try it::

    dcm-processor-service check examples/migrated_service
    dcm-processor-service run examples/migrated_service --sample
"""

from .after import after
from .before import before

__all__ = ["after", "before"]
