# cmake --install: the program and its recipes, which it looks for in ../share/ganymede/recipes beside itself.
# libtorch is not copied: the run paths lead to the wheels that the program was built with.
include(GNUInstallDirs)
set_target_properties(ganymede PROPERTIES INSTALL_RPATH "${TORCH_ROOT}/lib;${CUDA_RUNTIME_LIBRARIES}")
install(TARGETS ganymede RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/launch/recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/ganymede/recipes)
