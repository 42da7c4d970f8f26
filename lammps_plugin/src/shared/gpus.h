// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_GPUS_H
#define TNEP_GPUS_H

#include <mpi.h>

#include <string>

namespace LAMMPS_NS {

// Place of a process among the processes of its node.
struct TnepNodeRank {
  int rank;
  int count;  // number of processes on the node; 0 if unknown
};

// The place of this process.  Several partitions (`-partition`) share the GPUs of a node, but may load their models at
// different times, so their processes cannot communicate here: the variables of the MPI launcher then give the place,
// and without them the rank in the universe.  Collective on `world`.
TnepNodeRank tnep_node_rank(MPI_Comm world, int partitions, int universe_rank);

// A warning if processes of a node share GPUs, or leave some idle; empty if not, or if this is unknown.  `gpus` is the
// number of GPUs that this process sees; `masked` says that CUDA_VISIBLE_DEVICES is set, which may show each process
// another GPU.  Collective on `world`: all processes return the same.
std::string tnep_gpu_warning(MPI_Comm world, const TnepNodeRank& here, int gpus, bool masked);

// The GPUs of all processes of `world` by rank, e.g. "0 1 0 1", on rank 0.  Collective.
std::string tnep_gpu_list(MPI_Comm world, int gpu);

}  // namespace LAMMPS_NS

#endif
