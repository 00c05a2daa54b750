"""The files of dysts from its public repository, each checked by its sha256."""

import gzip
import hashlib
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.anchors.dysts import FILES, SAMPLINGS

ADDRESS = "https://raw.githubusercontent.com/williamgilpin/dysts/{commit}/{path}"
FOLDER = Path("results/data/dysts")
SUMS = Path(__file__).with_name("sha256sums")  # of the decompressed files
TIMEOUT = 60.0  # seconds


def fetch(folder: Path = FOLDER) -> Path:
    """The folder with all files; what is there already and right is not fetched again.

    Raises:
        SystemExit: a file cannot be had, or is not what it was; nothing of it is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for n in SAMPLINGS:
        for pattern, (commit, path) in FILES.items():
            _fetch_one(folder / pattern.format(n=n), commit, path.format(n=n))
    return folder


def _fetch_one(target: Path, commit: str, path: str) -> None:
    wanted = _known()[target.stem]
    if target.is_file() and digest(gzip.decompress(target.read_bytes())) == wanted:
        return
    content = None
    for suffix in ("", ".gz"):
        address = ADDRESS.format(commit=commit, path=path.removesuffix(".gz") + suffix)
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
                content = answer.read()
            break
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise SystemExit(f"{address}: {error}; try again, or give --data FOLDER") from error
        except OSError as error:
            raise SystemExit(
                f"{address} cannot be reached ({error}); download it where there is a network and "
                "give --data FOLDER"
            ) from error
    if content is None:
        raise SystemExit(f"{path} is not at commit {commit}; give --data FOLDER")
    plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    if digest(plain) != wanted:
        raise SystemExit(
            f"{path}: sha256 {digest(plain)}, {wanted} is expected; the file has changed, and is "
            "not used"
        )
    part = target.with_suffix(".part")
    part.write_bytes(gzip.compress(plain, mtime=0))
    part.replace(target)


def _known() -> dict[str, str]:
    """{name of a file: its sha256}."""
    return {name: known for known, name in map(str.split, SUMS.read_text().splitlines())}


def digest(content: bytes) -> str:
    """sha256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()
