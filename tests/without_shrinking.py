"""A plug-in of pytest for the mutation run: a property that fails is not made small, which takes a minute each time."""

from __future__ import annotations

from hypothesis import Phase, settings

settings.register_profile("without shrinking", phases=[Phase.explicit, Phase.generate], database=None)
settings.load_profile("without shrinking")
