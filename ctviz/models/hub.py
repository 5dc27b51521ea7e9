"""The hub: which revisions a model has there and here, why it gives none, and what was borrowed.

A revision is a branch or a tag of a model's repository, written behind its id:
``EleutherAI/pythia-70m@step512``. Without torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CachedRepoInfo, HFCacheInfo, constants
from huggingface_hub.errors import (
    CacheNotFound,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ctviz.errors import MissingModel, Unreachable
from ctviz.files import read_json, write_json
from ctviz.models.stored import at_revision, is_whole

__all__ = ["Borrowed", "causes", "refused", "revisions_at_hub", "revisions_here"]

BUSY = (429, 500, 502, 503, 504)  # answers of a hub that may give another one later


def revisions_at_hub(repo: str) -> list[str]:
    """The branches and then the tags of a hub id, as the hub lists them.

    Raises Unreachable if it does not answer, and MissingModel if it has no such model.
    """
    from huggingface_hub import list_repo_refs

    try:
        refs = list_repo_refs(repo)
    except Exception as error:
        reason = refused(error, f"The list of revisions of {repo!r}", repo)
        if reason is None:
            raise
        raise reason from error
    return list(dict.fromkeys(each.name for each in (*refs.branches, *refs.tags)))


def revisions_here(repo: str) -> list[str]:
    """The revisions of a hub id, by name, that are whole in the hub's cache on this machine."""
    cached = _cached(repo)
    return sorted(name for name in (cached.refs if cached else ()) if is_whole(f"{repo}@{name}"))


class Borrowed:
    """Commits of models that were brought into the hub's cache for a while.

    What was in the cache before is none of them, also under another name. ``file`` holds them as
    long as there are any, so that a job which is killed and goes on knows its own.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._commits = set(read_json(file)["commits"]) if file.is_file() else set[str]()

    @contextmanager
    def bringing(self, model: str) -> Iterator[None]:
        """What is downloaded inside, of a hub id with a revision, is borrowed."""
        repo, revision = at_revision(model)
        if not revision:
            yield
            return
        before = _commits(_cached(repo))
        try:
            yield
        finally:
            cached = _cached(repo)
            self._keep(self._commits | {_commit(cached, revision)} & _commits(cached) - before)

    def let_go(self, model: str) -> None:
        """Delete a model's revision if it is borrowed, but for files that others share."""
        repo, revision = at_revision(model)
        if revision and self._commits:
            self._delete(self._commits & {_commit(_cached(repo), revision)})

    def let_all_go(self) -> None:
        """Delete all that is borrowed."""
        self._delete(self._commits)

    def _delete(self, commits: set[str]) -> None:
        if commits and (cache := _cache()):
            cache.delete_revisions(*sorted(commits)).execute()
            self._keep(self._commits - commits)

    def _keep(self, commits: set[str]) -> None:
        if commits:
            write_json(self._file, {"commits": sorted(commits)})
        else:
            self._file.unlink(missing_ok=True)
        self._commits = commits


def _cache() -> HFCacheInfo | None:
    from huggingface_hub import scan_cache_dir

    try:
        return scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return None


def _cached(repo: str) -> CachedRepoInfo | None:
    cache = _cache()
    found = (each for each in cache.repos if each.repo_type == "model") if cache else ()
    return next((each for each in found if each.repo_id == repo), None)


def _commit(cached: CachedRepoInfo | None, revision: str) -> str:
    """The commit of a revision that is a name, or of one that is a commit itself."""
    found = cached.refs.get(revision) if cached else None
    return found.commit_hash if found else revision


def _commits(cached: CachedRepoInfo | None) -> set[str]:
    return {each.commit_hash for each in cached.revisions} if cached else set()


def refused(error: BaseException, what: str, where: str) -> MissingModel | None:
    """Why the hub gives no model or no list, as an error of ours; None if that is not the reason.

    ``what``: as a sentence begins, such as "The model 'gpt2'"; ``where``: a hub id, maybe with a
    revision. A model that is gated, and a hub that does not answer, are Unreachable.
    """
    repo, revision = at_revision(where)
    page = f"https://huggingface.co/{repo}"
    found = list(causes(error))
    if any(isinstance(each, GatedRepoError) or _gated(each) for each in found):
        return Unreachable(
            f"{what} is gated: the hub gives it to those who have accepted its licence. Accept "
            f"it at {page}, then run `hf auth login` here (or set HF_TOKEN)."
        )
    answered = any(
        isinstance(each, RepositoryNotFoundError | RevisionNotFoundError) for each in found
    )
    if any(
        isinstance(each, OfflineModeIsEnabled | ConnectionError | TimeoutError)
        or _silent(each)
        or (isinstance(each, LocalEntryNotFoundError) and not answered)
        for each in found
    ):
        return Unreachable(
            f"{what} is not on this machine, and the hub (huggingface.co) cannot be reached "
            "from here. The first time it needs a network; or give a folder that holds the "
            "model."
        )
    if any(isinstance(each, RevisionNotFoundError) for each in found):
        return MissingModel(
            f"{what} is not at the hub: {repo} has no revision {revision or 'main'}. {page} lists "
            "those that it has."
        )
    if any(isinstance(each, RepositoryNotFoundError | HFValidationError) for each in found):
        return MissingModel(
            f"{what} is not at the hub, or it is private. Look at {page}; for a private one run "
            "`hf auth login` here."
        )
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _silent(error: BaseException) -> bool:
    """Whether the network failed, or the hub has said that it cannot answer now."""
    if isinstance(error, HfHubHTTPError):
        return error.response is not None and error.response.status_code in BUSY
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)  # of httpx


def _gated(error: BaseException) -> bool:
    return isinstance(error, OSError) and "gated repo" in str(error)
