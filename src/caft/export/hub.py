"""Uploading an exported folder, only when asked to."""

import os
from pathlib import Path

from caft.errors import ExportError

TOKEN = "HF_TOKEN"


def token() -> str:
    """Return the token of the environment; a token saved on disk is not used.

    Raises:
        ExportError: if there is none.
    """
    value = os.environ.get(TOKEN, "").strip()
    if not value:
        raise ExportError(f"--push needs a token in the environment variable {TOKEN}.")
    return value


def refuse_public(repo: str, kind: str) -> None:
    """Refuse a repository that is there and that everybody can read.

    Raises:
        ExportError: if it is so. Other troubles are the upload's.
    """
    from huggingface_hub import HfApi

    try:
        found = HfApi(token=token(), library_name="caft").repo_info(repo, repo_type=kind)
    except Exception:  # it is not there, or the upload will say what is wrong
        return
    if found.private is False:
        raise _public(repo)


def push(folder: Path, repo: str, kind: str, yes: bool = False) -> str:
    """Upload a folder to a repository of the hub, which is made, private, if it is not there.

    Args:
        folder: what is uploaded.
        repo: its id, `name/repository`.
        kind: `model` or `dataset`.
        yes: whether it may be a public one.

    Returns:
        Address of the commit.

    Raises:
        ExportError: if the hub refuses, or the repository is public; the message does not hold the
            token.
    """
    from huggingface_hub import HfApi

    secret = token()
    api = HfApi(token=secret, library_name="caft")
    try:
        api.create_repo(repo, repo_type=kind, private=True, exist_ok=True)
        if not yes and api.repo_info(repo, repo_type=kind).private is False:
            raise _public(repo)
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, repo_type=kind, commit_message="Upload with caft"
        )
    except ExportError:
        raise
    except Exception as error:  # whatever the client or the network raises
        reason = " ".join(f"{type(error).__name__}: {error}".replace(secret, "***").split())
        raise ExportError(
            f"{repo}: could not be uploaded ({reason}); {folder} is complete, so "
            "`hf upload` or another --push can follow."
        ) from None
    return str(commit.commit_url)


def _public(repo: str) -> ExportError:
    return ExportError(
        f"{repo}: is public, so everybody could read what is uploaded; add --yes if that is meant, "
        "or name a private repository or a new one."
    )
