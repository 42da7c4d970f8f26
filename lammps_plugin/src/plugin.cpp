// SPDX-License-Identifier: GPL-2.0-or-later
//
// Registers the styles with the LAMMPS that loads this library.  Nothing is registered if the version of LAMMPS or
// torch differs from the one at compile time: class layouts are not stable, so a mismatch would crash later without a
// message.

#include "styles/compute_tnep_deviation.h"
#include "styles/compute_tnep_gradients.h"
#include "styles/compute_tnep_sites.h"
#include "shared/abi.h"
#include "styles/fix_tnep_field.h"
#include "styles/fix_tnep_spectrum.h"
#include "styles/pair_tnep.h"
#include "shared/model.h"

#include "lammps.h"
#include "library.h"

#include <string>

using namespace LAMMPS_NS;

static void* create_pair(LAMMPS* lmp) { return static_cast<Pair*>(new PairTnep(lmp)); }

template <typename Base, typename Style>
static void* create(LAMMPS* lmp, int narg, char** arg) {
  return static_cast<Base*>(new Style(lmp, narg, arg));
}

struct Row {
  const char *style, *name, *info;
  tnep_plugin_factory_args create;  // null: the pair style
};

// A new style needs a row here, a page in docs/ and a test in tests/lammps.
static const Row STYLES[] = {
    {"pair", "tnep", "machine-learned potential", nullptr},
    {"pair", "nep", "another name of pair style tnep", nullptr},
    {"compute", "tnep/dipole", "dipole", create<Compute, ComputeTnepDipole>},
    {"compute", "tnep/polarizability", "polarizability", create<Compute, ComputeTnepPolarizability>},
    {"compute", "tnep/descriptor/atom", "descriptors of a NEP model", create<Compute, ComputeTnepDescriptor>},
    {"compute", "tnep/deviation/atom", "deviation of an ensemble", create<Compute, ComputeTnepDeviation>},
    {"compute", "tnep/born/atom", "Born charges", create<Compute, ComputeTnepBorn>},
    {"compute", "tnep/raman/atom", "derivatives of the polarizability", create<Compute, ComputeTnepRaman>},
    {"compute", "tnep/current", "polarization current", create<Compute, ComputeTnepCurrent>},
    {"compute", "tnep/piezo", "piezoelectric tensor", create<Compute, ComputeTnepPiezo>},
    {"fix", "tnep/field", "electric field or displacement", create<Fix, FixTnepField>},
    {"fix", "tnep/spectrum", "correlation functions for spectra", create<Fix, FixTnepSpectrum>},
};

// The first difference between this library and the running LAMMPS or torch, or "" if there is none.  Uses only the C
// interface of LAMMPS, because its class layouts may differ from those at compile time.
static std::string mismatch(void* lmp) {
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

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void* lmp_ptr, void* handle, void* regfunc) {
  const std::string reason = mismatch(lmp_ptr);
  if (!reason.empty()) {
    const std::string text =
        "tnep plugin not loaded: it was compiled for " + reason +
        "; reinstall tnep_calc in this environment: pip install --no-build-isolation --force-reinstall --no-deps";
    lammps_error(lmp_ptr, LMP_ERROR_WARNING, text.c_str());
    return;
  }

  const auto register_style = reinterpret_cast<tnep_plugin_register>(regfunc);
  tnep_plugin_entry entry{};
  entry.version = static_cast<LAMMPS*>(lmp_ptr)->version;
  entry.author = "tnep_calc developers";
  entry.handle = handle;

  for (const Row& row : STYLES) {
    entry.style = row.style;
    entry.name = row.name;
    entry.info = row.info;
    if (row.create) entry.create.with_args = row.create;
    else entry.create.lmp_only = create_pair;
    register_style(&entry, lmp_ptr);
  }
}
