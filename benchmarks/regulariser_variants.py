"""The settings that ``regularisers.py`` compares: regularisers, and graphregnet with a part taken away."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.core.cubes import label_grid
from graphreg.matching.graph import NearestNeighbours
from graphreg.regularisers.graphregnet import GraphRegNet
from graphreg.regularisers.published import SMALLEST
from graphreg.regularisers.weights_file import locate, read_weights
from graphreg.sampling import Foerstner, Uniform

Change = Callable[[RegistrationConfig], RegistrationConfig]
PLAIN = ("none", "mean-field", "belief-propagation", "graphregnet")
PUBLISHED = f"graphregnet, published where the cube has {SMALLEST} labels"
ALONE = "coarse"  # the one level of a variant


def variants(folder: Path) -> dict[str, Change]:
    """Settings of each row of table 2, made from a preset; a folder for the weights that one of them needs."""
    changes: dict[str, Change] = {name: partial(regularised, name) for name in PLAIN}
    changes[PUBLISHED] = partial(each, published)
    for k in (0, 5, 15, 30):
        neighbours = NearestNeighbours(neighbours=k)
        changes[f"graphregnet, {f'k = {k}' if k else 'no graph'}"] = partial(each, partial(replace, graph=neighbours))
    changes["graphregnet, uniform keypoints"] = partial(each, uniform)
    changes[f"graphregnet, level {ALONE} alone"] = alone
    changes[f"{PUBLISHED}, without coordinates"] = partial(without_coordinates, folder)
    return changes


def regularised(name: str, config: RegistrationConfig) -> RegistrationConfig:
    """Settings with that regulariser in every level."""
    return config.with_regulariser(name)


def each(change: Callable[[LevelConfig], LevelConfig], config: RegistrationConfig) -> RegistrationConfig:
    """Settings of graphregnet with every level changed."""
    return replace(config, levels=tuple(change(level.with_regulariser("graphregnet")) for level in config.levels))


def alone(config: RegistrationConfig) -> RegistrationConfig:
    """Settings of graphregnet in the one level."""
    levels = regularised("graphregnet", config).levels
    return replace(config, levels=tuple(level for level in levels if level.name == ALONE))


def uniform(level: LevelConfig) -> LevelConfig:
    """The level with as many keypoints anywhere."""
    assert isinstance(level.sampler, Foerstner)
    return replace(level, sampler=Uniform(count=level.sampler.count))


def published(level: LevelConfig, weights: str = "published") -> LevelConfig:
    """The level with the published network where its cube is large enough for it."""
    return replace(level, regulariser=GraphRegNet(weights=weights)) if labels(level) >= SMALLEST else level


def labels(level: LevelConfig) -> int:
    """Labels per axis of its cube."""
    step_mm = max(round(level.matcher.step_mm / level.spacing_mm), 1) * level.spacing_mm  # as in the cost volume
    return label_grid(level.matcher.radius_mm, step_mm).shape[0]


def without_coordinates(folder: Path, config: RegistrationConfig) -> RegistrationConfig:
    """Settings of the published network whose edges do not see where the keypoints are."""
    weights, path = read_weights(locate("published")), folder / "without-coordinates.safetensors"
    replace(weights, settings={**weights.settings, "coordinates": False}).save(path)
    return each(partial(published, weights=str(path)), config)
