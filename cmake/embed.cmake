# Writes OUT: a C++ file that defines `const TYPE& NAME()` in namespace octet, a struct of string_views in the order of
# FILES (separated by |; a file that is absent gives an empty view). Run as a script at build time.
# A comment at the very beginning of a script that names a URL is left out: the licence is embedded beside it.
string(REPLACE "|" ";" files "${FILES}")
set(text "#include \"${HEADER}\"\n\nnamespace octet {\n\nconst ${TYPE}& ${NAME}() {\n  static const ${TYPE} parts = {\n")
foreach(f IN LISTS files)
  set(content "")
  if(EXISTS "${f}")
    file(READ "${f}" content)
    string(REGEX REPLACE "^/\\*![^*]*://[^*]*\\*/" "" content "${content}")
  endif()
  string(APPEND text "      R\"embed~(${content})embed~\",\n")
endforeach()
string(APPEND text "  };\n  return parts;\n}\n\n}  // namespace octet\n")
file(WRITE "${OUT}" "${text}")
