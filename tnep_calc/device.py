"""Find the device on which a model or a training computes; used by the whole package."""

from __future__ import annotations

import logging

import torch

from .errors import InputError

log = logging.getLogger(__name__)

CPU = torch.device("cpu")
_KNOWN = "'cpu', 'cuda', a numbered one such as 'cuda:1', or 'auto' (a GPU if there is one)"


def resolve(name: str) -> torch.device:
    """Return the device with a name, after checking that it is available.

    Parameters
    ----------
    name : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ..., or ``"auto"``: the current GPU if there is one, else the CPU.

    Returns
    -------
    torch.device
        A GPU always with its index.

    Raises
    ------
    InputError
        If the name is none of these, or this machine or this build of PyTorch does not have the device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"the device must be {_KNOWN}; got '{name}'")
    if device.type == "cpu":
        return CPU
    if not torch.cuda.is_available():
        reason = "" if torch.version.cuda or torch.version.hip else " (this is a build of PyTorch for CPUs)"
        raise InputError(
            f"device '{name}': PyTorch {torch.__version__} finds no GPU{reason}; install a build for your GPU and its "
            "driver, or use 'cpu', or 'auto' to use a GPU only if there is one"
        )
    count = torch.cuda.device_count()
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= count:
        there = ", ".join(f"cuda:{k}" for k in range(count))
        raise InputError(f"device '{name}': there is no such GPU; there are {there}")
    return torch.device("cuda", index)


def chosen_device(name: str) -> torch.device:
    """Return the same as :func:`resolve`, and log the device unless `name` is ``"cpu"``."""
    device = resolve(name)
    if name != "cpu":
        log.info("device: %s", describe(device))
    return device


def describe(device: torch.device) -> str:
    """Return the name of a device for the log, with the model of a GPU."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
