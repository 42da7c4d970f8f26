// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/driver.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "neighbor.h"
#include "pair.h"
#include "universe.h"
#include "update.h"
#include "utils.h"

#include "shared/gpus.h"
#include "shared/nep_txt.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <utility>

using namespace LAMMPS_NS;

static constexpr int RANGE_EVERY = 100;
static constexpr int MINIMIZATION = 2;  // value of update->whichflag

TnepDriver::TnepDriver(LAMMPS* lmp, std::string style_name) : Pointers(lmp), style(std::move(style_name)) {}

TnepDriver::~TnepDriver() {
  if (!model || !model->on_gpu() || comm->me != 0) return;
  const TnepTransfers t = model->transfers();
  utils::logmesg(lmp,
                 "{}: {}: {} evaluations on a GPU, {} with a new neighbour list; rank 0 sent {} copies of {} bytes and "
                 "received {} of {}\n",
                 style, file, t.steps, t.lists, t.sent, t.bytes_sent, t.received, t.bytes_received);
}

// Rank 0 reads the file and broadcasts its content, so the file is read once and all ranks succeed or fail together.
std::string TnepDriver::read_on_all_ranks(const std::string& kind) {
  std::string content, failure;
  int size = -1;
  if (comm->me == 0) {
    const std::string path = utils::get_potential_file_path(file);
    std::ifstream stream(path, std::ios::binary);
    if (!path.empty() && stream) {
      std::ostringstream bytes;
      bytes << stream.rdbuf();
      content = bytes.str();
      if (!stream.bad() && content.size() < INT_MAX) size = static_cast<int>(content.size());
      if (kind == "potential" && tnep_is_nep_txt(content)) {
        try {
          content = tnep_export(path);
          size = static_cast<int>(content.size());
        } catch (const std::exception& e) {
          failure = e.what();
        }
      }
    }
  }
  int length = static_cast<int>(failure.size());
  MPI_Bcast(&length, 1, MPI_INT, 0, world);
  if (length > 0) {
    failure.resize(length);
    MPI_Bcast(&failure[0], length, MPI_CHAR, 0, world);
    error->all(FLERR, "{}: {}: {}", style, file, failure);
  }
  MPI_Bcast(&size, 1, MPI_INT, 0, world);
  if (size < 0)
    error->all(FLERR, "{}: cannot read model file '{}' (looked here and in the folders of LAMMPS_POTENTIALS)", style,
               file);
  content.resize(size);
  MPI_Bcast(&content[0], size, MPI_CHAR, 0, world);
  return content;
}

// The GPU of this process, -1 for the CPU.  Collective.
int TnepDriver::choose_gpu(const std::string& device) const {
  if (device.empty() || device == "cpu") return -1;
  const int gpus = TnepModel::cuda_devices();
  int least = gpus;
  MPI_Allreduce(&gpus, &least, 1, MPI_INT, MPI_MIN, world);
  if (least == 0) {
    if (device == "auto") return -1;
    error->all(FLERR, "{}: device cuda: torch {} finds no GPU on every node; use device cpu, or a torch with CUDA",
               style, TnepModel::torch_running());
  }
  const TnepNodeRank here = tnep_node_rank(world, universe->nworlds, universe->me);
  const int gpu = here.rank % gpus;
  if (gpus_announced) return gpu;
  gpus_announced = true;
  const std::string warning = tnep_gpu_warning(world, here, gpus, std::getenv("CUDA_VISIBLE_DEVICES") != nullptr);
  if (!warning.empty() && comm->me == 0) error->warning(FLERR, "{}: {}", style, warning);
  const std::string all = tnep_gpu_list(world, gpu);
  if (comm->me == 0) utils::logmesg(lmp, "{}: GPUs of the ranks: {}\n", style, all);
  return gpu;
}

void TnepDriver::load(const std::string& name, const std::string& kind, int nelements, char** elements,
                      const std::string& dtype, const std::string& device) {
  file = name;
  model.reset();
  const std::string content = read_on_all_ranks(kind);
  fingerprint = std::hash<std::string>{}(content);
  const int gpu = choose_gpu(device);
  std::string failure;
  try {
    model = std::make_unique<TnepModel>(content, dtype, comm->nthreads, gpu);
  } catch (const std::exception& e) {
    failure = e.what();
  }
  if (!failure.empty()) error->all(FLERR, "{}: model file {}: {}", style, file, failure);

  const auto& meta = model->metadata();
  if (!kind.empty() &&
      !meta.gives(kind == "potential" ? "forces" : kind))  // the other kinds are named after their quantity
    error->all(FLERR, "{} needs a {} model, but {} is a {} model", style, kind, file, meta.kind);
  map_types(nelements, elements);
  check_units();
  if (comm->me == 0)
    utils::logmesg(lmp, "{}: {} ({} {}, species {}, cutoff {} A, {}), torch {}{}\n", style, file, meta.family,
                   meta.kind, tnep_join(meta.species), meta.cutoff, meta.dtype, TnepModel::torch_running(),
                   gpu >= 0 ? ", cuda" : "");
}

void TnepDriver::map_types(int nelements, char** elements) {
  const auto& known = model->metadata().species;
  species_of_type.assign(atom->ntypes + 1, -1);
  if (nelements == 0 && atom->ntypes == 1 && known.size() == 1) {
    species_of_type[1] = 0;
    return;
  }
  if (nelements != atom->ntypes)
    error->all(FLERR,
               "{}: expected one element (or NULL) for each of the {} atom types after {}, got {}; the model "
               "knows {}",
               style, atom->ntypes, file, nelements, tnep_join(known));
  std::vector<std::string> unknown;
  for (int k = 0; k < nelements; k++) {
    const std::string symbol = elements[k];
    if (symbol == "NULL") continue;
    const auto found = std::find(known.begin(), known.end(), symbol);
    if (found == known.end()) unknown.push_back(symbol);
    else species_of_type[k + 1] = static_cast<int>(found - known.begin());
  }
  if (!unknown.empty())
    error->all(FLERR, "{}: model {} does not know the element(s) {}; it knows {}", style, file, tnep_join(unknown),
               tnep_join(known));
  if (*std::max_element(species_of_type.begin(), species_of_type.end()) < 0)
    error->all(FLERR, "{}: all atom types are NULL; name at least one of {}", style, tnep_join(known));
}

std::string TnepDriver::dtype_of(const std::string& word) const {
  if (word != "single" && word != "double")
    error->all(FLERR, "{}: precision must be single or double, got '{}'", style, word);
  return word == "single" ? "float32" : "float64";
}

void TnepDriver::check_units() {
  if (!tnep_units(update->unit_style, units))
    error->all(FLERR, "{}: units {} cannot be converted; use metal, real, electron, si, cgs, micro or nano", style,
               update->unit_style);
}

// LAMMPS leaves bonded pairs whose special_bonds factors are 0 out of neighbour lists; the model would see a vacancy.
void TnepDriver::check_exclusions() {
  int excluded = neighbor->exclude ? 1 : 0;
  if (atom->nspecial)
    for (int i = 0; i < atom->nlocal; i++) {
      if (!sees(atom->type[i])) continue;
      for (int k = 1, before = 0; k <= 3; before = atom->nspecial[i][k - 1], k++)
        if (atom->nspecial[i][k - 1] > before && neighbor->special_flag[k] == 0) excluded |= 2;
    }
  int any = 0;
  MPI_Allreduce(&excluded, &any, 1, MPI_INT, MPI_BOR, world);
  if (any & 2)
    error->all(FLERR,
               "{}: bonded neighbours are excluded from the neighbour list; use special_bonds lj/coul 1.0 1.0 "
               "1.0",
               style);
  if ((any & 1) && comm->me == 0)
    error->warning(FLERR, "{}: pairs that neigh_modify exclude removes are missing in the model's neighbourhoods",
                   style);
}

// Without a check of distances, an atom may come within the cutoff before the list is built again.
void TnepDriver::check_rebuilds() const {
  if (comm->me == 0 && !neighbor->dist_check && std::max(neighbor->every, neighbor->delay) > 1)
    error->warning(FLERR,
                   "{}: neighbour lists are built every {} steps without a check of distances, so that neighbours may "
                   "be missed; use 'neigh_modify every 1 delay 0 check yes'",
                   style, std::max(neighbor->every, neighbor->delay));
}

void TnepDriver::check_minimization(const std::string& remedy) const {
  if (update->whichflag == MINIMIZATION && metadata().dtype == "float32" && comm->me == 0)
    error->warning(FLERR,
                   "{}: a minimization in single precision may end early with 'linesearch alpha is zero', because of "
                   "rounding; use '{}', or stop with a force tolerance of about 1e-3 eV/A",
                   style, remedy);
}

// Ghost atoms are chosen when lists are rebuilt and may have moved by half the skin since.
void TnepDriver::check_ghosts(double cutoff) const {
  const double needed = cutoff + neighbor->skin;
  double present = comm->cutghostuser;
  if (force->pair) present = std::max(present, force->pair->cutforce + neighbor->skin);
  if (present < needed * (1.0 - 1e-12))
    error->all(FLERR,
               "{}: cutoff {} of the model plus skin {} exceeds the ghost atom cutoff {}; add "
               "'comm_modify cutoff {}' to the input",
               style, cutoff, neighbor->skin, present, needed);
}

bigint TnepDriver::count_atoms() const {
  bigint mine = 0, all = 0;
  for (int i = 0; i < atom->nlocal; i++) mine += sees(atom->type[i]);
  MPI_Allreduce(&mine, &all, 1, MPI_LMP_BIGINT, MPI_SUM, world);
  return all;
}

void TnepDriver::evaluate(const NeighList& list, int groupbit, const std::vector<std::string>& quantities,
                          const double* field, bool per_atom) {
  const bool fresh = neighbor->ago == 0 || neighbor->lastcall != list_step;
  list_step = neighbor->lastcall;
  const TnepAtoms atoms{atom->nlocal + atom->nghost, atom->x, atom->type, atom->mask};
  model->forget();
  if (model->on_gpu() || model->takes_positions(quantities, field != nullptr))
    edges.build_list(list, atoms, groupbit, species_of_type, units.length, fresh);
  else edges.build(list, atoms, groupbit, species_of_type, model->metadata().cutoff, units.length);
  if (edges.n_centers() == 0) return;
  TnepFieldView view{field, 0};
  if (field && per_atom) {
    center_field.resize(3 * edges.n_centers());
    for (int64_t c = 0; c < edges.n_centers(); c++)
      for (int k = 0; k < 3; k++) center_field[3 * c + k] = field[3 * static_cast<int64_t>(edges.center(c)) + k];
    view = {center_field.data(), 3};
  }
  std::string failure;
  try {
    model->evaluate(edges.graph(), quantities, view);
  } catch (const std::exception& e) {
    failure = e.what();
  }
  if (!failure.empty()) error->one(FLERR, "{}: evaluation of {} failed: {}", style, file, failure);
}

const double* TnepDriver::result(const std::string& quantity, int64_t size) {
  std::string failure;
  try {
    return model->result(quantity, size);
  } catch (const std::exception& e) {
    failure = e.what();
  }
  error->one(FLERR, "{}: {}: {}", style, file, failure);
}

int TnepDriver::descriptor_length() {
  int length = 0;
  std::string failure;
  try {
    int64_t species = 0, center = 0, offsets[2] = {0, 0}, neighbor = 0;  // an atom without neighbours
    double vector[3] = {};
    model->evaluate({1, 1, 0, &species, &center, offsets, &neighbor, vector, nullptr, nullptr}, {"descriptors"});
    length = static_cast<int>(model->size("descriptors"));
  } catch (const std::exception& e) {
    failure = e.what();
  }
  if (!failure.empty()) error->all(FLERR, "{}: evaluation of {} failed: {}", style, file, failure);
  return length;
}

void TnepDriver::watch_range() {
  const auto& meta = model->metadata();
  if (range_warned || meta.range.cutoff == 0.0 || range_calls++ % RANGE_EVERY != 0) return;
  TnepOutside outside;
  if (edges.n_centers() > 0) outside = tnep_outside(meta.range, edges.graph(), meta.species);
  int64_t mine[2] = {outside.atoms, edges.n_centers()}, all[2];
  MPI_Allreduce(mine, all, 2, MPI_INT64_T, MPI_SUM, world);
  if (all[0] == 0) return;
  range_warned = true;
  struct {
    double excess;
    int rank;
  } own{outside.atoms ? outside.excess : -1.0, comm->me}, worst;
  MPI_Allreduce(&own, &worst, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  int length = static_cast<int>(outside.words.size());
  MPI_Bcast(&length, 1, MPI_INT, worst.rank, world);
  outside.words.resize(length);
  MPI_Bcast(&outside.words[0], length, MPI_CHAR, worst.rank, world);
  if (comm->me == 0)
    error->warning(FLERR,
                   "{}: {}: {} of {} atoms are outside the range of the training data ({}) on step {}, so the results "
                   "may be wrong: check the structure, or train on such structures",
                   style, file, all[0], all[1], outside.words, update->ntimestep);
}

const double* TnepDriver::atom_result(const std::string& quantity, int columns) {
  if (edges.n_centers() == 0) return nullptr;
  return result(quantity, static_cast<int64_t>(columns) * (atom->nlocal + atom->nghost));
}

void TnepDriver::require_finite(const double* values, int64_t n, int columns, const char* what, bool by_center) {
  double sum = 0.0;
  for (int64_t k = 0; k < n * columns; k++) sum += values[k];
  if (std::isfinite(sum)) return;
  for (int64_t k = 0; k < n * columns; k++) {
    if (std::isfinite(values[k])) continue;
    const int i = by_center ? center(k / columns) : static_cast<int>(k / columns);
    error->one(FLERR,
               "{}: {} of atom {} (type {}, position {} {} {}) is not a number on step {}: overlapping atoms, "
               "or a structure far from the training data",
               style, what, atom->tag_enable ? atom->tag[i] : i + 1, atom->type[i], atom->x[i][0], atom->x[i][1],
               atom->x[i][2], update->ntimestep);
  }
}
