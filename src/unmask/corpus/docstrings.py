"""The embedded corpus: English technical prose from the docstrings on this machine. Nothing is downloaded.

The standard library and the packages that this project installs anyway are read with ``ast`` in processes beside this
one, once: the result is kept in the user's cache under a key made of the versions. What bites: other versions of the
packages are another corpus, so figures are compared under one corpus fingerprint only.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from unmask.corpus.cache import user_cache
from unmask.corpus.extract import Documented
from unmask.errors import DataError
from unmask.files import answered, write_bytes

__all__ = ["SOURCE", "Documented", "docstrings_key", "read_docstrings"]

SOURCE = "docstrings"
"""Name of this source wherever a source is named."""

_FORMAT = 1  # goes up when the same packages would give other text
_LIBRARY = Path(sysconfig.get_path("stdlib"))
_PACKAGES = (
    "torch", "numpy", "scipy", "sklearn", "sympy", "networkx", "matplotlib", "pyarrow", "pydantic",
    "huggingface_hub", "tokenizers", "safetensors", "jinja2", "rich", "typer", "click", "joblib", "mpmath",
    "fsspec", "filelock", "tqdm", "yaml", "PIL", "fontTools", "pyparsing", "packaging", "pygments", "anyio",
    "dateutil", "contourpy", "markdown_it", "narwhals",
)  # fmt: skip
_DISTRIBUTIONS = {  # where the distribution has another name than the package
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "PIL": "pillow",
    "dateutil": "python-dateutil",
    "markdown_it": "markdown-it-py",
}
_SKIPPED_FOLDERS = {"tests", "test", "idle_test", "site-packages", "dist-packages", "__pycache__", "_vendor"}
_JOBS_A_CORE = 4


def read_docstrings() -> Iterator[Documented]:
    """Yield the documents in a fixed order, from the cache, which is made first where it is absent.

    Raises UserError for a cache that is damaged or can not be written.
    """
    path = user_cache() / f"docstrings-{docstrings_key()}.jsonl.gz"
    if not path.exists():
        with answered(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, gzip.compress(_extract_all().encode("utf-8"), compresslevel=5, mtime=0))
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from map(Documented.of_line, lines)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"this cache is damaged ({error}); delete it, it will be made again") from None


def docstrings_key() -> str:
    """Return 16 hex digits that name the text: a hash of the versions of Python, the packages and the extraction."""
    versions = {"python": platform.python_version(), "format": str(_FORMAT)}
    versions |= {package: _version(package) for package in _PACKAGES if _root(package)}
    return blake2b(json.dumps(versions, sort_keys=True).encode(), digest_size=8).hexdigest()


def _version(package: str) -> str:
    try:
        return version(_DISTRIBUTIONS.get(package, package))
    except PackageNotFoundError:
        return "unknown"


def _root(package: str) -> Path | None:
    """Return the folder of a package without importing it, None where it is not installed or a single file."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _files() -> list[tuple[str, str, str]]:
    """Return ``(package, module, path)`` of every file to read, sorted within each package."""
    roots = [("python", _LIBRARY, _LIBRARY)]
    roots += [(package, root, root.parent) for package in _PACKAGES if (root := _root(package))]
    return [
        (package, ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"), str(path))
        for package, root, base in roots
        for path in sorted(_python_files(root))
    ]


def _python_files(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        yield from (Path(place, name) for name in names if name.endswith(".py") and not name.startswith("test_"))


def _extract_all() -> str:
    """Return all documents as lines of JSON, in the order of the files whatever the number of processes."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:  # a thread waits for each process
        return "".join(pool.map(_extract_some, _shares(_files(), cores * _JOBS_A_CORE)))


def _shares(files: Sequence[tuple[str, str, str]], count: int) -> list[list[tuple[str, str, str]]]:
    """Cut ``files`` into at most ``count`` runs of about equal bytes."""
    sizes = [Path(path).stat().st_size for _, _, path in files]
    shares: list[list[tuple[str, str, str]]] = [[] for _ in range(count)]
    total, done = max(sum(sizes), 1), 0
    for file, size in zip(files, sizes, strict=True):
        shares[done * count // total].append(file)
        done += size
    return [share for share in shares if share]


def _extract_some(files: Sequence[tuple[str, str, str]]) -> str:
    here = str(Path(__file__).parents[2])  # the package may be importable in this process only
    paths = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-X", "utf8", "-m", "unmask.corpus.extract"],
        input=json.dumps(files),
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the extraction of docstrings failed: {done.stderr.strip()}")
    return done.stdout
