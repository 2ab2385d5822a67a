"""One case of a study to a folder with its registration.  Case, settings -> transform.h5 ... registration.json"""

from pathlib import Path

from graphreg.config import RegistrationConfig
from graphreg.io.datasets import Case
from graphreg.runs.run import Run


def run_of(case: Case, config: RegistrationConfig, folder: Path, device: str = "auto", seed: int = 0) -> Run:
    """The registration of a case."""
    return Run(
        inputs=case.inputs,
        out=folder,
        config=config,
        device=device,
        seed=seed,
        remarks={"case": case.name},
        read=case.read,
    )


def predict(
    case: Case, config: RegistrationConfig, folder: Path, *, device: str = "auto", seed: int = 0, resume: bool = False
) -> bool:
    """Register a case and write the result; False where ``resume`` found that of the same inputs and settings.

    Raises:
        InputError: a file of the case cannot be used, or its images cannot be registered.
    """
    run = run_of(case, config, folder, device, seed)
    if resume and run.is_finished():
        return False
    run.perform()
    return True
