"""Files from the net: with a checksum, a size and reports, and whole or not at all."""

import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cfa.data.datasets import Report
from cfa.errors import DataError

TIMEOUT_SECONDS = 30.0  # without one, a stalled server would be waited for for ever
CHUNK_BYTES = 1 << 18
USER_AGENT = "cfa-studio"


@dataclass(frozen=True)
class Download:
    """A file that can be fetched.

    Attributes:
        name: What it is called once it is here.
        url: Where it is.
        md5: Its checksum, hexadecimal, as published.
        size: Its size in bytes; 0 where it is not known.
    """

    name: str
    url: str
    md5: str
    size: int = 0


def md5_of(file: Path) -> str:
    """Compute a file's md5 (against accidents, not against attackers), hexadecimal.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {file} ({error.strerror or error})") from error


def fetch(downloads: Sequence[Download], folder: Path, report: Report, what: str, otherwise: str) -> None:
    """Fetch the files that are not in ``folder`` as they should be.

    They come into a temporary folder beside and are renamed into place when all of them are whole, so
    whatever ends this early leaves nothing behind.

    Args:
        downloads: The files.
        folder: Where to.
        report: Is told of bytes, over all files; may raise to end it.
        what: The data set's name, for errors.
        otherwise: What to do without a download, for errors.

    Raises:
        DataError: No network, a wrong checksum, a connection that broke off, a full disk.
    """
    missing = [item for item in downloads if not _is_whole(folder / item.name, item)]
    total = sum(item.size for item in missing)
    workplace: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_space(folder, total)
        workplace = Path(tempfile.mkdtemp(prefix=".downloading-", dir=folder))
        done = 0
        for item in missing:
            done = _fetch_one(item, workplace / item.name, done, total, report)
        for item in missing:
            os.replace(workplace / item.name, folder / item.name)
    # URLError is an OSError; ValueError is what urllib raises for an address that is none.
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the server's answer as well, and keeps the connection
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{what} could not be downloaded ({reason}); {otherwise}") from error
    finally:
        if workplace is not None:
            shutil.rmtree(workplace, ignore_errors=True)


def _is_whole(file: Path, item: Download) -> bool:
    return file.is_file() and md5_of(file) == item.md5


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"it takes {needed / 1e6:.0f} MB and {free / 1e6:.0f} MB of disk are free")


def _fetch_one(item: Download, file: Path, before: int, total: int, report: Report) -> int:
    """Fetch one file, compare its checksum, and return how many bytes have come in all."""
    request = urllib.request.Request(item.url, headers={"User-Agent": USER_AGENT})
    digest, received = hashlib.md5(usedforsecurity=False), 0
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response, file.open("wb") as target:
        announced = int(response.headers.get("Content-Length") or 0)
        report(before, total or announced)
        while chunk := response.read(CHUNK_BYTES):
            target.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            report(before + received, total or announced)
        target.flush()
        os.fsync(target.fileno())
    if announced and received < announced:
        raise OSError(f"the connection ended after {received} of {announced} bytes of {item.name}")
    if digest.hexdigest() != item.md5:
        raise OSError(f"{item.name} came with the checksum {digest.hexdigest()} instead of {item.md5}")
    return before + received
