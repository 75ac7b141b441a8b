// Colours of a picture changed in place, byte for byte as Pillow's ImageEnhance and ImageOps, and
// torchvision's functions on them, do it. Gray or RGB; of any size.
#pragma once

#include <cstdint>

#include "resnet/images.h"

namespace resnet::images {

/// PIL's luma: ITU-R 601-2 in 16-bit fixed point, rounded.
inline std::uint8_t luma(const std::uint8_t* rgb) {
  constexpr std::uint32_t kRed = 19595, kGreen = 38470, kBlue = 7471, kHalf = 0x8000;
  return static_cast<std::uint8_t>((kRed * rgb[0] + kGreen * rgb[1] + kBlue * rgb[2] + kHalf) >> 16U);
}

// ImageEnhance: factor 1 changes nothing, 0 gives black, the mean gray, a gray picture, a smooth one; beyond
// 1 it goes the other way.
void adjust_brightness(Image& image, double factor);
void adjust_contrast(Image& image, double factor);
void adjust_saturation(Image& image, double factor);
void adjust_sharpness(Image& image, double factor);
/// Turns the hue by `turn`, from -0.5 to 0.5 of the circle, in PIL's bytes of HSV. Gray stays.
/// Source: torchvision, adjust_hue(); Pillow, Convert.c; Python's colorsys.
void adjust_hue(Image& image, double turn);

void posterize(Image& image, int bits);         ///< keeps the highest `bits`, 0 to 8, of each byte
void solarize(Image& image, double threshold);  ///< inverts the bytes that are not below it
void autocontrast(Image& image);                ///< stretches each channel to 0 ... 255
void equalize(Image& image);                    ///< makes each channel's histogram even

}  // namespace resnet::images
