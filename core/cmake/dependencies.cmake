# Every library that the rooms stand on, each as one target. launch/setup.sh installs them all.

# libtorch comes from the torch wheel. Its own find_package(Torch) asks for a CUDA toolkit even where only the CPU
# half is wanted, so the target is described here: include folders, libraries, and where they lie at run time.
if(NOT GANYMEDE_SITE_PACKAGES)
  file(GLOB GANYMEDE_SITE_PACKAGES ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages)
endif()
set(GANYMEDE_SITE_PACKAGES "${GANYMEDE_SITE_PACKAGES}" CACHE PATH "Folder that holds the torch and nvidia packages")
set(TORCH_ROOT ${GANYMEDE_SITE_PACKAGES}/torch)
set(CUDA_RUNTIME_LIBRARIES ${GANYMEDE_SITE_PACKAGES}/nvidia/cu13/lib)
if(NOT EXISTS ${TORCH_ROOT}/include/torch/csrc/api/include/torch/types.h)
  message(FATAL_ERROR "no libtorch under '${GANYMEDE_SITE_PACKAGES}': run launch/setup.sh, or set "
                      "GANYMEDE_SITE_PACKAGES to the folder that holds the torch package")
endif()
add_library(ganymede_torch INTERFACE)
# Searched last: the wheel carries a fmt of its own that must not hide the system's.
target_compile_options(ganymede_torch INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-idirafter '${TORCH_ROOT}/include'>"
  "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-idirafter '${TORCH_ROOT}/include/torch/csrc/api/include'>")
target_link_directories(ganymede_torch INTERFACE ${TORCH_ROOT}/lib)
target_link_libraries(ganymede_torch INTERFACE c10 torch_cpu)
target_link_options(ganymede_torch INTERFACE
  "-Wl,-rpath,${TORCH_ROOT}/lib" "-Wl,-rpath,${CUDA_RUNTIME_LIBRARIES}" "-Wl,-rpath-link,${CUDA_RUNTIME_LIBRARIES}")
if(GANYMEDE_CUDA)
  include(${CMAKE_CURRENT_LIST_DIR}/cuda.cmake)
endif()

# The C interface alone: the deprecated C++ bindings of MPI are neither used nor linked.
find_package(MPI REQUIRED COMPONENTS C)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(Boost REQUIRED COMPONENTS program_options)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(LibArchive REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Threads REQUIRED)
find_path(XXHASH_INCLUDE xxhash.h REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)
add_library(ganymede_xxhash INTERFACE)
target_include_directories(ganymede_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE})
target_link_libraries(ganymede_xxhash INTERFACE ${XXHASH_LIBRARY})
find_path(LZF_INCLUDE lzf.h PATH_SUFFIXES liblzf REQUIRED)
find_library(LZF_LIBRARY lzf REQUIRED)
add_library(ganymede_lzf INTERFACE)
target_include_directories(ganymede_lzf SYSTEM INTERFACE ${LZF_INCLUDE})
target_link_libraries(ganymede_lzf INTERFACE ${LZF_LIBRARY})
find_path(DEFLATE_INCLUDE libdeflate.h REQUIRED)
find_library(DEFLATE_LIBRARY deflate REQUIRED)
add_library(ganymede_deflate INTERFACE)
target_include_directories(ganymede_deflate SYSTEM INTERFACE ${DEFLATE_INCLUDE})
target_link_libraries(ganymede_deflate INTERFACE ${DEFLATE_LIBRARY})
add_library(ganymede_hdf5 INTERFACE)
target_include_directories(ganymede_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(ganymede_hdf5 INTERFACE ${HDF5_C_LIBRARIES})

add_library(ganymede_flags INTERFACE)
target_compile_options(ganymede_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wnon-virtual-dtor;-Werror;-fPIC>"
  "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xcompiler=-fPIC,-Wall,-Wextra,-Werror --Werror=all-warnings>")
target_include_directories(ganymede_flags INTERFACE ${CMAKE_SOURCE_DIR})

# A room: a static library with the common flags and, where its sources use torch, the shared precompiled header.
function(ganymede_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS" ${ARGN})
  add_library(ganymede_${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(ganymede_${name} PUBLIC ${ROOM_LINKS} ganymede_torch ganymede_flags)
  if(name STREQUAL "core")
    target_precompile_headers(ganymede_core PRIVATE ${CMAKE_SOURCE_DIR}/core/precompiled.h)
  else()
    target_precompile_headers(ganymede_${name} REUSE_FROM ganymede_core)
  endif()
endfunction()
