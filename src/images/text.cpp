#include "images/text.h"

#include <algorithm>
#include <cstddef>

namespace resnet::images {
namespace {

constexpr std::size_t kColumns = 5, kRows = 8;  // of a character
constexpr std::size_t kBand = 16;               // characters side by side, of which there are six bands
constexpr std::size_t kLine = kBand * (kColumns + 1) - 1;
constexpr unsigned char kSpace = ' ', kBox = 127;

// clang-format off
constexpr std::string_view kFont =
    "        #    # #   # #    #   ##  #  ##     #      #   #                                      #"
    "        #    # #   # #   #### ##  # #  #    #     #     #     #     #                         #"
    "        #    # #  ##### # #      #  # #     #    #       #  # # #   #                        # "
    "        #          # #   ###    #    #           #       #   ###  #####       #####         #  "
    "        #         #####   # #  #    # # #        #       #  # # #   #                      #   "
    "                   # #  ####  #  ## #  #          #     #     #     #    ##          ##   #    "
    "        #          # #    #   #  ##  ## #          #   #                  #          ##   #    "
    "                                                                         #                     "
    " ###    #    ###   ###     #  #####   ##  #####  ###   ###                                 ### "
    "#   #  ##   #   # #   #   ##  #      #        # #   # #   #  ##    ##      ##       ##    #   #"
    "#  ##   #       #     #  # #  ####  #        #  #   # #   #  ##    ##    ##   #####   ##      #"
    "# # #   #      #    ##  #  #      # ####    #    ###   ####             #               #    # "
    "##  #   #     #       # #####     # #   #   #   #   #     #  ##          ##   #####   ##    #  "
    "#   #   #    #    #   #    #  #   # #   #  #    #   #    #   ##    ##      ##       ##         "
    " ###   ###  #####  ###     #   ###   ###   #     ###   ##           #                       #  "
    "                                                                   #                           "
    " ###   ###  ####   ###  ###   ##### #####  ###  #   #  ###    ### #   # #     #   # #   #  ### "
    "#   # #   # #   # #   # #  #  #     #     #   # #   #   #      #  #  #  #     ## ## ##  # #   #"
    "# ### #   # #   # #     #   # #     #     #     #   #   #      #  # #   #     # # # ##  # #   #"
    "# # # ##### ####  #     #   # ####  ####  # ### #####   #      #  ##    #     # # # # # # #   #"
    "# ### #   # #   # #     #   # #     #     #   # #   #   #      #  # #   #     #   # #  ## #   #"
    "#     #   # #   # #   # #  #  #     #     #   # #   #   #   #  #  #  #  #     #   # #  ## #   #"
    " #### #   # ####   ###  ###   ##### #      #### #   #  ###   ##   #   # ##### #   # #   #  ### "
    "                                                                                               "
    "####   ###  ####   #### ##### #   # #   # #   # #   # #   # #####  ###  #      ###    #        "
    "#   # #   # #   # #       #   #   # #   # #   # #   # #   #     #  #    #        #   # #       "
    "#   # #   # #   # #       #   #   # #   # #   #  # #   # #     #   #     #       #  #   #      "
    "####  #   # ####   ###    #   #   #  # #  # # #   #     #     #    #      #      #             "
    "#     # # # # #       #   #   #   #  # #  # # #  # #    #    #     #       #     #             "
    "#     #  #  #  #      #   #   #   #  # #  ## ## #   #   #   #      #        #    #             "
    "#      ## # #   # ####    #    ###    #   #   # #   #   #   #####  ###      #  ###             "
    "                                                                                          #####"
    " #          #               #         ##        #       #      #  #      ##                    "
    "  #         #               #        #          #                 #       #                    "
    "       ###  ####   ####  ####  ###  ####   #### ####   ##     ##  #  #    #   ## #  ####   ### "
    "          # #   # #     #   # #   #  #    #   # #   #   #      #  # #     #   # # # #   # #   #"
    "       #### #   # #     #   # #####  #    #   # #   #   #      #  ##      #   # # # #   # #   #"
    "      #   # #   # #     #   # #      #     #### #   #   #      #  # #     #   # # # #   # #   #"
    "       #### ####   ####  ####  ###   #        # #   #  ###  #  #  #  #   ###  # # # #   #  ### "
    "                                           ###               ##                                "
    "                         #                                           ##   #   ##          #####"
    "                         #                                          #     #     #         #   #"
    "####   #### # ##   #### ####  #   # #   # #   # #   # #   # #####   #     #     #    #  # #   #"
    "#   # #   # ##  # #      #    #   # #   # # # #  # #  #   #    #   #      #      #  # ##  #   #"
    "#   # #   # #      ###   #    #   #  # #  # # #   #   #   #   #     #     #     #         #   #"
    "####   #### #         #  #    #   #  # #  # # #  # #   ####  #      #     #     #         #   #"
    "#         # #     ####    ##   ####   #    # #  #   #     # #####    ##   #   ##          #####"
    "#         #                                            ###                                     ";
// clang-format on
static_assert(kFont.size() == 6 * kRows * kLine);

bool is_set(unsigned char character, std::size_t row, std::size_t column) {
  const std::size_t place = character - kSpace;
  return kFont[(place / kBand * kRows + row) * kLine + place % kBand * (kColumns + 1) + column] == '#';
}

}  // namespace

void draw_text(Image& image, std::int64_t top, std::int64_t left, std::string_view text, std::int64_t scale) {
  const std::int64_t height = std::min(kTextHeight * scale, image.height - top);
  const std::int64_t width =
      std::min(kTextWidth * scale * static_cast<std::int64_t>(text.size()), image.width - left);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const auto row = static_cast<std::size_t>(y / scale);
      const auto column = static_cast<std::size_t>(x / scale % kTextWidth);
      auto character = static_cast<unsigned char>(text[static_cast<std::size_t>(x / scale / kTextWidth)]);
      if (character < kSpace || character > kBox) character = kBox;
      if (row >= kRows || column >= kColumns || !is_set(character, row, column)) continue;
      std::fill_n(image.pixels.data() + ((top + y) * image.width + left + x) * image.channels, image.channels,
                  std::uint8_t{0});
    }
  }
}

}  // namespace resnet::images
