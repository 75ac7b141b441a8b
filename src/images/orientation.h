// The way a camera was held: EXIF's orientation, where Pillow looks for it.
#pragma once

#include "images/decoders.h"

namespace resnet::images {

/// What a file holds of it; `exif` begins with a TIFF header, or with "Exif\0\0" before it. Empty if there is
/// none. Gives 1 to 8; 1 if nothing is said, or what is said is damaged. XMP (tiff:Orientation) counts where
/// EXIF has none.
int orientation_of(Bytes exif, Bytes xmp);

/// The picture as it is meant: EXIF's orientations 1 to 8 are Pillow's exif_transpose().
Image oriented(Image image, int orientation);

}  // namespace resnet::images
