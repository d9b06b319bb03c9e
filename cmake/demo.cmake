# Embeds the presets that the demo trains (configs/presets) into the room `train`.
set(presets ${CMAKE_SOURCE_DIR}/configs/presets)
set(demo_presets ${CMAKE_BINARY_DIR}/generated/demo_presets.cpp)
add_custom_command(OUTPUT ${demo_presets} VERBATIM
  DEPENDS ${presets}/blt-nano.toml ${presets}/blt-mini.toml ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  COMMAND ${CMAKE_COMMAND} "-DFILES=${presets}/blt-nano.toml|${presets}/blt-mini.toml" -DHEADER=train/demo.hpp
          -DTYPE=demo_job::DemoPresets -DNAME=demo_job::demo_presets -DOUT=${demo_presets}
          -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
target_sources(octet_train PRIVATE ${demo_presets})
