# cmake -DOUT=FILE -DFOLDER=FOLDER -P embed.cmake: writes FILE, a header with every part of the pages as a text:
# page.html becomes ganymede::report_parts::page_html.
set(header "#pragma once\n\nnamespace ganymede::report_parts {\n\n")
foreach(part page.html style.css dom.js chart.js report.js compare.js)
  file(READ ${FOLDER}/${part} text)
  string(MAKE_C_IDENTIFIER ${part} name)
  string(APPEND header "inline constexpr const char* ${name} = R\"~part~(${text})~part~\";\n")
endforeach()
file(WRITE ${OUT} "${header}\n}  // namespace ganymede::report_parts\n")
