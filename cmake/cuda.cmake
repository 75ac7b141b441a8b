# The plugin for NVIDIA's GPUs, libresnet_cuda.so, which the program loads at run time if it is there. The library and
# the program hold nothing of CUDA: without a toolkit they are the same.
#
#   RESNET_CUDA=AUTO|ON|OFF     AUTO: where nvcc is found; ON: an error where it is not
#   RESNET_CUDA_ARCHITECTURES   as CMAKE_CUDA_ARCHITECTURES; 80-virtual serves other cards from Ampere on, whose driver
#                               compiles its PTX (ptxas spills 8 to 16 bytes of two pools for sm_80)
set(RESNET_CUDA AUTO CACHE STRING "Build the plugin for NVIDIA's GPUs: AUTO, ON or OFF")
set_property(CACHE RESNET_CUDA PROPERTY STRINGS AUTO ON OFF)
set(RESNET_CUDA_ARCHITECTURES "80-virtual;90a-real" CACHE STRING "Compute capabilities that the plugin is built for")

if(RESNET_CUDA STREQUAL "AUTO" OR RESNET_CUDA)
  find_package(CUDAToolkit 12.8 QUIET)
  if(NOT CUDAToolkit_FOUND AND NOT RESNET_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "RESNET_CUDA is ON, but there is no CUDA toolkit of version 12.8 or later: put nvcc on the "
                        "path, set CUDAToolkit_ROOT, or use RESNET_CUDA=AUTO")
  endif()
else()
  set(CUDAToolkit_FOUND FALSE)  # whatever the project around us has found
endif()
if(NOT CUDAToolkit_FOUND)
  message(STATUS "No CUDA toolkit, or RESNET_CUDA=OFF: the plugin for GPUs is not built")
  return()
endif()

set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
set(CMAKE_CUDA_ARCHITECTURES ${RESNET_CUDA_ARCHITECTURES})
enable_language(CUDA)
foreach(kind STANDARD EXTENSION)  # which Debian's CMake 3.25 does not know
  if(NOT CMAKE_CUDA20_${kind}_COMPILE_OPTION)
    set(CMAKE_CUDA20_${kind}_COMPILE_OPTION -std=c++20)
  endif()
endforeach()
message(STATUS "The plugin for GPUs is built for ${RESNET_CUDA_ARCHITECTURES} by CUDA ${CUDAToolkit_VERSION}")

add_library(resnet_cuda MODULE ${PROJECT_SOURCE_DIR}/src/cuda/device.cu ${PROJECT_SOURCE_DIR}/src/cuda/kernels.cu
                               ${PROJECT_SOURCE_DIR}/src/cuda/cudnn.cpp)
target_include_directories(resnet_cuda PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
set_target_properties(resnet_cuda PROPERTIES
  CXX_STANDARD 20 CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static
  CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden
  UNITY_BUILD OFF)
# A product and a sum are fused where the code says so and nowhere else, as on the CPU. What ptxas is told here, the PTX
# in the plugin says again to a driver that compiles it: no warnings, and none that is an error (so that warnings of C++
# alone become errors below). A kernel that spills registers, or keeps an array in memory, is an error of
# tools/check_sass.py.
target_compile_options(resnet_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${RESNET_WERROR}>>:-Xcudafe=--promote_warnings>)
target_link_options(resnet_cuda PRIVATE ${RESNET_LINK_HARDENING})
if(RESNET_INSTALL)
  # Where the program looks, beside its own folder; in its Debian package, too.
  install(TARGETS resnet_cuda LIBRARY DESTINATION lib/resnet COMPONENT program)
endif()
