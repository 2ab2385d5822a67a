"""``graphreg train``: weights of the graph network, from phantoms, scans and pairs of the user's own."""

from pathlib import Path
from typing import Annotated

import typer

from graphreg.cli import options

Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for all files.")]
Levels = Annotated[str, typer.Option(metavar="A,B", help="Levels of the preset that the network is for.")]
Scans = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Single CT scans in HU, which are made to breathe.")]
Breaths = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Measured motion for them: csv of points, columns fixed_x to moving_z, mm."),
]
Pairs = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Real pairs, each a folder with fixed.nii.gz, moving.nii.gz, maybe fixed_mask.nii.gz, moving_mask.nii.gz, "
        "and landmarks.csv: corresponding points, without which the descriptors have to tell.",
    ),
]
Made = Annotated[int, typer.Option(metavar="N", min=0, help="Pairs to make of phantoms and scans.")]
Steps = Annotated[int, typer.Option(metavar="N", min=1, help="Steps of training.")]
Workers = Annotated[int, typer.Option(metavar="N", min=1, help="Processes that make pairs.")]
Architecture = Annotated[str, typer.Option(metavar="NAME", help="unrolled (ours) or published.")]
Start = Annotated[
    str | None, typer.Option(metavar="WEIGHTS", help="Weights to start from: coarse, fine, or a file; else none.")
]
Mixed = Annotated[bool, typer.Option("--mixed-precision", help="bfloat16 where it does no harm: faster on a GPU.")]
SeedOfTraining = Annotated[int, typer.Option(metavar="N", min=0, help="Of pairs, network and order: the same, alike.")]


def train(
    out: Out,
    levels: Levels = "wide,coarse",
    scans: Scans = None,
    breaths: Breaths = None,
    pairs: Pairs = None,
    made: Made = 200,
    steps: Steps = 6000,
    preset: options.Preset = "inhale-exhale",
    config: options.Config = None,
    architecture: Architecture = "unrolled",
    start: Start = None,
    workers: Workers = 1,
    device: options.Device = "auto",
    seed: SeedOfTraining = 0,
    mixed_precision: Mixed = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train the graph network.

    Makes pairs with known motion of phantoms and of scans, reads real ones, keeps what each level sees of them in
    OUT/samples, and fits a network to that. Every eighth pair is held out. Run again, it goes on where it was stopped.

    Writes OUT/NAME.safetensors, where NAME are the levels, and OUT/NAME.csv with the losses. A file for
    'graphreg register --config' names weights as 'levels.wide.graphregnet.weights = "OUT/NAME.safetensors"'.
    """
    from graphreg.cli.training_job import TrainingJob

    asked = scans, breaths, pairs, made, steps, preset, config, architecture, start, workers, device, seed
    TrainingJob(out, levels, *asked, mixed_precision).perform(quiet)
