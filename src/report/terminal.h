// What a terminal can do, from the facts around it.
#pragma once

#include <functional>

#include "resnet/report.h"

namespace resnet::report {

/// terminal_of() without the system: `columns` and `rows` are the terminal's own (0: unknown),
/// `variable` gives an environment variable or null.
Terminal describe(bool is_terminal, int columns, int rows,
                  const std::function<const char*(const char*)>& variable);

}  // namespace resnet::report
