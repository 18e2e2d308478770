"""Files of a root, a path or an fsspec URI."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from fsspec.core import url_to_fs

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MASK_SUFFIXES = IMAGE_SUFFIXES | {".npy"}


def list_files(root: str, folder: str, suffixes: frozenset[str]) -> dict[str, str]:
    """Path relative to `root` -> URI of every file below `folder`, sorted; empty where the folder does not exist."""
    fs, base = url_to_fs(root)
    base = base.rstrip("/")
    scheme = root.split("://", 1)[0] + "://" if "://" in root else ""
    found = {}
    for path in sorted(fs.find(f"{base}/{folder}")):
        name = PurePosixPath(path)
        if name.suffix.lower() in suffixes and not name.name.startswith("."):
            found[path.removeprefix(f"{base}/")] = f"{scheme}{path}"
    return found


def place_prefix(root: str) -> str:
    """What the URIs of all files below `root` begin with."""
    base = url_to_fs(root)[1].rstrip("/")
    return (root.split("://", 1)[0] + "://" if "://" in root else "") + base + "/"


def by_stem(files: Mapping[str, str], folder: str) -> dict[str, str]:
    """Path below `folder` without its suffix -> URI."""
    return {str(PurePosixPath(path).relative_to(folder).with_suffix("")): uri for path, uri in files.items()}


def read_lines(root: str, name: str) -> list[str] | None:
    """Lines of a text file below `root`; None where it does not exist."""
    fs, base = url_to_fs(root)
    path = f"{base.rstrip('/')}/{name}"
    if not fs.exists(path):
        return None
    return [line.strip() for line in fs.cat_file(path).decode().splitlines() if line.strip()]
