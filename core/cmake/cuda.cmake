# What the preset cuda adds: nvcc for our kernels, and the CUDA half of libtorch, which comes with the same wheel and
# brings its own libraries (launch/setup.sh --cuda). The toolkit lends compiler and headers.
set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "Devices that the kernels are compiled for")
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
# One runtime in the process, the one that libtorch uses.
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
if(NOT EXISTS ${TORCH_ROOT}/lib/libtorch_cuda.so)
  message(FATAL_ERROR "no libtorch_cuda.so under '${TORCH_ROOT}/lib': run launch/setup.sh --cuda")
endif()
# Nothing of ours needs torch_cuda by name: it registers itself when it is loaded.
target_link_options(ganymede_torch INTERFACE -Wl,--no-as-needed)
target_link_libraries(ganymede_torch INTERFACE c10_cuda torch_cuda)

# NCCL is the wheel's, which torch_cuda loads anyhow: two of them in a process would not know of each other.
set(NCCL_ROOT ${GANYMEDE_SITE_PACKAGES}/nvidia/nccl)
add_library(ganymede_nccl INTERFACE)
target_link_libraries(ganymede_nccl INTERFACE ${NCCL_ROOT}/lib/libnccl.so.2)
target_link_options(ganymede_nccl INTERFACE "-Wl,-rpath,${NCCL_ROOT}/lib")

# C++ sources that include CUDA's or NCCL's headers. No other is compiled differently from the preset cpu, so that ccache
# has it already.
function(ganymede_cuda_sources)
  foreach(folder ${NCCL_ROOT}/include ${CUDAToolkit_INCLUDE_DIRS})
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS -isystem "${folder}")
  endforeach()
endfunction()
