"""`prouter status`: how every provider stands, why, and until when."""

from __future__ import annotations

import re

import pytest

from provider_router import Router
from provider_router.backends import Backend, status
from provider_router.errors import ProviderError


def ask(*models: str) -> None:
    """In another process than the command's, which leaves its notes beside the database."""
    with Router() as router:
        for model in models:
            with pytest.raises(ProviderError):
                router.chat("hi", model=model)


def test_what_another_process_has_found_is_told_with_its_reason_and_until_when(prouter, answer, desk: Backend) -> None:
    desk.script(status(429, retry_after=100))
    ask("pelican-7b")
    doubt = "doubted, another process found it throttled: HTTP 429"
    [row] = prouter("status", "--no-check").stdout.splitlines()[4:]
    assert re.search(rf"{doubt}, until \d\d:\d\d:\d\d$", row)
    [told] = answer("status", "--no-check")["providers"]
    assert ("doubted", doubt) == (told["state"], f"{told['state']}, {told['reason']}")
    assert told["until"]
    [row] = prouter("status").stdout.splitlines()[4:]
    assert re.search(rf"ok, .*; {doubt}, until \d\d:\d\d:\d\d$", row)  # how it stood when it was asked
    assert answer("status")["providers"][0]["state"] == "ready"  # a good check has ended it


def test_a_model_that_is_not_well_is_told_by_its_name(prouter, answer, desk: Backend) -> None:
    desk.script(status(404, code="model_not_found"))
    ask("gone")
    [row] = prouter("status", "--no-check").stdout.splitlines()[4:]
    assert re.search(r"ready; gone: doubted, another process found it flagged: HTTP 404, until [\d:]{8}$", row)
    [told] = answer("status", "--no-check")["providers"]
    assert ["gone"] == [model["model"] for model in told["models"]]
