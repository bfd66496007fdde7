"""Spells medical words as the terminologies do, which is the American way."""

from __future__ import annotations

import re

__all__ = ["american"]

_AMERICAN = {
    "tumour": "tumor", "oedema": "edema", "oesoph": "esoph", "haem": "hem", "ischaem": "ischem", "caec": "cec",
    "grey": "gray", "fibre": "fiber", "foet": "fet",
}  # fmt: skip


def american(name: str) -> str:
    """Returns a name in lower case and in American spelling.

    Example:
        >>> american("Brain tumour"), american("haemorrhage"), american("grey matter"), american("liver")
        ('brain tumor', 'hemorrhage', 'gray matter', 'liver')
    """
    return re.sub("|".join(_AMERICAN), lambda found: _AMERICAN[found[0]], name.lower())
