# Read by cpack before it makes packages. Without these two it would make some that say nothing of what they need.
foreach(tool IN ITEMS dpkg-shlibdeps file)
  find_program(found_${tool} ${tool})
  if(NOT found_${tool})
    message(FATAL_ERROR "Debian's packages are made with ${tool}: apt-get install dpkg-dev file")
  endif()
endforeach()
