"""Polarizability by ridge regression: its last layer in closed form, on features learned from the other labels.

The polarizability of a structure is linear in its weights in the last layer.  With W the weights of one tensor, b its
offset, h the second hidden layer minus its mean, and T the tensors of :mod:`tnep_calc.models.enthalpy.sites`,

``alpha_2m = sum_i sum_t (W_t.h_i + b_t) T_t,2m(i)`` (l = 2),   ``tr alpha / 3 = sum_i (w.h_i + constant)`` (l = 0).

A structure has six numbers of polarizability, but hundreds of forces and Born charges.  A network that is trained on
the gradient of all labels adapts its hidden layers to the few polarizabilities, and generalises badly.  Here the hidden
layers never see a polarizability.  W, b and w minimise the squared error plus a penalty (ridge regression, solved with
its kernel ``sum_ij (1 + c h_i.h_j) T_i.T_j``).  The penalty and c minimise the leave-one-out error, which has a closed
form (Rasmussen and Williams, Gaussian Processes for Machine Learning, section 5.4.2).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tnep_calc.datasets.values import field_of
from tnep_calc.errors import InputError
from tnep_calc.models.enthalpy.sites import EnthalpySites
from tnep_calc.progress import Progress
from tnep_calc.structures import LabelledStructure

from .config import EnthalpyConfig
from .frames import Frame

log = logging.getLogger(__name__)

_LIMIT = 500  # structures: the work grows with the third power of their number
_FEW = 100  # structures up to which ridge regression is better (52 of BaTiO3: half the error; 145 of SiO2: not better)
_PENALTIES = tuple(10.0 ** (-0.5 * k) for k in range(13))  # 1 to 1e-6, relative to the mean of the kernel's diagonal
_SHARES = (0.1, 0.3, 1.0, 3.0)  # c: of weights that depend on the hidden layer
_FREE = 10.0  # of the constants of the trace: nearly without a penalty


@dataclass(frozen=True)
class RidgeFit:
    """Hyperparameters that :func:`fit_polarizability` chose, and the error.

    Attributes
    ----------
    penalty, trace_penalty : float
        Penalties of the l = 2 part and of the trace, relative to the mean of the diagonal of the kernel.
    share : float
        c in the kernel of the l = 2 part.
    error : float
        Leave-one-out root mean square error of the polarizability, over components, in e·Å²/V.  The hidden layers were
        trained on other labels of the same structures, so errors for new structures are larger.
    """

    penalty: float
    trace_penalty: float
    share: float
    error: float

    def words(self) -> str:
        """Return the numbers as text for the log."""
        return (
            f"leave-one-out RMSE {1e3 * self.error:.3g} me·Å²/V (larger for structures that are entirely new); "
            f"penalties {self.penalty:.2g} and {self.trace_penalty:.2g} (trace), "
            f"share of the hidden layer {self.share:g}"
        )


@dataclass(frozen=True)
class _Features:
    """Factors of the weights of one species, for n structures, scaled so that one penalty suits all weights.

    Attributes
    ----------
    mean : Tensor, shape (hidden,)
        Mean of the hidden layer.
    tensors : Tensor, shape (n * 5, n_tensors)
        ``sum_i T(i)``, times `tensor_scale`.
    nonlinear : Tensor, shape (n * 5, hidden * n_tensors)
        ``sum_i h_i T(i)``, times `nonlinear_scale`.
    scalars : Tensor, shape (n, hidden)
        ``sum_i h_i``, times `scalar_scale`.
    """

    mean: Tensor
    tensors: Tensor
    nonlinear: Tensor
    scalars: Tensor
    tensor_scale: float
    nonlinear_scale: float
    scalar_scale: float


def by_ridge(config: EnthalpyConfig, structures: Sequence[LabelledStructure]) -> bool:
    """Return whether the polarizability is fitted in closed form instead of by gradients, and log the reason.

    Parameters
    ----------
    config : EnthalpyConfig
    structures : sequence of LabelledStructure
        Training structures.

    Raises
    ------
    InputError
        If ``optimizer.polarizability`` is ``"ridge"`` and ridge regression is not possible.
    """
    weights, wanted = config.loss.weights(), config.optimizer.polarizability
    if "polarizability" not in weights or wanted == "gradient":
        return False
    count = sum(s.polarizability is not None for s in structures)
    obstacles = {
        "model.hyperpolarizability is set": config.model.hyperpolarizability,
        "structures in a field, whose other labels depend on it": any(field_of(s).any() for s in structures),
        "structures have weights": any(s.weight != 1 for s in structures),
        "nothing else to learn from": len(weights) == 1,
        f"{count} training structures have one (possible: 2 to {_LIMIT})": not 2 <= count <= _LIMIT,
    }
    if wanted == "auto":
        obstacles[f"{count} training structures have one (ridge regression is used up to {_FEW})"] = count > _FEW
    found = "; ".join(words for words, there in obstacles.items() if there)
    if found and wanted == "ridge":
        raise InputError(f"optimizer.polarizability = 'ridge' is not possible: {found}; use 'gradient' or 'auto'")
    if found:
        log.info("polarizability: by gradients, not by ridge regression: %s", found)
    else:
        log.info("polarizability: by ridge regression on features learned from the other labels (%d structures)", count)
    return not found


@torch.no_grad()
def fit_polarizability(sites: EnthalpySites, frames: Sequence[Frame]) -> RidgeFit:
    """Set the weights of the polarizability by ridge regression on the structures that have one.

    A line of progress is logged if this takes longer than 5 s.

    Parameters
    ----------
    sites : EnthalpySites
        Changed in place: the columns of ``w3`` and ``b3`` that belong to the polarizability.
    frames : sequence of Frame
        Structures, of which two or more have a ``polarizability``; on the device of the sites.
    """
    known = [frame for frame in frames if "polarizability" in frame.labels]
    unit, n, dtype = float(sites.units[2]), len(known), sites.w3.dtype
    label = torch.stack([frame.labels["polarizability"].double() for frame in known]) / unit
    label = (label + label.transpose(1, 2)) / 2
    atoms = [[len(rows) for rows in frame.centers] for frame in known]
    counts = torch.tensor(atoms, dtype=torch.float64, device=label.device)
    trace = label.diagonal(dim1=1, dim2=2).mean(1) - counts @ sites.site[:, 1] / unit
    constants = math.sqrt(_FREE) * _inverse_size(counts)
    rank2 = sites.rank2.double().reshape(5, 9)
    tensor = label.reshape(n, 9) @ torch.linalg.pinv(rank2)
    species = [s for s in range(counts.shape[1]) if counts[:, s].any()]
    progress = Progress(log, "parts of the ridge regression", len(species) * n + (len(_SHARES) + 1) * len(_PENALTIES))
    features = [_features(sites, s, known, progress) for s in species]
    linear = torch.stack([f.tensors @ f.tensors.t() for f in features]).sum(0)
    nonlinear = torch.stack([f.nonlinear @ f.nonlinear.t() for f in features]).sum(0).double()
    isotropic = torch.stack([f.scalars @ f.scalars.t() for f in features]).sum(0) + constants**2 * counts @ counts.t()
    fits = [(_leave_out(linear + c * nonlinear, tensor, progress), c) for c in _SHARES]
    (error, penalty, dual), share = min(fits, key=lambda fit: float(fit[0][0].square().sum()))
    trace_error, trace_penalty, trace_dual = _leave_out(isotropic, trace[:, None], progress)
    first = 2 + sites.n_vectors
    columns = slice(first, first + sites.n_tensors)
    for s, f in zip(species, features, strict=True):
        products = f.nonlinear.t() @ dual.to(f.nonlinear.dtype)
        weights = share * f.nonlinear_scale * products.double().reshape(-1, sites.n_tensors)
        sites.w3[s, :, columns] = weights.to(dtype)
        sites.b3[s, columns] = (f.tensor_scale * (f.tensors.t() @ dual) - f.mean @ weights).to(dtype)
        weights = f.scalar_scale * (f.scalars.t() @ trace_dual)
        sites.w3[s, :, 1] = weights.to(dtype)
        sites.b3[s, 1] = constants**2 * counts[:, s] @ trace_dual - f.mean @ weights
    square = (error @ rank2).square().sum() + 3 * trace_error.square().sum()
    return RidgeFit(penalty, trace_penalty, share, unit * math.sqrt(float(square) / (9 * n)))


def _features(sites: EnthalpySites, s: int, frames: Sequence[Frame], progress: Progress) -> _Features:
    gain = sites.gain[s, sites.n_vectors : sites.n_vectors + sites.n_tensors]
    hidden, tensors = [], []
    for frame in frames:
        _, h, weighted = sites.hidden(s, frame.densities[s])
        hidden.append(h)
        tensors.append(weighted[1] * gain)
        progress.advance()
    mean = torch.cat(hidden).double().mean(0)
    size = math.sqrt(float((torch.cat(hidden) - mean.to(gain.dtype)).double().square().sum(1).mean())) or 1.0
    centred = [(h - mean.to(gain.dtype)) / size for h in hidden]
    sums = torch.cat([t.double().sum(1) for t in tensors])
    nonlinear = torch.cat([torch.einsum("cit,ih->cht", t, h).flatten(1) for t, h in zip(tensors, centred, strict=True)])
    scalars = torch.stack([h.double().sum(0) for h in centred])
    scale, scalar_scale = _inverse_size(sums), _inverse_size(scalars)
    sums, scalars, nonlinear = scale * sums, scalar_scale * scalars, nonlinear * scale
    return _Features(mean, sums, nonlinear, scalars, scale, scale / size, scalar_scale / size)


def _inverse_size(rows: Tensor) -> float:
    """Return one over the root mean square length of rows; 0 if they vanish."""
    square = float(rows.square().sum(1).mean())
    return 1 / math.sqrt(square) if square > 0 else 0.0


def _leave_out(kernel: Tensor, label: Tensor, progress: Progress) -> tuple[Tensor, float, Tensor]:
    """Return the smallest leave-one-out errors over the penalties, with the penalty and the solution.

    Parameters
    ----------
    kernel : Tensor, shape (n * k, n * k)
    label : Tensor, shape (n, k)
    progress : Progress
        Advanced by one part for each penalty.

    Returns
    -------
    errors : Tensor, shape (n, k)
    penalty : float
        Relative to the mean of the diagonal.
    dual : Tensor, shape (n * k,)
        ``(kernel + penalty * mean)^-1 label``.
    """
    n, k = label.shape
    size = kernel.diagonal().mean()
    values, vectors = torch.linalg.eigh(kernel / size)
    projected, rows = vectors.t() @ label.flatten(), vectors.reshape(n, k, n * k)
    best: tuple[Tensor, float, Tensor] | None = None
    for penalty in _PENALTIES:
        inverse = 1 / (values.clamp(min=0) + penalty)
        dual = vectors @ (inverse * projected)
        blocks = (rows * inverse) @ rows.transpose(1, 2)
        errors = torch.linalg.solve(blocks, dual.reshape(n, k, 1))[:, :, 0]
        if best is None or errors.square().sum() < best[0].square().sum():
            best = errors, penalty, dual / size
        progress.advance()
    assert best is not None
    return best
