# Settings of all native libraries, and a search for torch that does not use find_package(Torch): with a CUDA build of
# torch, that would require the whole CUDA toolkit.  The paths are obtained from the Python interpreter instead.
#
#   tnep_find_torch()                       creates the interface target tnep_torch, and sets TNEP_TORCH_DIR,
#                                           TNEP_TORCH_VERSION and TNEP_TORCH_CUDA
#   tnep_set_rpath(target relative...)      sets the folders in which the installed library looks for other libraries
#   tnep_python_query(variable code)        sets the variable to the output of Python code; empty if the code fails
include_guard(GLOBAL)

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
find_package(Python REQUIRED COMPONENTS Interpreter)

function(tnep_python_query variable code)
  execute_process(COMMAND "${Python_EXECUTABLE}" -c "${code}" OUTPUT_VARIABLE found RESULT_VARIABLE failed
                  ERROR_VARIABLE message OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(failed)
    set(found "")
  endif()
  set(${variable} "${found}" PARENT_SCOPE)
  set(${variable}_ERROR "${message}" PARENT_SCOPE)
endfunction()

# This is a macro, so that the variables are set in the scope of the caller.
macro(tnep_find_torch)
  if(NOT TARGET tnep_torch)
    tnep_python_query(tnep_found
      "import os, torch; print(os.path.dirname(torch.__file__), torch.__version__, torch.version.cuda or 'none', sep=';')")
    if(NOT tnep_found)
      message(FATAL_ERROR "torch cannot be imported by ${Python_EXECUTABLE}: install torch first and build with "
                          "--no-build-isolation\n${tnep_found_ERROR}")
    endif()
    list(GET tnep_found 0 TNEP_TORCH_DIR)
    list(GET tnep_found 1 TNEP_TORCH_VERSION)
    list(GET tnep_found 2 TNEP_TORCH_CUDA)
    message(STATUS "tnep_calc: torch ${TNEP_TORCH_VERSION} in ${TNEP_TORCH_DIR}")
    add_library(tnep_torch INTERFACE)
    target_include_directories(tnep_torch SYSTEM INTERFACE
      "${TNEP_TORCH_DIR}/include" "${TNEP_TORCH_DIR}/include/torch/csrc/api/include")
    # libtorch must stay NEEDED although none of its symbols is used: in CUDA builds it loads libtorch_cuda.
    target_link_directories(tnep_torch INTERFACE "${TNEP_TORCH_DIR}/lib")
    target_link_options(tnep_torch INTERFACE LINKER:--no-as-needed)
    target_link_libraries(tnep_torch INTERFACE c10 torch_cpu torch)
  endif()
endmacro()

# Libraries are searched for first next to the installed file (everything in one site-packages), then where the build
# found torch (editable installs).
function(tnep_set_rpath target)
  list(TRANSFORM ARGN PREPEND "$ORIGIN/" OUTPUT_VARIABLE relative)
  set_target_properties(${target} PROPERTIES
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "${relative};${TNEP_TORCH_DIR}/lib")
  target_link_options(${target} PRIVATE LINKER:--enable-new-dtags LINKER:--allow-shlib-undefined)
endfunction()
