"""A hub on this machine's disk: revisions of one model, downloaded into a cache laid out as the
real one is."""

from __future__ import annotations

import hashlib
import os
import shutil
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError

REPO = "someone/trained"


class StandInHub:
    """``revisions``: the folder of each; ``fails``: what is raised instead of an answer;
    ``downloads``: the revisions that were asked for, in order; ``most``: how many files of weights
    the cache has held at once."""

    def __init__(self, cache: Path) -> None:
        self.cache, self.revisions = cache, dict[str, Path]()
        self.fails: Exception | None = None
        self.downloads: list[str] = []
        self.most = 0

    @property
    def place(self) -> Path:
        return self.cache / f"models--{REPO.replace('/', '--')}"

    @property
    def cached(self) -> set[str]:
        """Revisions whose snapshots the cache has."""
        refs = self.place / "refs"
        found = (ref for ref in refs.iterdir()) if refs.is_dir() else ()
        return {ref.name for ref in found if (self.place / "snapshots" / ref.read_text()).is_dir()}

    def weights(self) -> int:
        """How many files of weights lie in the cache."""
        blobs = self.place / "blobs"
        return sum(b.stat().st_size > 1e6 for b in blobs.iterdir()) if blobs.is_dir() else 0

    def list_repo_refs(self, repo: str) -> Any:
        self._answer()
        named = [SimpleNamespace(name=name) for name in self.revisions]
        return SimpleNamespace(branches=named, tags=named[:1])

    def list_repo_files(self, repo: str, *, revision: str) -> list[str]:
        self._answer()
        return sorted(file.name for file in self.revisions[revision].iterdir())

    def snapshot_download(
        self, repo: str, *, allow_patterns: list[str], tqdm_class: type, revision: str = "main"
    ) -> str:
        self._answer()
        assert repo == REPO
        if revision not in self.revisions:
            raise refusal(RevisionNotFoundError, 404)
        self.downloads.append(revision)
        commit = hashlib.sha1(str(self.revisions[revision]).encode()).hexdigest()
        snapshot, blobs = self.place / "snapshots" / commit, self.place / "blobs"
        for folder in (snapshot, blobs, self.place / "refs"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.place / "refs" / revision).write_text(commit)
        for file in self.revisions[revision].iterdir():
            if any(fnmatchcase(file.name, pattern) for pattern in allow_patterns):
                blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
                shutil.copy(file, blob)
                if not (snapshot / file.name).exists():
                    os.symlink(blob, snapshot / file.name)
        self.most = max(self.most, self.weights())
        return str(snapshot)

    def _answer(self) -> None:
        if self.fails:
            raise self.fails


def refusal(kind: type[HfHubHTTPError], code: int) -> HfHubHTTPError:
    """What huggingface_hub raises for an answer of the hub."""
    response = httpx2.Response(code, request=httpx2.Request("GET", "https://huggingface.co"))
    return kind(f"{code} Client Error.", response=response)


def gated() -> Exception:
    return refusal(GatedRepoError, 403)


def no_network() -> Exception:
    return httpx2.ConnectError("[Errno -2] Name or service not known")


def stand_in(cache: Path, monkeypatch: pytest.MonkeyPatch) -> StandInHub:
    """The hub of huggingface_hub and its cache, replaced."""
    made = StandInHub(cache)
    cache.mkdir()
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(cache))
    for name in ("list_repo_refs", "list_repo_files", "snapshot_download"):
        monkeypatch.setattr(f"huggingface_hub.{name}", getattr(made, name))
    return made
