"""Providers of a type of the tests' own, over real loopback backends."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from provider_router.plugin import Limits, OpenAICompatibleProvider

# Proportions as in the defaults, so that nothing waits for minutes.
QUICK = Limits(timeout=1.0, connect=1.0, first_token=0.5, idle=0.5, check_after=0.2, max_answer_bytes=1024 * 1024)


class Quick(OpenAICompatibleProvider):
    """A backend with short limits, as long as no option says otherwise."""

    type = "quick"
    label = "Quick"
    limits: ClassVar[Limits] = QUICK
    free_check: ClassVar[bool] = True


@pytest.fixture
def quick() -> Any:
    return Quick
