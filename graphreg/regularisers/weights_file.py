"""Weights of a network as a file: safetensors, never pickle, with what is needed to build the network and to trust it.

The metadata say the format, the architecture with its settings, a hash of all tensors, and how they were trained.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from graphreg.core.errors import InputError

FORMAT = "graphreg-network-1"
NOTES = ("architecture", "settings", "training")  # kept as JSON beside the tensors
SHIPPED = {name: Path(__file__).parent / "weights" / f"{name}.safetensors" for name in ("coarse", "fine", "published")}


class WeightsError(InputError):
    """A weights file that is missing, damaged or foreign."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors of a network, and which network they are of."""

    architecture: str
    settings: Mapping[str, Any]  # arguments of the architecture
    tensors: Mapping[str, Tensor]
    training: Mapping[str, Any]  # data, seed, steps, numbers: what a model card says

    def save(self, path: Path) -> None:
        """Writes the file under a temporary name, then renames it."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        notes = {name: json.dumps(getattr(self, name)) for name in NOTES}
        metadata = {"format": FORMAT, **notes, "sha256": fingerprint(tensors, notes)}
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_bytes(save(tensors, metadata))  # with the permissions of any other file
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def read_weights(path: Path) -> Weights:
    """The weights in a file.

    Raises:
        WeightsError: no file, not safetensors, of another format or version, or changed since it was written.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: a file of network weights (.safetensors) needed, found none")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: network weights (.safetensors) needed, found a damaged file ({error})") from error
    found = metadata.get("format", "weights of another program")
    if found != FORMAT:
        raise WeightsError(f"{path}: network weights of format {FORMAT} needed, found {found}")
    notes = {name: metadata.get(name, "") for name in NOTES}
    if fingerprint(tensors, notes) != metadata.get("sha256"):
        raise WeightsError(f"{path}: weights that match their hash needed, found others: the file is damaged")
    try:
        return Weights(tensors=tensors, **{name: json.loads(note) for name, note in notes.items()})
    except (ValueError, RecursionError) as error:  # the latter where notes are nested too deeply
        raise WeightsError(f"{path}: weights that name their network needed, found damaged notes ({error})") from error


def locate(name: str) -> Path:
    """The file of shipped weights of that name, or of a path.

    Raises:
        WeightsError: neither a shipped name nor a path that ends in .safetensors.
    """
    if name.endswith(".safetensors"):
        return Path(name)
    if name not in SHIPPED:
        raise WeightsError(
            f"weights must be one of {', '.join(SHIPPED)}, or a path of a .safetensors file, got {name!r}"
        )
    return SHIPPED[name]


def fingerprint(tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> str:
    """SHA-256 of names, shapes, types and values, and of what else is written beside them."""
    digest = hashlib.sha256(repr(sorted((notes or {}).items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
