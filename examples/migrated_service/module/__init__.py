"""A service of 0.0.1 on its way: both entries stand side by side, and find the same.

Try it::

    dcm-processor-service check examples/migrated_service
    dcm-processor-service run examples/migrated_service --sample
"""

from .after import after
from .before import before

__all__ = ["after", "before"]
