// SPDX-License-Identifier: GPL-2.0-or-later
//
// Registers the styles with the LAMMPS that loads this library, unless it is another LAMMPS, or has another torch, than
// the library was compiled for: class layouts are not stable, so a mismatch would crash later and without a reason.

#include "styles/compute_tnep_deviation.h"
#include "styles/compute_tnep_gradients.h"
#include "styles/compute_tnep_sites.h"
#include "shared/abi.h"
#include "styles/fix_tnep_field.h"
#include "styles/pair_tnep.h"
#include "shared/model.h"

#include "lammps.h"
#include "library.h"

#include <string>

using namespace LAMMPS_NS;

static void *create_pair(LAMMPS *lmp)
{
  return static_cast<Pair *>(new PairTnep(lmp));
}

template <typename Style> static void *create_compute(LAMMPS *lmp, int narg, char **arg)
{
  return static_cast<Compute *>(new Style(lmp, narg, arg));
}

template <typename Style> static void *create_fix(LAMMPS *lmp, int narg, char **arg)
{
  return static_cast<Fix *>(new Style(lmp, narg, arg));
}

// Reads the host through the C interface of LAMMPS only; its class layouts are what is in doubt.
static std::string mismatch(void *lmp)
{
  const int version = lammps_version(lmp);
  if (version != TNEP_LAMMPS_VERSION)
    return "LAMMPS " + std::to_string(TNEP_LAMMPS_VERSION) + ", but this is LAMMPS " + std::to_string(version);
  const int tag_bytes = lammps_extract_setting(lmp, "tagint");
  if (tag_bytes != sizeof(tagint))
    return "atom ids of " + std::to_string(sizeof(tagint)) + " bytes, but this LAMMPS has " +
        std::to_string(tag_bytes) + " (SMALLBIG or BIGBIG)";
  const std::string torch = TnepModel::torch_running();
  if (torch != TnepModel::torch_compiled())
    return "torch " + TnepModel::torch_compiled() + ", but torch " + torch + " is in use";
  return "";
}

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp_ptr, void *handle, void *regfunc)
{
  const std::string reason = mismatch(lmp_ptr);
  if (!reason.empty()) {
    const std::string text = "tnep plugin not loaded: it was compiled for " + reason +
        "; reinstall tnep_calc in this environment: pip install --no-build-isolation --force-reinstall --no-deps";
    lammps_error(lmp_ptr, LMP_ERROR_WARNING, text.c_str());
    return;
  }

  const auto register_style = reinterpret_cast<tnep_plugin_register>(regfunc);
  tnep_plugin_entry entry{};
  entry.version = static_cast<LAMMPS *>(lmp_ptr)->version;
  entry.author = "tnep_calc developers";
  entry.handle = handle;

  entry.style = "pair";
  entry.name = "tnep";
  entry.info = "machine-learned potential exported by tnep_calc";
  entry.create.lmp_only = create_pair;
  register_style(&entry, lmp_ptr);

  entry.name = "nep";
  entry.info = "the same, for inputs that call it so";
  register_style(&entry, lmp_ptr);

  entry.style = "compute";
  entry.name = "tnep/dipole";
  entry.info = "dipole of a machine-learned model exported by tnep_calc";
  entry.create.with_args = create_compute<ComputeTnepDipole>;
  register_style(&entry, lmp_ptr);

  entry.name = "tnep/polarizability";
  entry.info = "polarizability of a machine-learned model exported by tnep_calc";
  entry.create.with_args = create_compute<ComputeTnepPolarizability>;
  register_style(&entry, lmp_ptr);

  entry.name = "tnep/descriptor/atom";
  entry.info = "descriptors of a model of the NEP family exported by tnep_calc";
  entry.create.with_args = create_compute<ComputeTnepDescriptor>;
  register_style(&entry, lmp_ptr);

  entry.name = "tnep/deviation/atom";
  entry.info = "deviation of the forces of an ensemble of models exported by tnep_calc";
  entry.create.with_args = create_compute<ComputeTnepDeviation>;
  register_style(&entry, lmp_ptr);

  entry.name = "tnep/born/atom";
  entry.info = "Born charges of a machine-learned model exported by tnep_calc";
  entry.create.with_args = create_compute<ComputeTnepBorn>;
  register_style(&entry, lmp_ptr);

  entry.name = "tnep/raman/atom";
  entry.info = "derivatives of the polarizability of a machine-learned model exported by tnep_calc";
  entry.create.with_args = create_compute<ComputeTnepRaman>;
  register_style(&entry, lmp_ptr);

  entry.name = "tnep/current";
  entry.info = "polarization current of a machine-learned model exported by tnep_calc";
  entry.create.with_args = create_compute<ComputeTnepCurrent>;
  register_style(&entry, lmp_ptr);

  entry.name = "tnep/piezo";
  entry.info = "piezoelectric tensor of a machine-learned model exported by tnep_calc";
  entry.create.with_args = create_compute<ComputeTnepPiezo>;
  register_style(&entry, lmp_ptr);

  entry.style = "fix";
  entry.name = "tnep/field";
  entry.info = "electric field or displacement on a machine-learned model exported by tnep_calc";
  entry.create.with_args = create_fix<FixTnepField>;
  register_style(&entry, lmp_ptr);
}
