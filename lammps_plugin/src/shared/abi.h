// SPDX-License-Identifier: GPL-2.0-or-later
//
// The C interface by which LAMMPS loads styles at run time ("plugin load" or LAMMPS_PLUGIN_PATH).  It is declared here
// again because the binary packages of LAMMPS ship only some of its headers.  See "Writing plugins" in the LAMMPS
// manual.

#ifndef TNEP_LAMMPS_PLUGIN_ABI_H
#define TNEP_LAMMPS_PLUGIN_ABI_H

namespace LAMMPS_NS {
class LAMMPS;
}

extern "C" {

// Creator of a pair style.
using tnep_plugin_factory_lmp = void* (*)(LAMMPS_NS::LAMMPS*);

// Creator of a style that takes arguments (compute, fix).
using tnep_plugin_factory_args = void* (*)(LAMMPS_NS::LAMMPS*, int, char**);

// LAMMPS copies this structure but not the strings, which must live as long as the library.
struct tnep_plugin_entry {
  const char* version;  // version of LAMMPS that the plugin was compiled for
  const char* style;    // "pair", "compute", ...
  const char* name;
  const char* info;
  const char* author;
  union {
    tnep_plugin_factory_lmp lmp_only;
    tnep_plugin_factory_args with_args;
  } create;
  void* handle;  // handle of the shared library
};

using tnep_plugin_register = void (*)(tnep_plugin_entry*, void* lmp);
}

#endif
