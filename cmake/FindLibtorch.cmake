# Finds libtorch inside the Python wheel `torch` (or a distribution's folder) without importing Python modules.
#   Libtorch::torch   at::, autograd; links Libtorch::c10
# Input:  OCTET_TORCH_ROOT, else the project's .venv, else python3's own `torch` package.
# Output: Libtorch_FOUND, Libtorch_VERSION, Libtorch_ROOT, Libtorch_LIB_DIR
# The include folders come last (-idirafter): the wheel carries private copies of fmt and others which must not win.
set(_root "${OCTET_TORCH_ROOT}")
if(NOT _root)
  file(GLOB _venv "${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
  if(_venv)
    list(GET _venv 0 _root)
  else()
    execute_process(
      COMMAND python3 -c "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
      OUTPUT_VARIABLE _root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
endif()
set(_header "${_root}/include/torch/headeronly/version.h")
if(_root AND EXISTS "${_header}")
  file(STRINGS "${_header}" _lines REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" Libtorch_VERSION "${_lines}")
  set(Libtorch_ROOT "${_root}")
  set(Libtorch_LIB_DIR "${_root}/lib")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libtorch REQUIRED_VARS Libtorch_ROOT Libtorch_LIB_DIR VERSION_VAR Libtorch_VERSION)
if(Libtorch_FOUND AND NOT TARGET Libtorch::torch)
  add_library(Libtorch::c10 SHARED IMPORTED)
  set_target_properties(Libtorch::c10 PROPERTIES IMPORTED_LOCATION "${Libtorch_LIB_DIR}/libc10.so")
  add_library(Libtorch::torch SHARED IMPORTED)
  set_target_properties(Libtorch::torch PROPERTIES IMPORTED_LOCATION "${Libtorch_LIB_DIR}/libtorch_cpu.so")
  target_compile_options(Libtorch::torch INTERFACE "SHELL:-idirafter ${_root}/include"
                         "SHELL:-idirafter ${_root}/include/torch/csrc/api/include")
  target_compile_definitions(Libtorch::torch INTERFACE AT_PER_OPERATOR_HEADERS)
  target_link_libraries(Libtorch::torch INTERFACE Libtorch::c10)
endif()
