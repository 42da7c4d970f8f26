"""The training loop: actions by interval, by time and by a signal; the lock of a directory."""

import logging
import os
import signal
import subprocess
import sys

import pytest

from tnep_calc.errors import InputError
from tnep_calc.training.common import loop
from tnep_calc.training.common.lock import LOCK, locked
from tnep_calc.training.common.loop import Interrupted, run_steps


class Counting:
    """A run on a simulated clock, in which each step takes one second."""

    report_due = False

    def __init__(self, monkeypatch, total, at_once=1):
        self.seconds, self.step, self.total_steps, self.at_once, self.now, self.events = 0.0, 0, total, at_once, 0.0, []
        monkeypatch.setattr(loop.time, "monotonic", lambda: self.now)

    @property
    def finished(self):
        return self.step >= self.total_steps

    @property
    def progress(self):
        return f"{self.step} of {self.total_steps} steps"

    def advance(self):
        self.step += self.at_once
        self.now += self.at_once
        if self.step == getattr(self, "killed_at", None):
            os.kill(os.getpid(), self.signal)

    def report(self):
        self.events.append(("report", self.step))

    def save(self):
        self.events.append(("save", self.step))


def test_intervals(monkeypatch):
    """A report follows when steps pass a multiple of the interval; it comes before the checkpoint of its step."""
    run = Counting(monkeypatch, 20, at_once=4)
    run_steps(run, 10, 7, save=run.save)
    assert run.events == [("save", 8), ("report", 12), ("save", 16), ("report", 20), ("save", 20)]
    run = Counting(monkeypatch, 4)
    run.report_due = True
    run_steps(run, 3, 100)
    assert run.events == [("report", 0), ("report", 3), ("report", 4)]


def test_lines_and_checkpoints_by_time(monkeypatch, caplog):
    """The first line comes within 10 s, and a checkpoint every minute, even if the intervals are longer."""
    run = Counting(monkeypatch, 100)
    with caplog.at_level(logging.INFO):
        run_steps(run, 1000, 1000, save=run.save)
    times = [float(message.split()[0]) for message in caplog.messages]
    assert times[0] <= 10 and caplog.messages[0].endswith("5 of 100 steps, 95 s left")
    assert max(b - a for a, b in zip(times, times[1:], strict=False)) <= 30
    saved = [0, *(step for what, step in run.events if what == "save")]
    assert saved[-1] == 100 and max(b - a for a, b in zip(saved, saved[1:], strict=False)) <= 60
    assert [step for what, step in run.events if what == "report"] == [100]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_current_step(monkeypatch, number):
    run = Counting(monkeypatch, 10)
    run.killed_at, run.signal = 4, number
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="stopped after 4 of 10 steps") as error:
        run_steps(run, 2, 100, save=run.save)
    assert error.value.number == number and signal.getsignal(number) is before
    assert run.events == [("report", 2), ("report", 4), ("save", 4)]
    run.killed_at = 10
    run_steps(run, 2, 100, save=run.save)
    assert run.events[-1] == ("save", 10)


def test_a_second_signal_stops_at_once(monkeypatch):
    class Twice(Counting):
        def advance(self):
            super().advance()
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("not reached")

    run = Twice(monkeypatch, 10)
    with pytest.raises(KeyboardInterrupt) as error:
        run_steps(run, 1, 1, save=run.save)
    assert not isinstance(error.value, Interrupted) and run.events == []


def test_one_training_in_a_directory(tmp_path):
    folder = tmp_path / "a" / "b"
    with locked(folder):
        with pytest.raises(InputError, match=rf"another training is running there \(process {os.getpid()}\)"):
            with locked(folder):
                pass
        assert (folder / LOCK).exists()
    assert not (tmp_path / "a").exists()  # nothing was written
    with locked(folder):
        (folder / "result").touch()
    assert [path.name for path in folder.iterdir()] == ["result"]


def test_a_killed_training_does_not_leave_the_directory_locked(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from tnep_calc.training.common.lock import locked\n"
        f"with locked(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()
