"""A simulated GPU: CPU tensors that are treated as tensors of ``cuda:0``, with the rules of a GPU.

While the mode is on, ``.to("cuda:0")`` and ``device=`` make marked copies, and results of marked tensors are marked.
Operations that fail on a GPU also fail here: those with tensors of both devices, and converting a marked tensor to an
array or writing it to a file.  Numbers are computed on the CPU, so a run gives the same as on the CPU without native
kernels.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tnep_calc.training.nep import native

GPU = torch.device("cuda", 0)
_INDEXING = (Tensor.__getitem__, Tensor.__setitem__)
_FREE = (  # type: ignore[attr-defined]
    Tensor.__repr__,
    Tensor.grad.__set__,
    Tensor.backward,
    Tensor.__deepcopy__,
    torch._has_compatible_shallow_copy_type,
)
_AS_ARRAY = (Tensor.numpy, Tensor.__array__)


class SimulatedGPU(TorchFunctionMode):
    """Torch mode of the simulated GPU; :func:`simulated_gpu` also makes torch find the GPU.

    Attributes
    ----------
    calls : int
        Number of operations with a marked tensor.
    """

    def __init__(self):
        super().__init__()
        self.calls = 0

    @staticmethod
    def holds(tensor):
        """Return whether a tensor is on the simulated GPU."""
        return hasattr(tensor, "on_simulated_gpu")

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = list(_tensors((args, kwargs)))
        marked = [x for x in tensors if self.holds(x)]
        if func == Tensor.device.__get__:  # a new object every time
            return GPU if marked else torch.device("cpu")
        if func == Tensor.data.__set__:  # type: ignore[attr-defined]  # how modules move
            return self._replace(*args)
        if func is Tensor.copy_:
            return func(*args, **kwargs)
        if marked and func in _AS_ARRAY:
            raise TypeError("cannot make an array of a tensor on the GPU")
        if not tensors:
            return self._create(func, args, kwargs)
        if not marked and (func in (Tensor.to, Tensor.cpu) or "device" in kwargs):
            return self._move(func, args, kwargs)
        if not marked:
            return func(*args, **kwargs)
        self.calls += 1
        if func in (Tensor.to, Tensor.cpu) or "device" in kwargs:
            return self._move(func, args, kwargs)
        self._check(func, args, tensors)
        return self._mark(func(*args, **kwargs))

    def _create(self, func, args, kwargs):
        device = kwargs.get("device")
        if device is None or torch.device(device).type == "cpu":
            return func(*args, **kwargs)
        return self._mark(func(*args, **{**kwargs, "device": "cpu"}))

    def _move(self, func, args, kwargs):
        """Move a tensor, or make one like it, to the device in the arguments, if there is one."""
        source = args[0]
        if func is Tensor.cpu:
            return source.clone() if self.holds(source) else source
        named = [x for x in (*args[1:], kwargs.get("device")) if isinstance(x, (str, torch.device))]
        target = torch.device(named[0]).type == "cuda" if named else self.holds(source)
        changed = ["cpu" if isinstance(x, (str, torch.device)) else x for x in args[1:]]
        if "device" in kwargs:
            kwargs["device"] = "cpu"
        result = func(source, *changed, **kwargs)
        if result is source and target != self.holds(source):
            result = source.clone()
        return self._mark(result) if target else result

    def _replace(self, tensor, data):
        tensor.data = data
        if self.holds(data):
            self._mark(tensor)
        else:
            vars(tensor).pop("on_simulated_gpu", None)

    def _check(self, func, args, tensors):
        if func in _FREE:
            return
        own = args[:1] + args[2:] if func in _INDEXING else tensors  # torch moves an index from the CPU itself
        for x in own:
            if isinstance(x, Tensor) and not self.holds(x) and x.dim() > 0:
                raise RuntimeError(
                    f"{func}: expected all tensors to be on the same device, found a CPU tensor {x.shape}"
                )
        if func in _INDEXING and not self.holds(args[0]):
            raise RuntimeError("a tensor of the CPU cannot be indexed by one of the GPU")

    def _mark(self, result):
        for x in _tensors(result):
            x.on_simulated_gpu = True
        return result


def _tensors(value):
    """Yield the tensors in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for x in value.values() if isinstance(value, dict) else value:
            yield from _tensors(x)


@contextmanager
def simulated_gpu():
    """Make torch find one GPU, and track the tensors on it; native kernels do not run on it."""
    gpu, save, available, copy = SimulatedGPU(), torch.save, native.available, torch.nn.Parameter.__deepcopy__

    def checked_save(content, *args, **kwargs):
        if any(map(gpu.holds, _tensors(content))):
            raise RuntimeError("a tensor of the GPU goes to a file")
        save(content, *args, **kwargs)

    def copied_there(parameter, memo):  # torch modes do not see this method
        found = copy(parameter, memo)
        if gpu.holds(parameter):
            found.on_simulated_gpu = True
        return found

    patches = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device: "simulated",
    }
    with ExitStack() as stack:
        for name, value in patches.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(torch, "save", checked_save))
        stack.enter_context(mock.patch.object(torch.nn.Parameter, "__deepcopy__", copied_there))
        stack.enter_context(mock.patch.object(native, "available", lambda x: not gpu.holds(x) and available(x)))
        stack.enter_context(gpu)
        yield gpu
