"""Files of a data set: from a folder, the user's cache, or a download with checksums."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cosim.errors import ScenarioError

TIMEOUT_S: Final = 30.0
"""Longest silence of a server, in wall time."""


def user_cache(name: str) -> Path:
    """The folder of a data set in the user's cache (XDG_CACHE_HOME where that is set)."""
    import pooch

    return Path(pooch.os_cache("cosim")) / name


def is_cached(checksums: Mapping[str, str], cache: Path) -> bool:
    """Whether all files are in the cache, whole or not."""
    return all((cache / name).is_file() for name in checksums)


def download(title: str, url: str, checksums: Mapping[str, str], cache: Path, *, timeout_s: float = TIMEOUT_S) -> list[Path]:
    """The files in ``cache``, fetched from ``url`` + name where they are not there yet or not whole.

    ``checksums``: "algorithm:digest" of each file's name. A file appears in the cache only when it is whole and right.
    Raises ScenarioError if one cannot be had, or is not what it should be.
    """
    import pooch

    base = url if url.endswith("/") else f"{url}/"
    store, fetch = pooch.create(cache, base_url=base, registry=dict(checksums)), pooch.HTTPDownloader(timeout=timeout_s)
    found = []
    for name in checksums:
        try:
            found.append(Path(store.fetch(name, downloader=fetch)))
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong checksum is a ValueError
            raise ScenarioError(
                f"{title}: {name} cannot be downloaded from {base}: {_reason(error, timeout_s)}; download {', '.join(checksums)}"
                " elsewhere, put them in a folder and name it in dataset.folder, or use dataset.kind fashion_mnist_small or digits,"
                " which come with cosim"
            ) from error
    return found


def _reason(error: OSError | ValueError, timeout_s: float) -> str:
    """What went wrong, in a few words."""
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    text = str(error)
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in text:
        return f"no answer for {timeout_s:g} s"
    if "IncompleteRead" in text or isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off before the file was whole"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection to the server"
    if isinstance(error, ValueError) and "hash" in text:
        return "its checksum is wrong: the file there is another one, or was damaged on its way"
    return text.splitlines()[0] if text else type(error).__name__
