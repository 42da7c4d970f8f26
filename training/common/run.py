"""A whole training, of one model or an ensemble: directory, checkpoint, progress, members, and their mean.

:class:`FamilyRun` has the sequence that all families share.  A family derives a class from it and defines what is its
own: the trainer, the words of the log and the files of a model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from tnep_calc.device import resolve
from tnep_calc.structures import LabelledStructure

from . import directory, processes
from .config import BaseConfig
from .directory import check_previous, discard
from .ensemble import MemberValues, member_config, member_indices, split_hash, write_summary
from .epochs import EpochTrainer
from .lock import locked
from .loop import time_left

log = logging.getLogger(__name__)

C = TypeVar("C", bound=BaseConfig)
T = TypeVar("T", bound=EpochTrainer)
Rows = list[dict[str, Any]]


def run_single(config: BaseConfig, restart: bool, make: Callable[[], Any], finish: Callable[[Any], Any]) -> Any:
    """Make a trainer and train it in the output directory, which no other run may use or have used.

    Parameters
    ----------
    config : BaseConfig
    restart : bool
        Discard the files of a previous run in the output directory, once the trainer is made.
    make : callable
        Makes the trainer.
    finish : callable
        Trains it to the end, writes the results, and returns what this function returns.  Of several processes only
        the first does so; the others take part in the steps, and get None.

    Raises
    ------
    InputError
        If the directory has a run of another configuration or other data, an ensemble, or a model without a
        checkpoint.
    """
    if processes.rank() > 0:
        trainer = make()
        trainer.run(None, directory.resume(config.directory, trainer))
        return None
    check_previous(config, restart)
    with locked(config.directory):
        trainer = make()
        if restart:
            discard(config.directory)
        return finish(trainer)


class FamilyRun(Generic[C, T]):
    """Training of one family in epochs.  A run that was stopped resumes.

    Parameters
    ----------
    config : BaseConfig
    restart : bool, default False
        Discard the files of a previous run in the output directory, once this run is ready to start.
    """

    def __init__(self, config: C, restart: bool = False):
        self.config, self.restart = config, restart

    # -- what a family defines -------------------------------------------------------------------------------------

    def trainer(self, config: C, *given: Any) -> T:
        """Return the trainer of a configuration; `given` may be structures, indices and pool of a member."""
        raise NotImplementedError

    def read_structures(self) -> Sequence[LabelledStructure]:
        """Read and check the structures of the configuration."""
        raise NotImplementedError

    def log_start(self, trainer: T) -> None:
        """Log model and data of a run."""
        raise NotImplementedError

    def errors_as_text(self, trainer: T) -> str:
        """Return the errors of the last report for the log, training/validation, with their units."""
        raise NotImplementedError

    def predictions(self, trainer: T) -> Any:
        """Return what the result predicts for all splits, in a form of the family."""
        raise NotImplementedError

    def write_results(self, trainer: T, folder: Path, found: Any) -> dict[str, Any]:
        """Write model, figures and ``results.json`` from :meth:`predictions`; return the content of the latter."""
        raise NotImplementedError

    def add_member(self, values: MemberValues, trainer: T, found: Any) -> None:
        """Add the :meth:`predictions` of a member to those of the ensemble."""
        raise NotImplementedError

    def write_mean(self, values: MemberValues, trainer: T, histories: Sequence[Rows]) -> list[dict[str, Any]]:
        """Write figures, and models if there are any, of the whole ensemble; return the panels of its mean.

        Parameters
        ----------
        values : MemberValues
            What :meth:`add_member` has collected.
        trainer : EpochTrainer
            Trainer of the last member, with the pool of all structures.
        histories : sequence of lists of dict
            Reports of each member.
        """
        raise NotImplementedError

    # -- the sequence ----------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Train the model or the ensemble, and write everything to ``config.directory``.

        The members of an ensemble have directories ``member1``, ``member2``, ... with the files of a single run, and
        share the prepared structures.  ``ensemble.json`` and the parity of their mean are beside these directories.

        Returns
        -------
        dict
            Content of ``results.json``, or of ``ensemble.json``.

        Raises
        ------
        InputError
            If the directory has a run of another configuration or other data, or a model without a checkpoint, or if
            there are too few structures or too little memory.
        DataFileError
            If data or a checkpoint cannot be used.
        """
        if not self.config.ensemble.n_splits:
            return run_single(self.config, self.restart, lambda: self.trainer(self.config), self._finish)
        processes.refuse_ensembles(self.config)
        resolve(self.config.optimizer.device)  # before any work
        check_previous(self.config, self.restart)
        with locked(self.config.directory):
            return self._run_members()

    def _finish(self, trainer: T) -> dict[str, Any]:
        self.train_in(self.config.directory, trainer)
        return self.write_results(trainer, self.config.directory, self.predictions(trainer))

    def _run_members(self) -> dict[str, Any]:
        structures = self.read_structures()
        indices = member_indices(structures, self.config)
        values = MemberValues(structures)
        results, histories, pool = [], [], None
        for k, own in enumerate(indices):
            log.info("member %d of %d", k + 1, len(indices))
            member = member_config(self.config, k)
            trainer = self.trainer(member, structures, own, pool)
            pool = trainer.pool
            trainer.fingerprint.update(split_hash(member, own))
            if self.restart and k == 0:
                discard(self.config.directory)
            self.train_in(member.directory, trainer)
            found = self.predictions(trainer)
            results.append(self.write_results(trainer, member.directory, found))
            histories.append(trainer.history)
            self.add_member(values, trainer, found)
        return write_summary(self.config, indices, results, self.write_mean(values, trainer, histories))

    def train_in(self, folder: Path, trainer: T) -> None:
        """Train to the end with checkpoint and ``log.csv`` in a directory, from its checkpoint if there is one."""
        checkpoint = directory.resume(folder, trainer)
        self.log_start(trainer)
        trainer.run(lambda t: self._report(t, folder), checkpoint)
        processes.leave()

    def _report(self, trainer: T, folder: Path) -> None:
        """Log one line of progress, and rewrite ``log.csv``."""
        log.info(
            "%7.1f s  epoch %d/%d  %s%s",
            trainer.seconds,
            trainer.epoch,
            trainer.config.optimizer.epochs,
            self.errors_as_text(trainer),
            "" if trainer.finished else time_left(trainer.seconds, trainer.step, trainer.total_steps),
        )
        directory.write_log(folder, trainer.history)


def sizes_as_text(parts: Mapping[str, Sequence[Any]]) -> str:
    """Return the number of structures of each split for the log.

    Examples
    --------
    >>> sizes_as_text({"train": range(8), "test": range(2)})
    '8 train, 2 test'
    """
    return ", ".join(f"{len(part)} {name}" for name, part in parts.items())
