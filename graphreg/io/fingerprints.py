"""Whether two inputs are the same: SHA-256 of all files that hold an image."""

import hashlib
from pathlib import Path

from graphreg.core.errors import PathInput, unsuitable

DETACHED = (".mhd", ".nhdr")  # text headers that name the files with the voxels
TWINS = (".hdr", ".img")


def fingerprint(path: PathInput) -> str:
    """SHA-256 of a file, or of all files of a folder or of a header with its voxels elsewhere. Raises InputError."""
    source = Path(path)
    if not source.exists():
        raise unsuitable(path, "an image file or DICOM series folder", "nothing")
    files = image_files(source)
    try:
        digests = [_digest(file) for file in files]
    except OSError as error:
        raise unsuitable(path, "a file that can be read", error.strerror or "none") from None
    if files == [source]:
        return digests[0]
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()  # whatever the files are called


def image_files(source: Path) -> list[Path]:
    """All files that hold an image."""
    if source.is_dir():
        return sorted(file for file in source.iterdir() if file.is_file() and not file.name.startswith("."))
    suffix = source.suffix.lower()
    beside = (file for file in source.parent.iterdir() if file.is_file() and file != source)
    if suffix in DETACHED:
        header = source.read_text(encoding="utf-8", errors="replace")
        return [source, *sorted(file for file in beside if file.name in header)]
    if suffix in TWINS:
        return [source, *(file for file in beside if file.stem == source.stem and file.suffix.lower() in TWINS)]
    return [source]


def _digest(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
