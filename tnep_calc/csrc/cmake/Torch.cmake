# Torch for the native libraries, without find_package(Torch): the paths are asked from the Python interpreter.
# (find_package(Torch) drags in the CUDA toolkit search when torch was built with CUDA, and warns when it was not.)
#
#   tnep_find_torch()                        defines the interface target `tnep_torch` and the variables
#                                            TNEP_TORCH_VERSION ("2.13.0+cpu"), TNEP_TORCH_LIB_DIR, TNEP_TORCH_CUDA ("" or "13.0")
#   tnep_native_target(TARGET RELATIVE)      C++17, hidden symbols, warnings, and a RUNPATH: `$ORIGIN/RELATIVE` (torch's lib
#                                            folder as seen from the installed file), then the torch/lib of this build
include_guard(GLOBAL)

function(tnep_python_query RESULT CODE)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "${CODE}"
    OUTPUT_VARIABLE output ERROR_VARIABLE error RESULT_VARIABLE status OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT status EQUAL 0)
    set(output "")
    set(${RESULT}_ERROR "${error}" PARENT_SCOPE)
  endif()
  set(${RESULT} "${output}" PARENT_SCOPE)
endfunction()

# A function would not hand the variables of find_package to its caller.
macro(tnep_find_python)
  if(NOT Python_EXECUTABLE)
    find_package(Python 3.10 REQUIRED COMPONENTS Interpreter)
  endif()
endmacro()

function(tnep_find_torch)
  if(TARGET tnep_torch)
    return()
  endif()
  tnep_find_python()
  tnep_python_query(answer
    "import os, torch; print(os.path.dirname(torch.__file__), torch.__version__, torch.version.cuda or '', sep='|')")
  if(answer STREQUAL "")
    message(FATAL_ERROR
      "tnep_calc: torch cannot be imported by ${Python_EXECUTABLE}.\n"
      "Install torch first, then build with: pip install --no-build-isolation .\n${answer_ERROR}")
  endif()
  string(REPLACE "|" ";" answer "${answer}|")
  list(GET answer 0 root)
  list(GET answer 1 version)
  list(GET answer 2 cuda)
  foreach(name c10 torch_cpu torch)
    if(NOT EXISTS "${root}/lib/lib${name}.so")
      message(FATAL_ERROR "tnep_calc: ${root}/lib/lib${name}.so does not exist; this torch has no C++ libraries")
    endif()
  endforeach()
  message(STATUS "tnep_calc: torch ${version} in ${root}")

  add_library(tnep_torch INTERFACE IMPORTED GLOBAL)
  set_target_properties(tnep_torch PROPERTIES
    INTERFACE_COMPILE_FEATURES cxx_std_17
    # libtorch.so has no symbol that we use, but it pulls in libtorch_cuda.so where there is one: it must stay NEEDED
    INTERFACE_LINK_OPTIONS "LINKER:--no-as-needed"
    INTERFACE_LINK_LIBRARIES "${root}/lib/libc10.so;${root}/lib/libtorch_cpu.so;${root}/lib/libtorch.so")
  target_include_directories(tnep_torch SYSTEM INTERFACE
    "${root}/include" "${root}/include/torch/csrc/api/include")

  set(TNEP_TORCH_VERSION "${version}" PARENT_SCOPE)
  set(TNEP_TORCH_CUDA "${cuda}" PARENT_SCOPE)
  set(TNEP_TORCH_LIB_DIR "${root}/lib" PARENT_SCOPE)
  # also for targets that are defined in other folders
  set_property(GLOBAL PROPERTY TNEP_TORCH_LIB_DIR "${root}/lib")
endfunction()

function(tnep_native_target TARGET RELATIVE)
  get_property(lib_dir GLOBAL PROPERTY TNEP_TORCH_LIB_DIR)
  set_target_properties(${TARGET} PROPERTIES
    CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/${RELATIVE};${lib_dir}")
  target_compile_options(${TARGET} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra>)
  target_link_options(${TARGET} PRIVATE LINKER:--enable-new-dtags LINKER:--allow-shlib-undefined)
endfunction()
