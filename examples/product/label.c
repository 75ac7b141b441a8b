/* Names a picture: label_c MODEL PICTURE */
#include <resnet.h>
#include <stdio.h>

static unsigned char picture[16 << 20];

int main(int count, char** arguments) {
  resnet_model* model = NULL;
  resnet_prediction best;
  FILE* file = count == 3 ? fopen(arguments[2], "rb") : NULL;
  if (file == NULL) return fputs("usage: label_c MODEL PICTURE\n", stderr), 2;
  const size_t size = fread(picture, 1, sizeof picture, file);
  fclose(file);
  if (resnet_open(arguments[1], NULL, &model) != RESNET_OK ||
      resnet_predict(model, picture, size, &best, 1, NULL) != RESNET_OK) {
    fprintf(stderr, "%s\n%s\n", resnet_error(), resnet_hint());
    resnet_close(model);
    return 1;
  }
  printf("%s: %s %g\n", arguments[2], resnet_class_name(model, best.index), best.probability);
  resnet_close(model);
  return 0;
}
