"""Samples on disk: what there is to learn from, made once and kept.

Pairs are made of phantoms and of single scans that are given breaths, or read from folders that hold real ones: with
landmarks.csv their motion is known there, without it their descriptors have to tell. What is there already is not made
again, so that an interrupted run goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import active_children, get_context
from pathlib import Path

import numpy as np
import torch

from graphreg.anatomy import Anatomy
from graphreg.config import RegistrationConfig
from graphreg.core.errors import InputError
from graphreg.core.records import ImagePair, Landmarks
from graphreg.io import read_landmarks, read_pair, read_volume
from graphreg.phantom.known_pairs import Chest, breathing_pair, phantom_pair
from graphreg.runtime.monitor import Progress
from graphreg.runtime.signals import uninterrupted
from graphreg.training.observing import samples_of, samples_of_real
from graphreg.training.samples import Sample

PHANTOMS = 0.35  # share of phantoms among the pairs that are made, where there are scans too
IMAGES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")


@dataclass(frozen=True)
class Sources:
    """Where pairs come from."""

    scans: tuple[Path, ...] = ()  # single scans
    breaths: tuple[Path, ...] = ()  # csv of corresponding points, inhale to exhale
    pairs: tuple[Path, ...] = ()  # folders with fixed.nii.gz, moving.nii.gz, maybe masks and landmarks.csv
    made: int = 200  # pairs to make of phantoms and scans
    seed: int = 0


@dataclass(frozen=True)
class _Task:
    """One pair to make or to read."""

    name: str
    number: int  # of a pair to make
    folder: Path | None  # of a pair to read
    sources: Sources
    config: RegistrationConfig
    out: Path


def images_in(folder: Path) -> tuple[Path, ...]:
    """Image files of a folder, in the order of their names. Raises InputError where there are none."""
    need = f"a folder of scans ({', '.join(IMAGES)}) needed"
    return _found(folder, lambda path: path.name.endswith(IMAGES), need)


def tables_in(folder: Path) -> tuple[Path, ...]:
    """csv files of a folder, in the order of their names. Raises InputError where there are none."""
    return _found(folder, lambda path: path.suffix == ".csv", "a folder of csv files of corresponding points needed")


def pairs_in(folder: Path) -> tuple[Path, ...]:
    """Folders in a folder that hold a pair. Raises InputError where there are none."""
    need = "folders with fixed.nii.gz and moving.nii.gz needed"
    return _found(folder, lambda path: (path / "fixed.nii.gz").is_file(), need)


def _found(folder: Path, fits: Callable[[Path], bool], need: str) -> tuple[Path, ...]:
    try:
        found = tuple(sorted(filter(fits, folder.iterdir())))
    except OSError as error:
        raise InputError(f"{folder}: a folder needed, found {error.strerror}") from error
    if not found:
        raise InputError(f"{folder}: {need}, found none in it")
    return found


def make_samples(
    sources: Sources, config: RegistrationConfig, out: Path, workers: int = 1, progress: Progress | None = None
) -> list[Path]:
    """Samples of every level of every pair, as files PAIR-LEVEL.safetensors in a folder; those there are kept."""
    out.mkdir(parents=True, exist_ok=True)
    tasks = [_Task(f"{n:04d}", n, None, sources, config, out) for n in range(sources.made)]
    tasks += [_Task(f"real_{folder.name}", 0, folder, sources, config, out) for folder in sources.pairs]
    missing = [task for task in tasks if not all(path.exists() for path in _files(task))]
    for done, _ in enumerate(_work(missing, workers), 1):
        if progress:
            progress(f"making samples, {len(tasks) - len(missing) + done} of {len(tasks)} pairs", done / len(missing))
    return [path for task in tasks for path in _files(task)]


def _work(tasks: Sequence[_Task], workers: int) -> Iterator[None]:
    """Makes the samples of each task, in processes of their own where there are several."""
    if workers == 1:
        yield from map(_make, tasks)
        return
    others = set(active_children())
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            with uninterrupted():  # a pool that has only half begun cannot end
                futures = [pool.submit(_make, task) for task in tasks]
            for future in as_completed(futures):
                yield future.result()
        except BaseException:  # also of who does not want the rest: it is not waited for
            for worker in set(active_children()) - others:
                worker.terminate()
            raise


def _files(task: _Task) -> list[Path]:
    return [task.out / f"{task.name}-{level.name}.safetensors" for level in task.config.levels]


@torch.no_grad()
def _make(task: _Task) -> None:
    """Files of one pair."""
    rng = np.random.default_rng((task.sources.seed, task.number))
    for sample, path in zip(_samples(task, rng), _files(task), strict=True):
        sample.save(path)


def _samples(task: _Task, rng: np.random.Generator) -> Iterator[Sample]:
    if task.folder:
        return samples_of_real(*_real(task.folder), task.config, rng)
    scans, alone = task.sources.scans, rng.random() < PHANTOMS
    if alone or not scans:
        return samples_of(phantom_pair(rng), task.config, rng)
    chest = _chest(scans[task.number % len(scans)], task.config.anatomy)
    return samples_of(breathing_pair(rng, chest, _measured(task.sources.breaths)), task.config, rng)


def _real(folder: Path) -> tuple[ImagePair, Landmarks | None]:
    """A pair, with the masks and landmarks that its folder holds."""
    masks = [path if path.exists() else None for path in (folder / f"{r}_mask.nii.gz" for r in ("fixed", "moving"))]
    landmarks = folder / "landmarks.csv"
    pair = read_pair(folder / "fixed.nii.gz", folder / "moving.nii.gz", *masks)
    return pair, read_landmarks(landmarks) if landmarks.exists() else None


@lru_cache(maxsize=4)
def _chest(path: Path, anatomy: Anatomy) -> Chest:
    scan = read_volume(path)
    return Chest(scan, anatomy.find(scan))


@lru_cache(maxsize=1)
def _measured(paths: tuple[Path, ...]) -> tuple[Landmarks, ...]:
    return tuple(read_landmarks(path) for path in paths)
