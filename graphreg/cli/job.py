"""One registration for the verbs ``register`` and ``demo``: with its progress, its closing line and its warnings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from graphreg.cli.console import progress_bar, say, warn
from graphreg.cli.names import DEFAULT
from graphreg.cli.settings import settings_of
from graphreg.runs.claim import claim
from graphreg.runs.results import read_record
from graphreg.runs.run import Finished, Run


@dataclass(frozen=True)
class Wanted:
    """Settings as the options name them."""

    preset: str = DEFAULT
    config: Path | None = None
    regulariser: str | None = None
    refined: bool = True
    symmetric: bool = False


def run_of(
    inputs: Mapping[str, Path | None], out: Path, wanted: Wanted = Wanted(), device: str = "auto", seed: int = 0
) -> Run:
    """A registration as the options ask for it. Raises InputError, which names the file where a setting is wrong."""
    settings = settings_of(wanted.preset, wanted.config, wanted.regulariser, wanted.refined)
    return Run(
        inputs={role: file for role, file in inputs.items() if file is not None},
        out=out,
        config=replace(settings, symmetric=wanted.symmetric or settings.symmetric),
        device=device,
        seed=seed,
        remarks={"preset": wanted.preset, "config_file": wanted.config and str(wanted.config)},
    )


def fulfil(run: Run, force: bool, quiet: bool) -> bool:
    """Does what is asked, unless it is done, and says so; whether there are warnings of it. Raises InputError."""
    run.check()
    with claim(run.out):
        if not force:
            run.require_no_other()
        if not force and run.is_finished():
            say(f"nothing to do: {run.out} already holds the result of these images and settings")
        else:
            finished = perform(run, quiet)
            if not quiet:
                say(summary(finished, run))
        return remark(run.out)


def perform(run: Run, quiet: bool) -> Finished:
    """Register and write the result, with a bar that shows how far it is."""
    with progress_bar(quiet) as progress:
        finished = run.perform(progress)
    parts = finished.registration.parts
    if parts > 1:
        warn(f"the memory of the GPU did not suffice until the work was done in parts {parts} times smaller")
    return finished


def summary(finished: Finished, run: Run) -> str:
    """The closing line, with what shows whether the result can be trusted."""
    quality, region = finished.registration.quality, run.config.anatomy.region
    return (
        f"registered in {finished.seconds:.1f} s: image similarity in the {region} "
        f"{quality.similarity_before:.3f} -> {quality.similarity_after:.3f} (1 is equal), "
        f"folding {quality.folding_percent:.2f} %, mean Jacobian {quality.mean_jacobian:.3f} "
        f"(ratio of the volumes {quality.volume_ratio:.3f}); result in {run.out}"
    )


def remark(out: Path) -> bool:
    """Says why the result in a folder should not be trusted; whether there is anything to say."""
    found = (read_record(out) or {}).get("warnings", [])
    for doubt in found:
        warn(doubt["reason"])
    return bool(found)
