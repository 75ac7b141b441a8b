# Texts as C++: files stay what they are for editors and other tools, and a program needs no file beside it.
#
# embed_texts(TARGET NAMESPACE [NAME FILE... ;]...) is called with CONSTANT=file,file,...: the files joined in a
# `extern const std::string_view CONSTANT` of the namespace, which a header of the target declares.
# Run as a script (cmake -P) it writes that source.
if(CMAKE_SCRIPT_MODE_FILE)
  set(source "// Made by cmake/embed.cmake.\n#include <string_view>\n\nnamespace ${NAMESPACE} {\n\n")
  foreach(text IN LISTS TEXTS)
    string(REGEX MATCH "^([^=]+)=(.*)$" _ "${text}")
    set(constant ${CMAKE_MATCH_1})
    string(REPLACE "," ";" files "${CMAKE_MATCH_2}")
    string(APPEND source "extern const std::string_view ${constant};\nconst std::string_view ${constant} =")
    foreach(file IN LISTS files)
      file(READ ${file} content)
      string(APPEND source "\n    R\"~~~~(${content})~~~~\"")
    endforeach()
    string(APPEND source ";\n")
  endforeach()
  file(WRITE ${OUT} "${source}\n}  // namespace ${NAMESPACE}\n")
  return()
endif()

set(RESNET_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(embed_texts target namespace)
  string(MAKE_C_IDENTIFIER ${namespace} name)
  set(out ${PROJECT_BINARY_DIR}/embedded/${name}.cpp)
  string(REGEX REPLACE "[^;=,]+=" "" files "${ARGN}")
  string(REPLACE "," ";" files "${files}")
  add_custom_command(OUTPUT ${out}
                     COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DNAMESPACE=${namespace} "-DTEXTS=${ARGN}" -P ${RESNET_EMBED_SCRIPT}
                     DEPENDS ${files} ${RESNET_EMBED_SCRIPT} COMMENT "Embedding texts for ${namespace}" VERBATIM)
  set_source_files_properties(${out} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  target_sources(${target} PRIVATE ${out})
endfunction()
