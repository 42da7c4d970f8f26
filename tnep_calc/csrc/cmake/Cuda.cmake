# The CUDA compiler: nvcc of a toolkit, or of the PyPI packages of the extra `cuda`.
#
#   tnep_find_nvcc()   sets CMAKE_CUDA_COMPILER if nvcc is found; nothing if not
include_guard(GLOBAL)
include(CheckLanguage)

macro(tnep_find_nvcc)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(tnep_nvcc nvcc)
    if(NOT tnep_nvcc)
      tnep_python_query(tnep_packaged
        "import glob, sysconfig; print(*sorted(glob.glob(sysconfig.get_path('purelib') + '/nvidia/cu*/bin/nvcc'))[-1:])")
      set(tnep_nvcc "${tnep_packaged}")
    endif()
    if(tnep_nvcc)
      set(CMAKE_CUDA_COMPILER "${tnep_nvcc}")
    endif()
  endif()
  # The packages have their libraries in lib, where nvcc does not look; CMake links programs to test the compiler.
  if(CMAKE_CUDA_COMPILER)
    get_filename_component(tnep_toolkit "${CMAKE_CUDA_COMPILER}" DIRECTORY)
    get_filename_component(tnep_toolkit "${tnep_toolkit}" DIRECTORY)
    if(EXISTS "${tnep_toolkit}/lib/libcudart_static.a" AND NOT EXISTS "${tnep_toolkit}/lib64")
      set(ENV{LIBRARY_PATH} "${tnep_toolkit}/lib:$ENV{LIBRARY_PATH}")
    endif()
  endif()
  check_language(CUDA)
endmacro()
