"""Model sync: what a backend lists becomes models and links; what the user has made of them stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from provider_router.chat import Capability
from provider_router.configuration.editor import Editor
from provider_router.configuration.links import is_open
from provider_router.configuration.names import model_id_problems
from provider_router.configuration.options import provider_record
from provider_router.store import LinkRecord, ModelRecord

if TYPE_CHECKING:
    from provider_router.providers.provider import ModelInfo


@frozen(kw_only=True)
class ModelDiff:
    """What a sync of a provider changes, or has changed.

    Attributes:
        provider: its id.
        added: models that the backend lists and that get a link, in the order of the list.
        created: those of them that are no models here yet.
        unlisted: links to what the backend does not list any more; they stay unless they are pruned.
        pruned: models whose links were removed.
        unfit: listed names that can be no model's id.
        linked: links that are there already and listed.
        closes: whether the provider took any model name before, and takes linked ones afterwards.
    """

    provider: str
    added: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    unlisted: tuple[LinkRecord, ...] = ()
    pruned: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()
    linked: int = 0
    closes: bool = False


@frozen
class ModelSync:
    """`admin.sync`. It asks no backend: it is handed what one lists (`model_lists.list_models`, `router.models`)."""

    _editor: Editor

    def diff(self, provider: str, listed: Sequence[ModelInfo]) -> ModelDiff:
        """What `apply` would do.

        Args:
            provider: its id.
            listed: what its backend lists.

        Raises:
            UnknownProvider: there is no such provider.
        """
        store = self._editor.store
        provider_record(self._editor, provider)
        links = store.links.list(provider_id=provider)
        served = {link.remote_name or link.model_id for link in links}
        names = list(dict.fromkeys(info.id for info in listed))
        unfit = tuple(name for name in names if list(model_id_problems(name)))
        # A link may call a model by another name, and another model by this one: the user's word stands.
        taken = {link.model_id for link in links}
        added = tuple(name for name in names if name not in served | taken and name not in unfit)
        return ModelDiff(
            provider=provider,
            added=added,
            created=tuple(name for name in added if name not in store.models),
            unlisted=tuple(link for link in links if (link.remote_name or link.model_id) not in names),
            unfit=unfit,
            linked=sum((link.remote_name or link.model_id) in names for link in links),
            closes=bool(added) and is_open(self._editor, provider),
        )

    def apply(self, provider: str, listed: Sequence[ModelInfo], *, prune: Iterable[str] = ()) -> ModelDiff:
        """Link what the backend lists, with models where there are none; one change, with one record.

        Links, defaults and parameters that are there stay as they are.

        Args:
            provider: its id.
            listed: what its backend lists.
            prune: models whose links are removed, of those that are not listed; the models stay.

        Returns:
            What was changed.

        Raises:
            UnknownProvider: there is no such provider.
        """
        with self._editor.change() as change:
            store = self._editor.store
            diff = self.diff(provider, listed)
            infos = {info.id: info for info in listed}
            gone = [link for link in diff.unlisted if link.model_id in set(prune)]
            models = [_model(infos[name]) for name in diff.created]
            links = [_link(provider, infos[name]) for name in diff.added]
            for model in models:
                store.models.add(model)
            for link in links:
                store.links.add(link)
            for link in gone:
                store.links.remove(provider, link.model_id)
            diff = evolve(diff, pruned=tuple(link.model_id for link in gone))
            if links or gone:
                what = f"synced the models of provider {provider}: {', '.join(_counts(diff))}"
                change.tell(what, noun="link", subject=provider, before=gone, after=[*models, *links])
        return diff


def _counts(diff: ModelDiff) -> Iterator[str]:
    if diff.added:
        yield f"{len(diff.added)} linked"
    if diff.pruned:
        yield f"{len(diff.pruned)} unlinked"


def _model(info: ModelInfo) -> ModelRecord:
    said = info.capabilities or (None if info.chat else frozenset({Capability.EMBEDDINGS}))
    return ModelRecord(id=info.id, name=info.id, capabilities=tuple(sorted(said)) if said else None)


def _link(provider: str, info: ModelInfo) -> LinkRecord:
    """A link without a wish, but that an embedding model is not asked to chat."""
    return LinkRecord(provider_id=provider, model_id=info.id, capabilities=() if info.chat else ("-chat",))
