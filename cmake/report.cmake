# Embeds the parts of a run's report into the room `data`: own files, and uPlot where set-up has brought it.
set(report ${CMAKE_SOURCE_DIR}/src/data/report)
set(uplot ${CMAKE_SOURCE_DIR}/node_modules/uplot)
set(parts ${report}/template.html ${report}/style.css ${report}/plots.js ${report}/report.js
    ${uplot}/dist/uPlot.iife.min.js ${uplot}/dist/uPlot.min.css ${uplot}/LICENSE)
set(here "")
foreach(part IN LISTS parts)
  if(EXISTS ${part})
    list(APPEND here ${part})
  endif()
endforeach()
list(JOIN parts "|" joined)
set(report_parts ${CMAKE_BINARY_DIR}/generated/report_parts.cpp)
add_custom_command(OUTPUT ${report_parts} DEPENDS ${here} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM
  COMMAND ${CMAKE_COMMAND} "-DFILES=${joined}" -DHEADER=data/report.hpp -DTYPE=ReportParts -DNAME=report_parts
          -DOUT=${report_parts} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
target_sources(octet_data PRIVATE ${report_parts})
