"""A model directory on the hub, sent by the hub's own client. Needs no torch.

What bites: whoever asks for a private model must not find it published, and the hub leaves a model that is there
already as it is; so it is asked what it made before a file is sent. Where the hub is, and who asks, the client knows
(``HF_ENDPOINT``, ``HF_TOKEN``, ``hf auth login``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from unmask import __version__
from unmask.errors import HubError, SettingError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_REASONS: Final = {
    401: "the hub does not know you: log in with hf auth login, by a token that may write",
    403: "the hub does not let you write there: take a token that may, or a name under which you may",
    404: "the hub knows no such place, or you may not see it: look at the part before the slash, and at your token",
    409: "something else changes it at the same time; push again",
    413: "the hub takes no files of this size from you",
    429: "the hub has had too many requests from you; push again later",
}
_LOST: Final = 500
"""From here on an answer is a failure of the hub itself."""


def check_name(name: str) -> None:
    """Raise SettingError where ``name`` can not be ORG/NAME on the hub; nothing is sent."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # bound when it is first used

    try:
        validate_repo_id(name)
        is_whole = name.count("/") == 1
    except HFValidationError:
        is_whole = False
    if not is_whole:
        raise SettingError(
            f"--push must be ORG/NAME, of letters, digits, '-', '_' and '.', 96 of them at most, got {name!r}"
        )


def push(folder: Path, name: str, *, private: bool, progress: Callable[..., None]) -> str:
    """Send all files of the model directory ``folder`` to ``name`` on the hub and return their address.

    A model that is not there is made, and seen by nobody else where ``private``. ``progress`` is told (stage, done,
    total, words). Raises SettingError for a name that is none, HubError where the hub does not do what was asked;
    ``folder`` stays as it is.
    """
    from huggingface_hub import HfApi

    check_name(name)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    progress("push", 0, len(sizes), f"{sum(sizes) / 1e6:,.1f} MB to {name}")
    again = f"hf upload {name} {folder}{' --private' if private else ''}"
    with _answered(name, again), _silent_client():
        api = HfApi(library_name="unmask", library_version=__version__)
        address = str(api.create_repo(name, private=private, exist_ok=True))
        _require_private(api, name, private=private)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message=f"Written by unmask {__version__}")
    progress("push", len(sizes), len(sizes), address)
    return address


def _require_private(api: HfApi, name: str, *, private: bool) -> None:
    """Raise HubError where everybody can see ``name`` and that was not asked for."""
    if private and not api.repo_info(name).private:
        raise HubError(f"{name}: is there already, and is public; say --public, or take another name")


@contextmanager
def _answered(name: str, again: str) -> Iterator[None]:
    """Turn what the client raises into one line that says why, and by which command it is tried again."""
    from huggingface_hub import errors

    no_answer: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]  # of whichever client it is built on
    try:
        yield
    except (no_answer, OSError, ValueError, RuntimeError) as error:  # the last two hold failures of single files
        raise HubError(f"{name}: was not pushed: {_why(error)}; what was exported stays: {again}") from None


def _why(error: BaseException) -> str:
    """Return in words why the hub did not do it."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    for cause in causes:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status is not None and status >= _LOST:
            return f"the hub failed by itself ({status}); push again later"
        if status is not None:
            return _REASONS.get(status) or f"the hub says no ({status}{_in_its_words(cause)})"
    said = _first_line(causes[-1])
    other_way = "; try HF_HUB_DISABLE_XET=1" if "xet" in said else ""
    return f"the hub can not be reached, or is none ({said}){other_way}"


def _in_its_words(error: BaseException) -> str:
    """Return what the hub said, without the token of whoever asked."""
    from huggingface_hub import get_token

    said, token = " ".join(str(getattr(error, "server_message", None) or "").split()), get_token()
    return f": {said.replace(token, '...') if token else said}" if said else ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _silent_client() -> Iterator[None]:
    """Keep the client's own bars and warnings of retries off the terminal: a command speaks for itself."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # bound when they are first used
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity

    before, showed = get_verbosity(), not are_progress_bars_disabled()
    set_verbosity(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    finally:
        set_verbosity(before)
        if showed:
            enable_progress_bars()
