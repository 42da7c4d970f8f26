// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/compute_tnep.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"
#include "update.h"

#include "shared/neigh_request_api.h"
#include "shared/driver.h"

#include <algorithm>
#include <utility>

using namespace LAMMPS_NS;

ComputeTnep::ComputeTnep(LAMMPS *lmp, int narg, char **arg, const char *kind, std::string quantity_name,
                         std::vector<int> component_order) :
    Compute(lmp, narg, arg),
    driver(std::make_unique<TnepDriver>(lmp, std::string("Compute ") + arg[2])), quantity(std::move(quantity_name)),
    order(std::move(component_order)), stride(order.size() == 3 ? 3 : 9), list(nullptr), evaluated(-1), nmax(0)
{
  if (narg < 5)
    error->all(FLERR, "Compute {}: expected 'compute ID group {} file element1 element2 ...', one element (or NULL) "
               "for each of the {} atom types", style, style, atom->ntypes);
  vector_flag = peratom_flag = 1;
  size_vector = size_peratom_cols = static_cast<int>(order.size());
  extvector = 1;
  dynamic_group_allow = 1;
  vector = new double[size_vector]();
  driver->load(arg[3], kind, narg - 4, arg + 4);
}

ComputeTnep::~ComputeTnep()
{
  delete[] vector;
  memory->destroy(array_atom);
}

void ComputeTnep::init()
{
  driver->check_units();
  check();
  driver->check_ghosts(driver->cutoff());
  evaluated = -1;
  // A list that is built when asked for; LAMMPS adds no skin to it.
  neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_OCCASIONAL)->set_cutoff(driver->cutoff());
}

void ComputeTnep::init_list(int /*id*/, NeighList *ptr)
{
  list = ptr;
}

void ComputeTnep::setup()
{
  driver->check_exclusions();
}

void ComputeTnep::evaluate()
{
  if (evaluated == update->ntimestep) return;
  if (atom->nmax > nmax || !array_atom) {
    nmax = atom->nmax;
    memory->destroy(array_atom);
    memory->create(array_atom, nmax, size_peratom_cols, "tnep:array_atom");
  }
  const int columns = size_peratom_cols;
  for (int i = 0; i < atom->nlocal; i++) std::fill_n(array_atom[i], columns, 0.0);

  neighbor->build_one(list);
  driver->evaluate(*list, groupbit, {quantity}, true);
  const double unit = factor();
  const int64_t n = driver->n_centers();
  std::vector<double> sum(columns, 0.0);
  if (n > 0) {
    const double *tensors = driver->result(quantity, stride * n);
    driver->require_finite(tensors, n, stride, "the response", true);
    for (int64_t c = 0; c < n; c++) {
      double *row = array_atom[driver->center(c)];
      for (int k = 0; k < columns; k++) sum[k] += row[k] = unit * tensors[stride * c + order[k]];
    }
  }
  MPI_Allreduce(sum.data(), vector, columns, MPI_DOUBLE, MPI_SUM, world);
  evaluated = update->ntimestep;
}

void ComputeTnep::compute_vector()
{
  invoked_vector = update->ntimestep;
  evaluate();
}

void ComputeTnep::compute_peratom()
{
  invoked_peratom = update->ntimestep;
  evaluate();
}

double ComputeTnep::memory_usage()
{
  return static_cast<double>(nmax) * size_peratom_cols * sizeof(double);
}
