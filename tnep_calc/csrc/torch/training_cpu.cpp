// CPU implementation of the operators for training in tnep_calc/ops/schemas.inc: argument checks, threads, outputs.
#include <ATen/Functions.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include "core/nep/layout.h"
#include "core/training/api.h"
#include "torch/arguments.h"
#include "torch/threads.h"

namespace tnep {
namespace {

constexpr int64_t kTile = 128;  // number of centres whose sums stay in the cache
constexpr int64_t kLeast = 64;  // smallest number of centres in a chunk

template <class R>
constexpr std::array<Sum<R>, 0> kNoSums = {};

void check_like(const Tensor& t, const char* name, const Tensor& like, at::IntArrayRef shape) {
  TORCH_CHECK(t.sizes() == shape && t.scalar_type() == like.scalar_type() && t.device().is_cpu(), name, " must be a ",
              like.scalar_type(), " tensor of shape ", shape, " on the CPU, got ", t.scalar_type(), " of shape ",
              t.sizes(), " on ", t.device());
}

// Sums and networks of P models.  rows: index of the first centre of every species, then the number of centres.
struct Sites {
  Tensor radial, angular, shift, scale, w0, b0, w1;
  std::vector<int64_t> rows;
  int64_t l_max, extra;

  Sites(const Tensor& radial_, const Tensor& angular_, const Tensor& shift_, const Tensor& scale_, const Tensor& w0_,
        const Tensor& b0_, const Tensor& w1_, at::IntArrayRef rows_, int64_t l_max_, int64_t extra_)
      : radial(radial_.contiguous()),
        angular(angular_.contiguous()),
        shift(shift_.contiguous()),
        scale(scale_.contiguous()),
        w0(w0_.contiguous()),
        b0(b0_.contiguous()),
        w1(w1_.contiguous()),
        rows(rows_.vec()),
        l_max(l_max_),
        extra(extra_) {
    const auto type = radial.scalar_type();
    TORCH_CHECK(radial.dim() == 3 && (type == at::kFloat || type == at::kDouble) && radial.device().is_cpu(),
                "radial must be a float32 or float64 tensor of shape (models, n, centres) on the CPU, got ", type,
                " of shape ", radial.sizes());
    TORCH_CHECK(w0.dim() == 5, "w0 must have the shape (models, networks, species, neurons, dim), got ", w0.sizes());
    TORCH_CHECK(l_max >= 1 && l_max <= kMaxL && extra >= 0 && extra < (1 << kExtraBlocks), "l_max must be from 1 to ",
                kMaxL, " and extra below ", 1 << kExtraBlocks, ", got ", l_max, " and ", extra);
    const int64_t models = radial.size(0), centres = radial.size(2), species = w0.size(2);
    TORCH_CHECK(angular.dim() == 4, "angular must have the shape (models, n, components, centres)");
    check_like(angular, "angular", radial, {models, angular.size(1), (l_max + 1) * (l_max + 1) - 1, centres});
    const int64_t blocks = l_max + __builtin_popcountll(uint64_t(extra));
    const int64_t dim = radial.size(1) + angular.size(1) * blocks, networks = w0.size(1), neurons = w0.size(3);
    check_like(w0, "w0", radial, {models, networks, species, neurons, dim});
    check_like(b0, "b0", radial, {models, networks, species, neurons});
    check_like(w1, "w1", radial, {models, networks, species, neurons});
    check_like(shift, "shift", radial, {models, species, dim});
    check_like(scale, "scale", radial, {models, species, dim});
    TORCH_CHECK(int64_t(rows.size()) == species + 1 && rows.front() == 0 && rows.back() == centres &&
                    std::is_sorted(rows.begin(), rows.end()),
                "rows must rise from 0 to the number of centres ", centres, ", one number more than species, got ",
                rows_);
    TORCH_CHECK((l_max >= 2 || !(extra & 5)) && (l_max >= 3 || !(extra & 24)) && (l_max >= 4 || !(extra & 32)),
                "l_max = ", l_max, " is too small for the optional blocks ", extra);
  }

  int64_t models() const { return radial.size(0); }
  int64_t centres() const { return radial.size(2); }
  int64_t species() const { return w0.size(2); }
  int64_t last() const { return w0.size(1) - 1; }

  template <class R>
  TrainedNet<R> net(int64_t model, int64_t network, int64_t t) const {
    const int64_t at = ((model * w0.size(1) + network) * species() + t) * w0.size(3);
    return {w0.const_data_ptr<R>() + at * w0.size(4), b0.const_data_ptr<R>() + at, w1.const_data_ptr<R>() + at};
  }

  template <class R>
  SiteProblem<R> problem(int64_t model, int64_t t) const {
    const int64_t dim = w0.size(4), at = (model * species() + t) * dim;
    return {int(radial.size(1)),
            int(angular.size(1)),
            int(l_max),
            int(extra),
            int(w0.size(3)),
            int(dim),
            centres(),
            radial.const_data_ptr<R>() + model * radial.stride(0),
            angular.const_data_ptr<R>() + model * angular.stride(0),
            shift.const_data_ptr<R>() + at,
            scale.const_data_ptr<R>() + at,
            net<R>(model, 0, t),
            net<R>(model, last(), t)};
  }

  int64_t chunks() const { return count_chunks(models() * centres(), kLeast); }

  // Call f(model, species, begin, end) for the centres of one chunk of all models and centres.
  template <class F>
  void in_chunk(int64_t chunk, F&& f) const {
    const int64_t all = models() * centres(), first = all * chunk / chunks(), last = all * (chunk + 1) / chunks();
    for (int64_t model = 0; model < models(); model++)
      for (int64_t t = 0; t < species(); t++) {
        const int64_t begin = std::max(first - model * centres(), rows[t]);
        const int64_t end = std::min(last - model * centres(), rows[t + 1]);
        if (begin < end) f(model, t, begin, end);
      }
  }
};

#define TNEP_SITES                                                                                         \
  const Tensor &radial, const Tensor &angular, const Tensor &shift, const Tensor &scale, const Tensor &w0, \
      const Tensor &b0, const Tensor &w1, at::IntArrayRef rows, int64_t l_max, int64_t extra
#define TNEP_CHECKED_SITES radial, angular, shift, scale, w0, b0, w1, rows, l_max, extra

template <class F>
void by_type(const Tensor& t, F&& f) {
  if (t.scalar_type() == at::kFloat) f(float());
  else f(double());
}

std::tuple<Tensor, Tensor, Tensor> sites(TNEP_SITES) {
  const Sites in(TNEP_CHECKED_SITES);
  Tensor values = at::empty({in.models(), in.centres()}, in.radial.options());
  Tensor by_radial = at::empty_like(in.radial), by_angular = at::empty_like(in.angular);
  by_type(in.radial, [&](auto real) {
    using R = decltype(real);
    const TrainingKernel<R>& k = training_kernel<R>();
    R* const v = values.mutable_data_ptr<R>();
    R* const r = by_radial.mutable_data_ptr<R>();
    R* const a = by_angular.mutable_data_ptr<R>();
    in_chunks(in.chunks(), kNoSums<R>, [&](int64_t chunk, const auto&) {
      in.in_chunk(chunk, [&](int64_t model, int64_t t, int64_t begin, int64_t end) {
        const SiteProblem<R> p = in.problem<R>(model, t);
        k.sites(p, begin, end, v + model * in.centres(), r + model * by_radial.stride(0),
                a + model * by_angular.stride(0), workspace(k.workspace_bytes(p)));
      });
    });
  });
  return {values, by_radial, by_angular};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> sites_backward(const std::optional<Tensor>& g_value,
                                                                  const Tensor& g_radial, const Tensor& g_angular,
                                                                  TNEP_SITES) {
  const Sites in(TNEP_CHECKED_SITES);
  check_like(g_radial, "g_radial", in.radial, in.radial.sizes());
  check_like(g_angular, "g_angular", in.radial, in.angular.sizes());
  if (g_value) check_like(*g_value, "g_value", in.radial, {in.models(), in.centres()});
  const Tensor gv = g_value ? g_value->contiguous() : Tensor(), gr = g_radial.contiguous(), ga = g_angular.contiguous();
  Tensor by_radial = at::empty_like(in.radial), by_angular = at::empty_like(in.angular);
  Tensor by_w0 = at::zeros_like(in.w0), by_b0 = at::zeros_like(in.b0), by_w1 = at::zeros_like(in.w1);
  by_type(in.radial, [&](auto real) {
    using R = decltype(real);
    const TrainingKernel<R>& k = training_kernel<R>();
    R* const r = by_radial.mutable_data_ptr<R>();
    R* const a = by_angular.mutable_data_ptr<R>();
    const std::array<Sum<R>, 3> sums = {{{by_w0.mutable_data_ptr<R>(), by_w0.numel()},
                                         {by_b0.mutable_data_ptr<R>(), by_b0.numel()},
                                         {by_w1.mutable_data_ptr<R>(), by_w1.numel()}}};
    in_chunks(in.chunks(), sums, [&](int64_t chunk, const std::array<R*, 3>& rows) {
      in.in_chunk(chunk, [&](int64_t model, int64_t t, int64_t begin, int64_t end) {
        const SiteProblem<R> p = in.problem<R>(model, t);
        const auto gradient = [&](const TrainedNet<R>& net) -> TrainedNetGradient<R> {
          const int64_t at = net.b0 - in.b0.const_data_ptr<R>();
          return {rows[0] + at * p.dim, rows[1] + at, rows[2] + at};
        };
        k.sites_backward(p, begin, end, g_value ? gv.const_data_ptr<R>() + model * in.centres() : nullptr,
                         gr.const_data_ptr<R>() + model * gr.stride(0), ga.const_data_ptr<R>() + model * ga.stride(0),
                         r + model * by_radial.stride(0), a + model * by_angular.stride(0), gradient(p.derivative_net),
                         gradient(p.value_net), workspace(k.workspace_bytes(p)));
      });
    });
  });
  return {by_radial, by_angular, by_w0, by_b0, by_w1};
}

// Coefficients (P, T, T, n, k), indexed by the species of centre and neighbour, and the moments of groups of centres,
// each of shape (near k, ..., centres).  near: for each group the species of the centres, the number of species of
// their neighbours, and these species.
struct Moments {
  Tensor c;
  std::vector<Tensor> moments;
  struct Piece {
    size_t group;
    int64_t place;              // index of the neighbour species within the group
    int64_t centre, neighbor;   // species
    int64_t first, begin, end;  // index of the group's first centre; range of centres within the group
  };
  std::vector<Piece> pieces;
  int64_t components = 1, s = 1, centres = 0;

  Moments(const Tensor& c_, at::IntArrayRef near, at::TensorList moments_, bool fields) : c(c_.contiguous()) {
    TORCH_CHECK(c.dim() == 5 && c.size(1) == c.size(2) &&
                    (c.scalar_type() == at::kFloat || c.scalar_type() == at::kDouble) && c.device().is_cpu(),
                "coefficients must be a float32 or float64 tensor of shape (models, T, T, n, k) on the CPU, got ",
                c.scalar_type(), " of shape ", c.sizes());
    TORCH_CHECK(!moments_.empty(), "there must be at least one group");
    size_t at = 0;
    for (size_t g = 0; g < moments_.size(); g++) {
      const Tensor& m = moments_[g];
      TORCH_CHECK(m.dim() == (fields ? 4 : 3), "moments must have the shape (near k, ", fields ? "fields, " : "",
                  "components, centres), got ", m.sizes());
      if (g == 0) {
        components = fields ? m.size(1) : 1;
        s = m.size(m.dim() - 2);
      }
      TORCH_CHECK(at + 2 <= near.size() && near[at + 1] >= 1 && at + 2 + size_t(near[at + 1]) <= near.size(),
                  "near is too short for ", moments_.size(), " groups");
      const int64_t centre = near[at], count = near[at + 1], n = m.size(m.dim() - 1);
      if (fields) check_like(m, "moments", c, {count * c.size(4), components, s, n});
      else check_like(m, "moments", c, {count * c.size(4), s, n});
      moments.push_back(m.contiguous());
      for (int64_t begin = 0; begin < n; begin += kTile)
        for (int64_t k = 0; k < count; k++)
          pieces.push_back({g, k, centre, near[at + 2 + k], centres, begin, std::min(begin + kTile, n)});
      for (size_t k = at; k < at + 2 + count; k++)
        TORCH_CHECK(k == at + 1 || (near[k] >= 0 && near[k] < c.size(1)), "near must have species from 0 to ",
                    c.size(1) - 1, ", got ", near[k]);
      at += 2 + count;
      centres += n;
    }
    TORCH_CHECK(at == near.size(), "near is too long for ", moments_.size(), " groups");
  }

  template <class R>
  MomentProblem<R> problem(const Piece& piece) const {
    const Tensor& m = moments[piece.group];
    const int64_t k = c.size(4);
    return {int(c.size(0)),
            int(c.size(3)),
            int(k),
            int(components),
            int(s),
            centres,
            m.size(m.dim() - 1),
            c.stride(0),
            c.const_data_ptr<R>() + coefficients(piece),
            m.const_data_ptr<R>() + piece.place * k * m.stride(0)};
  }

  int64_t coefficients(const Piece& piece) const { return piece.centre * c.stride(1) + piece.neighbor * c.stride(2); }

  // Pieces of the same centres are contiguous and stay in one chunk, so that no two threads write to the same sums.
  int64_t chunks() const { return count_chunks(centres, kLeast); }
  template <class F>
  void in_chunk(int64_t chunk, F&& f) const {
    const int64_t all = int64_t(pieces.size());
    const auto start = [&](int64_t i) {
      while (i > 0 && i < all && pieces[i].place > 0) i++;
      return i;
    };
    for (int64_t i = start(all * chunk / chunks()); i < start(all * (chunk + 1) / chunks()); i++) f(pieces[i]);
  }
};

Tensor project(const Tensor& coefficients, at::IntArrayRef near, at::TensorList moments) {
  const Moments in(coefficients, near, moments, false);
  Tensor out = at::zeros({in.c.size(0), in.c.size(3), in.s, in.centres}, in.c.options());
  by_type(in.c, [&](auto real) {
    using R = decltype(real);
    R* const to = out.mutable_data_ptr<R>();
    in_chunks(in.chunks(), kNoSums<R>, [&](int64_t chunk, const auto&) {
      in.in_chunk(chunk, [&](const Moments::Piece& piece) {
        training_kernel<R>().project(in.problem<R>(piece), piece.begin, piece.end, to + piece.first);
      });
    });
  });
  return out;
}

Tensor project_backward(const Tensor& g, const Tensor& coefficients, at::IntArrayRef near, at::TensorList moments) {
  const Moments in(coefficients, near, moments, false);
  check_like(g, "g", in.c, {in.c.size(0), in.c.size(3), in.s, in.centres});
  const Tensor gradient = g.contiguous();
  Tensor by_c = at::zeros_like(in.c);
  by_type(in.c, [&](auto real) {
    using R = decltype(real);
    const std::array<Sum<R>, 1> sums = {{{by_c.mutable_data_ptr<R>(), by_c.numel()}}};
    in_chunks(in.chunks(), sums, [&](int64_t chunk, const std::array<R*, 1>& rows) {
      in.in_chunk(chunk, [&](const Moments::Piece& piece) {
        training_kernel<R>().project_backward(in.problem<R>(piece), piece.begin, piece.end,
                                              gradient.const_data_ptr<R>() + piece.first,
                                              rows[0] + in.coefficients(piece));
      });
    });
  });
  return by_c;
}

Tensor contiguous_h(const Moments& in, const Tensor& h) {
  check_like(h, "h", in.c, {in.c.size(0), in.c.size(3), in.s, in.centres});
  return h.contiguous();
}

Tensor along(const Tensor& h, const Tensor& coefficients, at::IntArrayRef near, at::TensorList moments) {
  const Moments in(coefficients, near, moments, true);
  const Tensor own_h = contiguous_h(in, h);
  Tensor out = at::zeros({in.c.size(0), in.components, in.centres}, in.c.options());
  by_type(in.c, [&](auto real) {
    using R = decltype(real);
    R* const to = out.mutable_data_ptr<R>();
    in_chunks(in.chunks(), kNoSums<R>, [&](int64_t chunk, const auto&) {
      in.in_chunk(chunk, [&](const Moments::Piece& piece) {
        training_kernel<R>().along(in.problem<R>(piece), piece.begin, piece.end,
                                   own_h.const_data_ptr<R>() + piece.first, to + piece.first);
      });
    });
  });
  return out;
}

std::tuple<Tensor, Tensor> along_backward(const Tensor& g, const Tensor& h, const Tensor& coefficients,
                                          at::IntArrayRef near, at::TensorList moments) {
  const Moments in(coefficients, near, moments, true);
  const Tensor own_h = contiguous_h(in, h);
  check_like(g, "g", in.c, {in.c.size(0), in.components, in.centres});
  const Tensor gradient = g.contiguous();
  Tensor by_h = at::zeros_like(own_h), by_c = at::zeros_like(in.c);
  by_type(in.c, [&](auto real) {
    using R = decltype(real);
    R* const to = by_h.mutable_data_ptr<R>();
    const std::array<Sum<R>, 1> sums = {{{by_c.mutable_data_ptr<R>(), by_c.numel()}}};
    in_chunks(in.chunks(), sums, [&](int64_t chunk, const std::array<R*, 1>& rows) {
      in.in_chunk(chunk, [&](const Moments::Piece& piece) {
        training_kernel<R>().along_backward(
            in.problem<R>(piece), piece.begin, piece.end, own_h.const_data_ptr<R>() + piece.first,
            gradient.const_data_ptr<R>() + piece.first, to + piece.first, rows[0] + in.coefficients(piece));
      });
    });
  });
  return {by_h, by_c};
}

}  // namespace
}  // namespace tnep

TORCH_LIBRARY_IMPL(tnep, CPU, m) {
  m.impl("training_sites", &tnep::sites);
  m.impl("training_sites_backward", &tnep::sites_backward);
  m.impl("training_project", &tnep::project);
  m.impl("training_project_backward", &tnep::project_backward);
  m.impl("training_along", &tnep::along);
  m.impl("training_along_backward", &tnep::along_backward);
}
