"""The hooks that a plugin can implement. A hook ships only with a plugin that needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from provider_router.providers.provider import Provider

PROJECT = "provider_router"
"""Project name of the hooks, and group of the entry points."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_providers() -> Sequence[type[Provider]]:  # type: ignore[empty-body]
    """The provider types of this plugin: classes, each with its `type`."""
