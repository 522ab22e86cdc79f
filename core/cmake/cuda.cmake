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
target_include_directories(ganymede_torch SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
# Nothing of ours needs torch_cuda by name: it registers itself when it is loaded.
target_link_options(ganymede_torch INTERFACE -Wl,--no-as-needed)
target_link_libraries(ganymede_torch INTERFACE c10_cuda torch_cuda)
