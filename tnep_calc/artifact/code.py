"""What the code in an artifact may do: calculate, and nothing else.

The code of a TorchScript archive runs when it is called, and a ``__setstate__`` runs already when it is loaded.  An
archive is accepted if its code is made of arithmetic on tensors, the operators of this package, and functions that are
themselves in the archive.  Everything that reaches files, other libraries or objects of C++ is refused before torch
sees the archive.
"""

from __future__ import annotations

import ast
import pickletools
import re
import zipfile

import torch

from ..errors import ModelFileError

OPERATORS = frozenset(
    """
    __and__ __contains__ __derive_index __getitem__ __is__ __isnot__ __not__ __or__ __range_length
    __round_to_zero_floordiv __xor__ _cast_Double _set_item abs acos add add_ addmm all allclose amax amin any append
    arange argmax argmin argsort asin atan atan2 backward baddbmm bernoulli bincount bitwise_and bitwise_not
    bitwise_or bmm broadcast_to bucketize cat ceil chunk clamp clamp_max clamp_min clone contiguous conv1d conv2d
    conv3d copy copy_ cos cosh cross cummax cumprod cumsum det detach device diag diag_embed diagonal diff dim div
    div_ dot dtype einsum empty empty_like endswith eq erf erfc exp expand expand_as expm1 extend eye fill_ flatten
    flip floor floor_divide floordiv fmod format frac full full_like gather ge gelu grad gt hypot index index_add
    index_add_ index_copy index_put index_put_ index_select insert inverse is_cuda isfinite isinf isnan item items
    join keys layer_norm le len lerp lgamma linalg_cross linalg_det linalg_inv linalg_norm linalg_solve
    linalg_vector_norm linear linspace list log log10 log1p log2 logical_and logical_not logical_or logsumexp lower lt
    masked_fill masked_fill_ masked_select matmul max maximum mean meshgrid min minimum mm mul mul_ mv narrow ne neg
    new_zeros nonzero norm numel ones ones_like outer permute polygamma pop pow prod rad2deg reciprocal relu remainder
    repeat repeat_interleave requires_grad_ reshape roll round rsqrt rsub scatter scatter_add searchsorted select
    sigmoid sign silu silu_ sin sinh size slice softmax softplus sort split sqrt square squeeze stack startswith std
    strip sub sub_ sum t tan tanh tensor tensordot to topk trace transpose transpose_ tril triu type_as unbind
    unflatten unique unsqueeze unsqueeze_ update upper values var view view_as where zero_ zeros zeros_like
""".split()
)
"""Operators (``aten``) that a model may use: arithmetic, shapes, lists and dictionaries."""
_PRIM = frozenset("RaiseException device dtype is_cuda layout max min abs".split())
_SPECIAL = frozenset({"__len__", "__contains__", "__getitem__"})  # methods with such names that may be defined
_ROOTS = {"torch", "ops", "__torch__"}
_NOT_CALLED = {"fork", "awaitable", "print", "exec", "eval", "open"}
_MEMBERS = re.compile(
    r"code/__torch__/[\w/]+\.py(\.debug_pkl)?|code/__torch__\.py(\.debug_pkl)?|(data|constants)\.pkl"
    r"|(data|constants)/\d+|version|byteorder|\.data/serialization_id|\.format_version|\.storage_alignment|extra/[\w.]+"
)
_GLOBALS = re.compile(
    r"__torch__(?!\.torch\.classes)(\.\w+)* \w+|collections OrderedDict|torch \w+Storage"
    r"|torch\._utils _rebuild_tensor_v2"
    r"|torch\.jit\._pickle (build_\w+list|restore_type_tag)"
)


def check_code(archive: zipfile.ZipFile, path) -> None:
    """Raise ModelFileError if an archive holds code or objects beyond those of a model.

    Parameters
    ----------
    archive : zipfile.ZipFile
    path : str or path
        Named in the message.
    """
    names = archive.namelist()
    if len({name.lower() for name in names}) < len(names):
        _refuse(path, "two members of the same name")
    if len({name.partition("/")[0] for name in names}) != 1:
        _refuse(path, "members in several folders")
    for name in names:
        inner = name.partition("/")[2]
        if not _MEMBERS.fullmatch(inner):
            _refuse(path, f"the member '{inner[:80]}'")
        if inner.endswith(".py"):
            _check_source(archive.read(name), path)
        elif inner in ("data.pkl", "constants.pkl"):
            _check_objects(archive.read(name), path)


def _refuse(path, what):
    raise ModelFileError(
        f"{path}: holds {what}, which no model of tnep_calc has, so it is not loaded: export the model with "
        "'tnep export'"
    )


def _check_objects(data, path):
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name == "GLOBAL" and not _GLOBALS.fullmatch(str(argument)):
                _refuse(path, f"an object of the class {str(argument)[:80]}")
            if code.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
                _refuse(path, f"the instruction {code.name}")
    except (ValueError, UnicodeDecodeError, IndexError) as error:
        raise ModelFileError(f"{path}: damaged list of parameters ({str(error)[:80]}): export it again") from error


def _check_source(data, path):
    try:
        text = data.decode("ascii")
        if re.search(r"[^\n\t -~]|\\\n", text):
            _refuse(path, "code with control characters")
        tree = ast.parse(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ModelFileError(f"{path}: its code cannot be read ({type(error).__name__}): export it again") from error
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node not in inside:
                _check_chain(node, inside, path)
        elif isinstance(node, ast.Name):
            if node.id in _ROOTS and node not in inside:
                _refuse(path, f"code that takes '{node.id}' as a value")
        elif isinstance(node, ast.FunctionDef):
            if node.name.startswith("__") and node.name not in _SPECIAL:
                _refuse(path, f"a method {node.name}")
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            _refuse(path, "code that imports")
        elif isinstance(node, ast.Call):
            _check_call(node, path)


def _check_call(node, path):
    if isinstance(node.func, ast.Name):
        if node.func.id in _NOT_CALLED:
            _refuse(path, f"code that calls {node.func.id}")
        if node.func.id == "getattr":
            name = node.args[1] if len(node.args) == 2 else None
            if not isinstance(name, ast.Constant) or not _is_harmless(str(name.value)):
                _refuse(path, "code that asks for an operator by name")
    elif not isinstance(node.func, ast.Attribute):
        _refuse(path, "code that calls a computed function")


def _check_chain(node, inside, path):
    """Check one dotted name, and note its parts in `inside`."""
    words: list[str] = []
    part = node
    while isinstance(part, ast.Attribute):
        inside.add(part)
        words.append(part.attr)
        part = part.value
    words.reverse()
    root = part.id if isinstance(part, ast.Name) else ""
    if root in _ROOTS:
        inside.add(part)
    name = ".".join([root, *words])
    if root == "torch":
        allowed = words in (["autograd", "grad"], ["device"]) or len(words) == 1 and _is_harmless(words[0])
    elif root == "ops":
        allowed = len(words) == 2 and (
            words[0] == "tnep"
            or words[0] == "prim"
            and words[1] in _PRIM
            or words[0] == "aten"
            and words[1] in OPERATORS
        )
    elif root == "__torch__":
        allowed = words[:2] != ["torch", "classes"]
    else:
        allowed = all(map(_is_harmless, words))
    if not allowed:
        _refuse(path, f"code that uses {name[:80]}")


def _is_harmless(name):
    """Return whether a name is that of an allowed operator, or of none at all (which torch then cannot load)."""
    if name in OPERATORS or name in _SPECIAL:
        return True
    return name not in ("save", "load", "from_file", "__setstate__") and not hasattr(torch.ops.aten, name)
