# tnep_install_build_info() writes tnep_calc/lib/build_info.json, which `tnep info` shows.
# It uses TNEP_TORCH_VERSION, TNEP_TORCH_CUDA and the global properties TNEP_LAMMPS_VERSION (if the plugin is built) or
# TNEP_LAMMPS_SKIPPED (the reason why it is not).
include_guard(GLOBAL)

function(tnep_install_build_info)
  get_property(lammps GLOBAL PROPERTY TNEP_LAMMPS_VERSION)
  get_property(reason GLOBAL PROPERTY TNEP_LAMMPS_SKIPPED)
  set(lammps_json null)
  if(lammps)
    set(lammps_json "\"${lammps}\"")
  endif()
  set(reason_json null)
  if(reason)
    string(REPLACE "\"" "'" reason "${reason}")
    set(reason_json "\"${reason}\"")
  endif()
  set(operators false)
  if(TARGET tnep_ops)
    set(operators true)
  endif()
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/build_info.json" "{
  \"torch\": \"${TNEP_TORCH_VERSION}\",
  \"torch_cuda\": \"${TNEP_TORCH_CUDA}\",
  \"operators\": ${operators},
  \"lammps\": ${lammps_json},
  \"lammps_skipped\": ${reason_json},
  \"compiler\": \"${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}\",
  \"build_type\": \"${CMAKE_BUILD_TYPE}\"
}
")
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/build_info.json" DESTINATION tnep_calc/lib)
endfunction()
