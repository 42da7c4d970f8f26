"""Run a function in two processes of torch.distributed (gloo), forked from this one."""

import multiprocessing
import os
import pickle
import sys
import traceback

import torch

from tnep_calc import threads
from tnep_calc.cli import main
from tnep_calc.training.common import processes


def in_two_processes(work, folder):
    """Return what ``work()`` returns in each of two processes that have joined; an error in one of them is raised."""
    context = multiprocessing.get_context("fork")
    place, pipes, children = folder / "rendezvous", [], []
    for rank in range(2):
        ours, theirs = context.Pipe(duplex=False)
        children.append(context.Process(target=_child, args=(rank, place, work, theirs)))
        children[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        results = [
            pickle.loads(pipe.recv_bytes()) if pipe.poll(60) else (False, "no answer within 60 s") for pipe in pipes
        ]
    finally:
        for child in children:
            child.kill()
            child.join()
    for good, value in results:
        if not good:
            raise AssertionError(value)
    return [value for _, value in results]


def one_thread_after_fork():
    """Use one thread in a forked process; it may then evaluate models, whatever happened before the fork."""
    torch.set_num_threads(1)
    threads._state.update(threaded=False, unusable=False)


class Forked:
    """Replaces ``subprocess.Popen`` by a fork that runs the command, which saves the time of its imports."""

    def __init__(self, command, env, stdout, stderr):
        def run():
            os.environ.update(env)
            one_thread_after_fork()
            with open(os.dup(stdout.fileno()), "w") as said:
                sys.stdout = sys.stderr = said
                status = main(command[3:])
            os._exit(status)

        self.process = multiprocessing.get_context("fork").Process(target=run)
        self.process.start()

    def poll(self):
        return self.process.exitcode

    def wait(self, timeout=None):
        self.process.join(timeout)
        return self.process.exitcode

    def terminate(self):
        self.process.terminate()


def _child(rank, place, work, pipe):
    one_thread_after_fork()
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        processes.RENDEZVOUS: str(place),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    try:
        with processes.joined():
            answer = True, work()
    except BaseException:
        answer = False, traceback.format_exc()
    pipe.send_bytes(pickle.dumps(answer))  # not as shared memory, which ends with this process
    pipe.close()
    os._exit(0)
