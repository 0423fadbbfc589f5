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


def push(folder: Path, repo: str, kind: str) -> str:
    """Upload a folder to a repository of the hub, which is made, private, if it is not there.

    Args:
        folder: what is uploaded.
        repo: its id, `name/repository`.
        kind: `model` or `dataset`.

    Returns:
        Address of the commit.

    Raises:
        ExportError: if the hub refuses; the message does not hold the token.
    """
    from huggingface_hub import HfApi

    secret = token()
    api = HfApi(token=secret, library_name="caft")
    try:
        api.create_repo(repo, repo_type=kind, private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, repo_type=kind, commit_message="Upload with caft"
        )
    except Exception as error:  # whatever the client or the network raises
        reason = " ".join(f"{type(error).__name__}: {error}".replace(secret, "***").split())
        raise ExportError(
            f"{repo}: could not be uploaded ({reason}); {folder} is complete, so "
            "`hf upload` or another --push can follow."
        ) from None
    return str(commit.commit_url)
