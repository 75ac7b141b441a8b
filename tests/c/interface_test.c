/* The C interface from C: answers, and what a careless or hostile caller gives it.
 * Usage: interface_test MODEL */
#include <pthread.h>
#include <resnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define EXPECT(what)                                                    \
  do {                                                                  \
    if (!(what)) {                                                      \
      printf("%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #what, resnet_error()); \
      ++failures;                                                       \
    }                                                                   \
  } while (0)

/* The call gives this status, and says what is wrong and what to do. */
static void expect_error(int line, resnet_status got, resnet_status wanted, const char* says) {
  if (got != wanted || strstr(resnet_error(), says) == NULL || resnet_hint()[0] == '\0' ||
      strlen(resnet_error()) > 300) {
    printf("%s:%d: status %d, not %d with '%s': %s (%s)\n", __FILE__, line, (int)got, (int)wanted, says,
           resnet_error(), resnet_hint());
    ++failures;
  }
}
#define EXPECT_ERROR(call, wanted, says) expect_error(__LINE__, (call), (wanted), (says))

enum { SIDE = 12, PLACES = 8 };

/* A gray picture in a file, and its pixels as gray and as RGB. */
static unsigned char file[64 + SIDE * SIDE], gray[SIDE * SIDE], rgb[3 * SIDE * SIDE];
static size_t file_size;

static void draw(unsigned seed) {
  size_t i;
  const int head = sprintf((char*)file, "P5 %d %d 255\n", SIDE, SIDE);
  for (i = 0; i < SIDE * SIDE; ++i) {
    seed = seed * 1103515245u + 12345u;
    gray[i] = (unsigned char)(seed >> 16);
    memset(rgb + 3 * i, gray[i], 3);
  }
  memcpy(file + head, gray, sizeof gray);
  file_size = (size_t)head + sizeof gray;
}

static int same(const resnet_prediction* a, const resnet_prediction* b, size_t count) {
  size_t i;
  for (i = 0; i < count; ++i)
    if (a[i].index != b[i].index || a[i].probability != b[i].probability) return 0;
  return 1;
}

static void test_answers(const resnet_model* model) {
  resnet_prediction top[PLACES], pixels[PLACES];
  resnet_input_info input;
  size_t found = 0, i;
  float sum = 0;
  EXPECT(resnet_classes(model) == 3);
  EXPECT(strcmp(resnet_class_name(model, 2), "2") == 0);
  EXPECT(resnet_class_name(model, 3) == NULL);
  EXPECT(resnet_input(model, &input) == RESNET_OK);
  EXPECT(input.channels == 1 && input.height == 0 && input.width == 0);  /* its resize is of the shorter side */

  EXPECT(resnet_predict(model, file, file_size, top, PLACES, &found) == RESNET_OK);
  EXPECT(found == 3);
  for (i = 0; i < found; ++i) sum += top[i].probability;
  EXPECT(sum > 0.9999f && sum < 1.0001f);
  EXPECT(top[0].probability >= top[1].probability && top[1].probability >= top[2].probability);
  EXPECT(resnet_predict(model, file, file_size, pixels, 1, NULL) == RESNET_OK);
  EXPECT(same(top, pixels, 1));
  EXPECT(resnet_predict_rgb(model, rgb, SIDE, SIDE, pixels, PLACES, &found) == RESNET_OK);
  EXPECT(found == 3 && same(top, pixels, 3));
}

/* Pictures of two sizes, each with pixels of its own: in files, and as pixels with rows that are longer. */
enum { COUNT = 70, ROW = 20, MOST = 2 };
static unsigned char files[COUNT][64 + SIDE * ROW], rows[COUNT][SIDE * ROW];
static size_t file_sizes[COUNT];
static resnet_prediction expected[COUNT * MOST];

static int width_of(size_t i) { return i / 30 % 2 == 0 ? SIDE : SIDE + 5; } /* neighbours go together */

static void draw_all(const resnet_model* model) {
  size_t i, y, distinct = 0;
  for (i = 0; i < COUNT; ++i) {
    const size_t width = (size_t)width_of(i);
    unsigned seed = (unsigned)i;
    const int head = sprintf((char*)files[i], "P5 %d %d 255\n", width_of(i), SIDE);
    for (y = 0; y < SIDE * ROW; ++y) {
      seed = seed * 1103515245u + 12345u;
      rows[i][y] = (unsigned char)((seed >> 16) % (1 + 4 * i) + 10 * (i % 7));
    }
    for (y = 0; y < SIDE; ++y) memcpy(files[i] + head + y * width, rows[i] + y * ROW, width);
    file_sizes[i] = (size_t)head + SIDE * width;
    EXPECT(resnet_predict(model, files[i], file_sizes[i], expected + MOST * i, MOST, NULL) == RESNET_OK);
    if (i > 0 && expected[MOST * i].probability != expected[MOST * (i - 1)].probability) ++distinct;
  }
  EXPECT(distinct > COUNT / 2);  /* else a test that all answers are right tells nothing */
}

static int nearly(const resnet_prediction* a, const resnet_prediction* b) {
  size_t k;
  for (k = 0; k < MOST; ++k)
    if (a[k].index != b[k].index || a[k].probability - b[k].probability > 1e-5f ||
        b[k].probability - a[k].probability > 1e-5f)
      return 0;
  return 1;
}

static void describe(resnet_picture* pictures) {
  size_t i;
  memset(pictures, 0, COUNT * sizeof *pictures);
  for (i = 0; i < COUNT; ++i) {
    resnet_picture* p = &pictures[i];
    if (i % 3 == 0) {
      p->data = files[i], p->size = file_sizes[i];
    } else {
      p->data = rows[i];
      p->size = sizeof rows[i] - ROW + (size_t)width_of(i);
      p->width = width_of(i);
      p->height = SIDE;
      p->channels = 1;
      p->stride = ROW;
    }
  }
}

/* More pictures than go through the network together, of both kinds. */
static void test_batches(const resnet_model* model) {
  resnet_picture pictures[COUNT];
  resnet_prediction batch[COUNT * MOST];
  unsigned char thin[65535] = {0};
  size_t i, found = 0;
  draw_all(model);
  describe(pictures);
  EXPECT(resnet_predict_batch(model, pictures, COUNT, batch, MOST, &found) == RESNET_OK);
  EXPECT(found == MOST);
  for (i = 0; i < COUNT; ++i) EXPECT(nearly(batch + MOST * i, expected + MOST * i));
  pictures[0].data = gray, pictures[0].size = sizeof gray;  /* rows without anything between them */
  pictures[0].width = pictures[0].height = SIDE, pictures[0].channels = 1;
  EXPECT(resnet_predict_batch(model, pictures, 1, batch, MOST, &found) == RESNET_OK);
  EXPECT(resnet_predict(model, file, file_size, batch + MOST, MOST, NULL) == RESNET_OK);
  EXPECT(nearly(batch, batch + MOST));
  describe(pictures);
  pictures[41].size -= 1;
  EXPECT_ERROR(resnet_predict_batch(model, pictures, COUNT, batch, MOST, &found), RESNET_ERROR_ARGUMENT, "picture 41: ");
  pictures[41].size += 1;
  pictures[42].data = thin, pictures[42].size = sizeof thin, pictures[42].stride = 0;
  pictures[42].height = sizeof thin, pictures[42].width = 1;
  pictures[42].channels = 1;
  EXPECT_ERROR(resnet_predict_batch(model, pictures, COUNT, batch, MOST, &found), RESNET_ERROR_SHAPE, "picture 42: ");
  memset(&pictures[42], 0, sizeof pictures[42]);
  pictures[42].data = file;
  pictures[42].size = 9;
  EXPECT_ERROR(resnet_predict_batch(model, pictures, COUNT, batch, MOST, &found), RESNET_ERROR_FORMAT, "picture 42: ");
}

/* One model, four threads: each has its own pictures' answers, and its own errors. */
static const resnet_model* shared;

static void* ask_all(void* number) {
  const size_t thread = *(const size_t*)number;
  resnet_picture pictures[COUNT];
  resnet_prediction batch[COUNT * MOST];
  size_t i, wrong = 0;
  describe(pictures);
  for (i = 0; i < COUNT; ++i) {
    const size_t k = (i * 7 + thread * 17) % COUNT;
    if (resnet_predict(shared, files[k], file_sizes[k], batch, MOST, NULL) != RESNET_OK ||
        !nearly(batch, expected + MOST * k))
      ++wrong;
    if (thread % 2 == 1 && resnet_predict(shared, files[k], 9, batch, MOST, NULL) == RESNET_OK) ++wrong;
  }
  if (resnet_predict_batch(shared, pictures, COUNT, batch, MOST, NULL) != RESNET_OK) ++wrong;
  for (i = 0; i < COUNT; ++i) wrong += !nearly(batch + MOST * i, expected + MOST * i);
  if (thread % 2 == 0 && strcmp(resnet_error(), "") != 0) ++wrong;
  return wrong == 0 ? NULL : number;
}

static void test_threads(const resnet_model* model) {
  enum { THREADS = 4 };
  pthread_t threads[THREADS];
  size_t numbers[THREADS], i;
  shared = model;
  for (i = 0; i < THREADS; ++i) {
    numbers[i] = i;
    if (pthread_create(&threads[i], NULL, ask_all, &numbers[i]) != 0) exit(1);
  }
  for (i = 0; i < THREADS; ++i) {
    void* wrong = NULL;
    pthread_join(threads[i], &wrong);
    EXPECT(wrong == NULL);
  }
}

/* What a later version's caller has more does not matter; what it has less is refused. */
static void test_sizes_of_options(const char* path) {
  struct {
    resnet_options options;
    unsigned char later[64];
  } larger;
  const resnet_options usual = RESNET_OPTIONS;
  resnet_model* model = NULL;
  memset(&larger, 0xff, sizeof larger);
  larger.options = usual;
  larger.options.size = sizeof larger;
  larger.options.threads = 1;
  EXPECT(resnet_open(path, &larger.options, &model) == RESNET_OK);
  resnet_close(model);
  model = NULL;
  larger.options.size = sizeof usual - 1;
  EXPECT_ERROR(resnet_open(path, &larger.options, &model), RESNET_ERROR_ARGUMENT, "size");
  EXPECT(model == NULL);
}

static void test_wrong_arguments(const resnet_model* model) {
  resnet_prediction top[PLACES];
  resnet_input_info input;
  resnet_picture picture;
  size_t found = 77, i;
  EXPECT(resnet_classes(NULL) == 0);
  EXPECT(resnet_class_name(NULL, 0) == NULL);
  resnet_close(NULL);
  EXPECT_ERROR(resnet_input(NULL, &input), RESNET_ERROR_ARGUMENT, "null");
  EXPECT_ERROR(resnet_input(model, NULL), RESNET_ERROR_ARGUMENT, "no place");
  EXPECT_ERROR(resnet_predict(NULL, file, file_size, top, 1, &found), RESNET_ERROR_ARGUMENT, "the model is null");
  EXPECT_ERROR(resnet_predict(model, NULL, file_size, top, 1, &found), RESNET_ERROR_ARGUMENT, "null");
  EXPECT_ERROR(resnet_predict(model, file, file_size, NULL, 1, &found), RESNET_ERROR_ARGUMENT, "no room");
  EXPECT_ERROR(resnet_predict(model, file, file_size, top, 0, &found), RESNET_ERROR_ARGUMENT, "no room");
  EXPECT_ERROR(resnet_predict(model, file, 0, top, 1, &found), RESNET_ERROR_FORMAT, "");
  EXPECT_ERROR(resnet_predict(model, file, file_size / 2, top, 1, &found), RESNET_ERROR_FORMAT, "");
  EXPECT_ERROR(resnet_predict_rgb(model, rgb, 0, SIDE, top, 1, &found), RESNET_ERROR_ARGUMENT, "pixels a side");
  EXPECT_ERROR(resnet_predict_rgb(model, rgb, -1, SIDE, top, 1, &found), RESNET_ERROR_ARGUMENT, "pixels a side");
  EXPECT_ERROR(resnet_predict_rgb(model, rgb, INT64_MAX, INT64_MAX, top, 1, &found), RESNET_ERROR_ARGUMENT, "pixels a side");
  EXPECT_ERROR(resnet_predict_rgb(model, rgb, 65535, 65535, top, 1, &found), RESNET_ERROR_ARGUMENT, "pixels a side");
  EXPECT_ERROR(resnet_predict_rgb(model, NULL, SIDE, SIDE, top, 1, &found), RESNET_ERROR_ARGUMENT, "null");
  EXPECT_ERROR(resnet_predict_batch(model, NULL, 1, top, 1, &found), RESNET_ERROR_ARGUMENT, "no pictures");

  memset(&picture, 0, sizeof picture);
  EXPECT_ERROR(resnet_predict_batch(model, &picture, 0, top, 1, &found), RESNET_ERROR_ARGUMENT, "no pictures");
  EXPECT_ERROR(resnet_predict_batch(model, &picture, SIZE_MAX, top, 1, &found), RESNET_ERROR_ARGUMENT, "no memory");
  picture.data = gray, picture.size = sizeof gray, picture.width = picture.height = SIDE, picture.channels = 1;
  EXPECT(resnet_predict_batch(model, &picture, 1, top, 1, &found) == RESNET_OK && found == 1);
  found = 77;
  for (i = 0; i < 9; ++i) {
    resnet_picture bad = picture;
    if (i == 0) bad.channels = 0;
    if (i == 1) bad.channels = 2;
    if (i == 2) bad.channels = -1;
    if (i == 3) bad.stride = SIDE - 1;
    if (i == 4) bad.stride = SIZE_MAX;
    if (i == 5) bad.stride = SIZE_MAX / 4;
    if (i == 6) bad.height = SIDE + 1;
    if (i == 7) bad.width = -SIDE;
    if (i == 8) bad.channels = 3;
    EXPECT_ERROR(resnet_predict_batch(model, &bad, 1, top, 1, &found), RESNET_ERROR_ARGUMENT, "picture 0: ");
  }
  EXPECT(found == 77);
}

static void test_opening(const char* path) {
  resnet_options options = RESNET_OPTIONS;
  resnet_model* model = NULL;
  unsigned char* bytes = malloc(1 << 20);
  size_t size;
  FILE* in = fopen(path, "rb");
  if (bytes == NULL || in == NULL) {
    printf("no %s\n", path);
    exit(1);
  }
  size = fread(bytes, 1, 1 << 20, in);
  fclose(in);
  EXPECT_ERROR(resnet_open(NULL, NULL, &model), RESNET_ERROR_ARGUMENT, "the path is null");
  EXPECT_ERROR(resnet_open(path, NULL, NULL), RESNET_ERROR_ARGUMENT, "no place");
  EXPECT_ERROR(resnet_open("no/such/file", NULL, &model), RESNET_ERROR_IO, "no/such/file");
  EXPECT_ERROR(resnet_open("/", NULL, &model), RESNET_ERROR_IO, "/");
  EXPECT_ERROR(resnet_open_bytes(NULL, 9, NULL, &model), RESNET_ERROR_ARGUMENT, "null");
  EXPECT_ERROR(resnet_open_bytes(bytes, 0, NULL, &model), RESNET_ERROR_FORMAT, "the model");
  EXPECT_ERROR(resnet_open_bytes(bytes, size - 1, NULL, &model), RESNET_ERROR_FORMAT, "the model");
  EXPECT_ERROR(resnet_open_bytes(file, file_size, NULL, &model), RESNET_ERROR_FORMAT, "the model");
  options.threads = -1;
  EXPECT_ERROR(resnet_open(path, &options, &model), RESNET_ERROR_ARGUMENT, "threads");
  options.threads = 1000000;
  EXPECT_ERROR(resnet_open(path, &options, &model), RESNET_ERROR_ARGUMENT, "threads");
  options.threads = 1;
  options.memory = -1;
  EXPECT_ERROR(resnet_open(path, &options, &model), RESNET_ERROR_ARGUMENT, "memory");
  options.memory = 0;
  options.size = 0;
  EXPECT_ERROR(resnet_open(path, &options, &model), RESNET_ERROR_ARGUMENT, "size");
  EXPECT(model == NULL);
  options.size = sizeof options;
  EXPECT(resnet_open_bytes(bytes, size, &options, &model) == RESNET_OK);
  free(bytes);
  test_answers(model);
  resnet_close(model);
}

int main(int count, char** arguments) {
  resnet_model* model = NULL;
  if (count != 2) {
    printf("usage: interface_test MODEL\n");
    return 2;
  }
  EXPECT(strcmp(resnet_error(), "") == 0 && strcmp(resnet_hint(), "") == 0);
  EXPECT(strncmp(resnet_version(), "0.", 2) == 0);
  draw(1);
  test_opening(arguments[1]);
  EXPECT(resnet_open(arguments[1], NULL, &model) == RESNET_OK);
  test_answers(model);
  test_batches(model);
  test_threads(model);
  test_sizes_of_options(arguments[1]);
  test_wrong_arguments(model);
  test_answers(model);
  resnet_close(model);
  return failures == 0 ? 0 : 1;
}
