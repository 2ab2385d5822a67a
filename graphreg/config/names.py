"""The ways to fill each role, by the name of the field that holds it and by their names in TOML.

A new way costs its file and a line in the registry of its folder. Here stands only what is put together from several.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from graphreg.anatomy import ANATOMIES, FINDERS, WINDOWS
from graphreg.features import FEATURES
from graphreg.features.mind_ssc import MindSSC
from graphreg.features.normalised import NormalisedIntensities
from graphreg.interpolation import INTERPOLATORS
from graphreg.matching import GRAPHS, MATCHERS
from graphreg.matching.cost_volume import DisplacementSearch
from graphreg.prealignment import PREALIGNMENTS
from graphreg.prealignment.block_matching import BlockMatching
from graphreg.refinement import REFINEMENTS
from graphreg.regularisers import REGULARISERS
from graphreg.sampling import SAMPLERS
from graphreg.sampling.lattice import Lattice

Registry = Mapping[str, Callable[..., Any]]  # name -> what makes it, from settings by their names

ROLES: Mapping[str, Registry] = {
    "anatomy": ANATOMIES,
    "find": FINDERS,
    "window": WINDOWS,
    "picture_window": WINDOWS,
    "prealignment": {
        **PREALIGNMENTS,
        "affine": partial(
            BlockMatching,
            sampler=Lattice(spacing_mm=16.0),
            features=MindSSC(dilation_mm=4.0, radius_mm=4.0),
            matcher=DisplacementSearch(radius_mm=48.0, step_mm=8.0),
        ),
    },
    "sampler": SAMPLERS,
    "features": FEATURES,
    "moving_features": FEATURES,
    "matcher": MATCHERS,
    "graph": GRAPHS,
    "regulariser": REGULARISERS,
    "interpolator": INTERPOLATORS,
    "refinement": {**REFINEMENTS, "dense": partial(REFINEMENTS["dense"], features=NormalisedIntensities())},
}


def kind_of(value: object) -> str | None:
    """The name of a way to fill a role; None of what is no such way, or one of the user's own."""
    for registry in ROLES.values():
        for name, make in registry.items():
            if type(value) is (make.func if isinstance(make, partial) else make):
                return name
    return None


def entry_name(entry: object) -> str | None:
    """By which an entry of a list of settings is called: its own name, else its kind."""
    own = getattr(entry, "name", None)
    return own if isinstance(own, str) else kind_of(entry)
