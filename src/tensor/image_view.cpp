#include "resnet/image_view.h"

namespace resnet {

ImageView ImageView::nhwc(View<const float> view) {
  const Shape& s = view.shape;
  if (s.rank() != 4) throw ShapeError("expected images [N,H,W,C], got " + to_string(s));
  return {view.data, {s[0], s[3], s[1], s[2]}, ImageLayout::nhwc};
}

}  // namespace resnet
