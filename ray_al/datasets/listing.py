"""Files of a root, a path or an fsspec URI."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from ray_al.core.places import open_place, told
from ray_al.core.storage import join_uri

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MASK_SUFFIXES = IMAGE_SUFFIXES | {".npy"}


def list_files(root: str, folder: str, suffixes: frozenset[str]) -> dict[str, str]:
    """Path relative to `root` -> URI of every file below `folder`, sorted; empty where the folder does not exist."""
    fs, base = open_place(root)
    base = base.rstrip("/")
    with told(root):
        paths = sorted(fs.find(f"{base}/{folder}"))
    found = {}
    for path in paths:
        name = PurePosixPath(path)
        if name.suffix.lower() in suffixes and not name.name.startswith("."):
            relative = path.removeprefix(f"{base}/")
            found[relative] = join_uri(root, relative) if "://" in root else path
    return found


def by_stem(files: Mapping[str, str], folder: str) -> dict[str, str]:
    """Path below `folder` without its suffix -> URI."""
    return {str(PurePosixPath(path).relative_to(folder).with_suffix("")): uri for path, uri in files.items()}


def read_lines(root: str, name: str) -> list[str] | None:
    """Lines of a text file below `root`; None where it does not exist."""
    fs, base = open_place(root)
    try:
        with told(join_uri(root, name), missing=True):
            text = fs.cat_file(f"{base.rstrip('/')}/{name}").decode()
    except FileNotFoundError:
        return None
    return [line.strip() for line in text.splitlines() if line.strip()]
