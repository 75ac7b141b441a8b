/* The C interface: labels for pictures from a model file, for programs in C and for languages that call C.
 * (C++ programs have more in <resnet/resnet.h>.)
 *
 *   resnet_model* model;
 *   if (resnet_open("model.safetensors", NULL, &model) != RESNET_OK) { puts(resnet_error()); return 1; }
 *   resnet_prediction top[3];
 *   size_t found;
 *   if (resnet_predict(model, jpeg, jpeg_size, top, 3, &found) == RESNET_OK)
 *     for (size_t i = 0; i < found; ++i)
 *       printf("%s %.3f\n", resnet_class_name(model, top[i].index), top[i].probability);
 *   resnet_close(model);
 *
 * Errors. A function that can fail gives RESNET_OK or another status, and then leaves one line of what is
 * wrong in resnet_error() and one of what to do in resnet_hint(), for the calling thread. What it would have
 * written is then as it was, unless said. Null pointers and sizes that make no sense are errors of this kind,
 * not crashes. No exception leaves the library, and it never prints, exits or aborts.
 *
 * Ownership. What a function gets is read during the call alone; results go into memory of the caller. A
 * resnet_model belongs to the caller until resnet_close(). Texts that functions give belong to the library;
 * those of a model live as long as it does.
 *
 * Threads. Any number of threads may call any functions of one model at the same time, but for
 * resnet_close(), which is the last call. Answers are the same bits as those of a call by itself. Calls share
 * the weights, and run at the same time where resnet_options::threads leaves them cores.
 *
 * Binary compatibility: docs/versioning.md. */
#ifndef RESNET_C_H
#define RESNET_C_H

/* NOLINTBEGIN(modernize-*): it is C */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a call came to. Later versions may have more. */
typedef enum resnet_status {
  RESNET_OK = 0,
  RESNET_ERROR_ARGUMENT = 1, /**< a null pointer, or a value that an argument cannot have */
  RESNET_ERROR_IO = 2,       /**< a file that is missing or cannot be read; threads that the system
                               does not start */
  RESNET_ERROR_FORMAT = 3,   /**< bytes that are no model, or no picture, or are damaged */
  RESNET_ERROR_MEMORY = 4,   /**< too little memory; the model is as it was */
  RESNET_ERROR_MACHINE = 5,  /**< this machine lacks what it takes: an instruction set */
  RESNET_ERROR_SHAPE = 6, /**< what does not fit: a model that is no classifier or whose output is not finite,
                               a picture that is too long for the model's resize */
  RESNET_ERROR_INTERNAL = 7 /**< a fault of the library */
} resnet_status;

/** A model that was opened. */
typedef struct resnet_model resnet_model;

/** How a model computes. Begin with RESNET_OPTIONS, so that fields that a later version adds are set. */
typedef struct resnet_options {
  size_t size;    /**< sizeof(resnet_options), by which later versions know the fields that are there */
  int threads;    /**< of one call; 0: OMP_NUM_THREADS, else all cores that the process has. 1 gives callers
                       in many threads the most answers a second, 0 a single caller the quickest answer */
  int64_t memory; /**< bytes of this process that may be resident: what needs more is refused. 0: what the
                       machine has */
} resnet_options;

/** The defaults. */
#define RESNET_OPTIONS \
  { sizeof(resnet_options), 0, 0 }

/** What a network takes, after its own preprocessing. */
typedef struct resnet_input_info {
  int64_t channels; /**< 1: gray, 3: RGB; pictures of the other kind are converted */
  int64_t height;   /**< pixels after resize and crop; 0 where that depends on the picture */
  int64_t width;
} resnet_input_info;

/** A picture: the bytes of its file (width 0), or pixels. */
typedef struct resnet_picture {
  const void* data; /**< a JPEG, PNG, WebP, BMP, PPM, PGM or PBM file, or rows of pixels from the top */
  size_t size;      /**< bytes of `data` */
  int64_t width;    /**< pixels; 0: `data` is a file, and the fields below do not count */
  int64_t height;   /**< pixels */
  int channels;     /**< bytes of a pixel: 1 (gray) or 3 (red, green, blue) */
  size_t stride;    /**< bytes from a row to the next; 0: width * channels */
} resnet_picture;

/** A class, and how likely it is. */
typedef struct resnet_prediction {
  size_t index;      /**< below resnet_classes() */
  float probability; /**< softmax of the network's outputs */
} resnet_prediction;

/** The version of the library, "0.1.0". */
const char* resnet_version(void);

/** What was wrong with this thread's last call that failed, one line of UTF-8 of at most 300 bytes; "" before
 * one did. Valid until this thread's next call that fails. */
const char* resnet_error(void);
/** What to do about it, one line. */
const char* resnet_hint(void);

/** Opens a model file. `options` may be null. */
resnet_status resnet_open(const char* path, const resnet_options* options, resnet_model** model);
/** The same for the bytes of a model file, which are not needed any more afterwards. */
resnet_status resnet_open_bytes(const void* bytes, size_t size, const resnet_options* options,
                                resnet_model** model);
/** Ends a model; null is no error. No other call on it may be under way, or follow. */
void resnet_close(resnet_model* model);

/** Outputs of the network, at least 1; 0 for null. */
size_t resnet_classes(const resnet_model* model);
/** A class's name in UTF-8, its number where the model file has none; null for null or an index beyond. */
const char* resnet_class_name(const resnet_model* model, size_t index);
/** What the network takes. */
resnet_status resnet_input(const resnet_model* model, resnet_input_info* input);

/** The `most` likeliest classes of a picture in the bytes of its file, the likeliest first; `found` gets
 * their number, resnet_classes() where `most` is larger, and may be null. Limits for pictures as those of
 * the program: 2^26 pixels, 256 MiB. */
resnet_status resnet_predict(const resnet_model* model, const void* file, size_t size, resnet_prediction* top,
                             size_t most, size_t* found);
/** The same for pixels, rows of width * 3 bytes (red, green, blue) without gaps. */
resnet_status resnet_predict_rgb(const resnet_model* model, const uint8_t* pixels, int64_t width,
                                 int64_t height, resnet_prediction* top, size_t most, size_t* found);
/** Several pictures, which go through the network up to 32 together: more pictures a second than one by one.
 * `top` has `most` places for each of `count` pictures, one picture's after the other's. `found` is the same
 * for all. At the first picture that fails the call ends, resnet_error() begins with its number, and `top`
 * holds nothing of use. */
resnet_status resnet_predict_batch(const resnet_model* model, const resnet_picture* pictures, size_t count,
                                   resnet_prediction* top, size_t most, size_t* found);

#ifdef __cplusplus
}
#endif
/* NOLINTEND(modernize-*) */

#endif
