// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/gpus.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

using namespace LAMMPS_NS;

static constexpr int MOST_LISTED = 64;  // ranks whose GPU is listed

// Variables for the rank on a node and the number of ranks there.
static constexpr const char* LAUNCHERS[][2] = {{"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
                                               {"MPI_LOCALRANKID", "MPI_LOCALNRANKS"},  // MPICH, Intel MPI
                                               {"MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"},
                                               {"PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"},  // Cray
                                               {"SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"}};

// The number in a variable, -1 if it is not set to a number.
static int number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (!text || *text < '0' || *text > '9') return -1;
  return std::atoi(text);
}

TnepNodeRank LAMMPS_NS::tnep_node_rank(MPI_Comm world, int partitions, int universe_rank) {
  if (partitions > 1) {
    for (const auto& [rank, count] : LAUNCHERS)
      if (number_in(rank) >= 0) return {number_in(rank), std::max(0, number_in(count))};
    return {universe_rank, 0};
  }
  MPI_Comm node;
  TnepNodeRank here{0, 1};
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &here.rank);
  MPI_Comm_size(node, &here.count);
  MPI_Comm_free(&node);
  return here;
}

std::string LAMMPS_NS::tnep_gpu_warning(MPI_Comm world, const TnepNodeRank& here, int gpus, bool masked) {
  int mine[2] = {0, 0}, most[2];  // ranks that share a GPU; idle GPUs
  if (here.count > gpus && !(masked && gpus == 1)) mine[0] = (here.count + gpus - 1) / gpus;
  if (here.count > 0 && here.count < gpus) mine[1] = gpus - here.count;
  MPI_Allreduce(mine, most, 2, MPI_INT, MPI_MAX, world);
  if (most[0] > 0) return "up to " + std::to_string(most[0]) + " ranks share a GPU; one rank per GPU is fastest";
  if (most[1] > 0)
    return std::to_string(most[1]) + " GPU(s) of a node are idle; start one rank per GPU, or hide the others by " +
           "CUDA_VISIBLE_DEVICES";
  return "";
}

std::string LAMMPS_NS::tnep_gpu_list(MPI_Comm world, int gpu) {
  int size = 1;
  MPI_Comm_size(world, &size);
  std::vector<int> all(size);
  MPI_Gather(&gpu, 1, MPI_INT, all.data(), 1, MPI_INT, 0, world);
  std::string words;
  for (int k = 0; k < std::min(size, MOST_LISTED); k++) words += (k ? " " : "") + std::to_string(all[k]);
  return size > MOST_LISTED ? words + " ..." : words;
}
