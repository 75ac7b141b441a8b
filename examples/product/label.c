/* Names a picture: label_c MODEL PICTURE */
#include <resnet.h>
#include <stdio.h>

static unsigned char picture[64 << 20];

int main(int count, char** arguments) {
  resnet_model* model = NULL;
  resnet_prediction best;
  if (count != 3) return fputs("usage: label_c MODEL PICTURE\n", stderr), 2;
  FILE* file = fopen(arguments[2], "rb");
  if (file == NULL) return perror(arguments[2]), 1;
  const size_t size = fread(picture, 1, sizeof picture, file);
  fclose(file);
  if (size == sizeof picture) return fprintf(stderr, "%s: 64 MiB or more\n", arguments[2]), 1;
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
