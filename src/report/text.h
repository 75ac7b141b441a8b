// Text as cells of a terminal.
#pragma once

#include <string>
#include <string_view>

namespace resnet::report {

/// Cells that UTF-8 text takes; colour sequences take none, East Asian wide characters two.
int cells(std::string_view text);

/// The longest beginning of `text` that takes at most `width` cells. Colours in it stay closed.
std::string clip(std::string_view text, int width);

/// `text` in at most `width` cells, by an ellipsis for its beginning: names of runs differ at the end.
/// The text must be printable (base/text.h).
std::string shorten(std::string_view text, int width, bool utf8 = true);

/// "0.512"; three digits after the point up to 1000, then three significant ones; "nan", "inf".
std::string figure(double value);

/// "06:12", "1:06:12"; "?" if it is negative or no number.
std::string interval(double seconds);

}  // namespace resnet::report
