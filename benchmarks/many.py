"""Many configured providers: a request is to pay for its candidates, not for all that there are."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.calls import BODY, repeated
from benchmarks.measure import Effort, Row, Run, compare
from benchmarks.upstream import TEXT
from provider_router import Admin, AsyncRouter

FEW = 10
# So many providers serve each model, so that every plan has the same number of candidates.
EACH = 2


def rows(base_url: str, effort: Effort) -> Iterator[Row]:
    """A call among few and among many, all at `base_url`."""
    many = effort.providers
    yield from compare(
        "a call among configured providers",
        {f"{count:,} providers": among(count, base_url) for count in (FEW, many)},
        effort=effort,
        goals={f"{many:,} providers": 1.2},
    )


@contextlib.contextmanager
def among(count: int, base_url: str) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "provider-router.db"
        with Admin(database) as admin, admin.atomic():
            for number in range(count):
                id, model = f"backend-{number}", f"model-{number // EACH}"
                admin.providers.add(id, type="openai-compatible", config={"baseURL": base_url})
                if number % EACH == 0:
                    admin.models.add(model)
                admin.links.link(id, model)
        router = AsyncRouter(database)
        body = BODY | {"model": f"model-{count // EACH // 2}"}

        async def once() -> None:
            answer = await router.chat(body)
            assert (answer.text, len(answer.attempts)) == (TEXT, 1)

        with repeated(once, router.aclose) as run:
            yield run
