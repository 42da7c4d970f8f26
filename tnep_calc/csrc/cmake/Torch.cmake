# tnep_find_torch(): interface target tnep_torch (headers, libraries) and variables TNEP_TORCH_DIR, TNEP_TORCH_VERSION
# of the torch that the build's Python imports. find_package(Torch) is avoided on purpose: with a CUDA build of torch
# it asks for the whole CUDA toolkit, which nothing here needs.
function(tnep_find_torch)
  if(TARGET tnep_torch)
    return()
  endif()
  find_package(Python REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import os, torch; print(os.path.dirname(torch.__file__), torch.__version__, sep=';', end='')"
    OUTPUT_VARIABLE found RESULT_VARIABLE failed ERROR_VARIABLE message)
  if(failed)
    message(FATAL_ERROR "torch cannot be imported by ${Python_EXECUTABLE}: install torch first and build with "
                        "--no-build-isolation\n${message}")
  endif()
  list(GET found 0 dir)
  list(GET found 1 version)
  message(STATUS "torch ${version} in ${dir}")
  add_library(tnep_torch INTERFACE)
  target_include_directories(tnep_torch SYSTEM INTERFACE "${dir}/include" "${dir}/include/torch/csrc/api/include")
  # libtorch must stay NEEDED although no symbol is taken from it: on CUDA builds it brings libtorch_cuda.
  target_link_directories(tnep_torch INTERFACE "${dir}/lib")
  target_link_libraries(tnep_torch INTERFACE -Wl,--no-as-needed c10 torch_cpu torch -Wl,--as-needed)
  set(TNEP_TORCH_DIR "${dir}" PARENT_SCOPE)
  set(TNEP_TORCH_VERSION "${version}" PARENT_SCOPE)
endfunction()

# tnep_set_rpath(target relative...): look for libraries beside the installed file first, then where the build saw torch.
function(tnep_set_rpath target)
  list(TRANSFORM ARGN PREPEND "$ORIGIN/" OUTPUT_VARIABLE relative)
  set_target_properties(${target} PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "${relative};${TNEP_TORCH_DIR}/lib")
endfunction()
