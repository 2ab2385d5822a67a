"""Whether two inputs are the same: SHA-256 of all files that hold an image, found sound in the same sweep."""

import hashlib
from pathlib import Path

from graphreg.core.errors import PathInput, unsuitable
from graphreg.io.formats import format_of
from graphreg.io.guards.counting import Claim, is_known, require_bytes

DETACHED = (".mhd", ".nhdr")  # text headers that name the files with the voxels
TWINS = (".hdr", ".img")


def fingerprint(path: PathInput) -> str:
    """SHA-256 of a file, or of all files of a folder or of a header with its voxels elsewhere.

    Raises InputError where there is none that can be read, or a file of images is damaged.
    """
    source = Path(path)
    if not source.exists():
        raise unsuitable(path, "an image file or DICOM series folder", "nothing")
    try:
        claim, files = _claim(path), image_files(source)
        if claim and claim.file not in files:  # the name in the header is written otherwise
            files.append(claim.file)
        digests = [_digest(path, file, claim) for file in files]
    except OSError as error:
        raise unsuitable(path, "a file that can be read", error.strerror or "none") from None
    if files == [source]:
        return digests[0]
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()  # whatever the files are called


def image_files(source: Path) -> list[Path]:
    """All files that hold an image."""
    if source.is_dir():
        return sorted(file for file in source.iterdir() if file.is_file() and not file.name.startswith("."))
    beside = (file for file in source.parent.iterdir() if file.is_file() and file != source)
    if source.suffix.lower() in DETACHED:
        header = source.read_text(encoding="utf-8", errors="replace")
        return [source, *sorted(file for file in beside if file.name in header)]
    stem, suffix = _parts(source)
    if suffix in TWINS:
        return [source, *(file for file in beside if _parts(file)[0] == stem and _parts(file)[1] in TWINS)]
    return [source]


def _parts(file: Path) -> tuple[str, str]:
    """Stem and suffix, in small letters, of a name that may end in .gz."""
    bare = file.with_suffix("") if file.suffix.lower() == ".gz" else file
    return bare.stem, bare.suffix.lower()


def _claim(path: PathInput) -> Claim | None:
    """What the header of an image file says of its voxels; None of other inputs. Raises InputError."""
    kind = None if Path(path).is_dir() or _parts(Path(path))[1] == ".img" else format_of(path)  # some .img have none
    return kind.require_sound(path) if kind else None


def _digest(path: PathInput, file: Path, claim: Claim | None) -> str:
    digest = hashlib.sha256()
    if claim and claim.file == file and not is_known(claim):
        require_bytes(path, claim, digest.update)
        return digest.hexdigest()
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
