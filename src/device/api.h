// What an engine asks of a device: a table of C functions. The plugin libresnet_cuda.so has one, the emulator
// another (src/emulator/emulator.h). Only C types cross this border, so that neither side minds the other's
// compiler. Functions that return int give a resnet_device_status, with a line about it in error().
#pragma once

#include <cstdint>

extern "C" {

// Raised whenever a struct, a function or the meaning of one changes.
#define RESNET_DEVICE_API_VERSION 3

// Compute capability 8.0: bf16 and tf32 in tensor cores, copies beside other work. Less than that is refused.
#define RESNET_LEAST_ARCHITECTURE 80

// Why a function failed, where who asked can do something about it.
enum resnet_device_status {
  RESNET_DEVICE_DONE = 0,
  RESNET_DEVICE_FAILED = 1,      // whatever is not below; what the device held is lost
  RESNET_DEVICE_NONE = 2,        // there is no device
  RESNET_DEVICE_OLD_DRIVER = 3,  // the driver is older than the library
  RESNET_DEVICE_BUSY = 4,        // another process has the device for itself
  RESNET_DEVICE_NO_MEMORY = 5,   // of the device
};

struct resnet_device_facts {
  char name[128];             // as the device calls itself
  std::int32_t architecture;  // compute capability: 90 is 9.0; 0: emulated
  std::int32_t multiprocessors;
  std::int64_t memory_bytes, free_bytes;
  std::int32_t shared_bytes;     // most of a block
  std::int32_t driver, runtime;  // CUDA's numbers: 13000 is 13.0
};

struct resnet_launch {
  std::uint32_t kernel;  // its line in kernels.def
  std::uint32_t blocks;
  std::uint32_t shared_bytes;
  std::uint32_t args_bytes;
  const void* args;  // device addresses and numbers, by value
};

// A pass of a convolution by the maker's own library (cuDNN): activations NHWC, weights [co][kh][kw][ci /
// groups], all in one type; sums are f32. Which of the library's engines does so, and its knobs, are named
// with it.
#define RESNET_MOST_KNOBS 12
struct resnet_knob {
  std::int32_t type, value;
};
struct resnet_convolution {
  std::int32_t pass;  // 0: y of x and w; 1: x of y and w, where they are gradients; 2: w of x and y, likewise
  std::int32_t bf16;  // 1: what is stored is bf16; 0: f32, multiplied as tf32
  std::int32_t adds;  // 1: the result is added to what is there (of pass 1 alone)
  std::int32_t n, h, w, ci, co, kh, kw, sh, sw, ph, pw, dh, dw, groups;
  std::int32_t engine, knobs;  // so many of
  resnet_knob knob[RESNET_MOST_KNOBS];
};
struct resnet_convolution_data {  // on the device, at multiples of 16
  void *x, *w, *y, *workspace;
};
struct resnet_convolution_plan;  // ready to run, on the device of its stream

struct resnet_stream;  // work in order, asked for by any thread, one at a time
struct resnet_event;   // a moment in it
struct resnet_graph;   // captured work, to be launched as one

struct resnet_device_api {
  std::uint32_t version;  // RESNET_DEVICE_API_VERSION
  std::uint32_t bytes;    // sizeof of this struct
  std::uint64_t kernels;  // kernels_hash() of the kernels that it was built with
  const char* name;       // "cuda", "emulator"

  const char* (*error)();  // of the last call of this thread that failed
  int (*count)(std::int32_t* devices);
  int (*facts)(std::int32_t device, resnet_device_facts* facts);
  int (*use)(std::int32_t device);  // of this thread, from here on

  int (*allocate)(std::uint64_t bytes, void** memory);  // of the device, at a multiple of 256
  void (*release)(void* memory);
  int (*allocate_pinned)(std::uint64_t bytes, void** memory);  // of the host, for copies beside other work
  void (*release_pinned)(void* memory);

  int (*make_stream)(resnet_stream** stream);
  void (*end_stream)(resnet_stream* stream);
  int (*synchronize)(resnet_stream* stream);  // waits, and gives the error of what has run
  // Between any two of device and host. It may come back before it is done, and the host's side has to stay
  // as it is until then; other than pinned memory of the host has been written.
  int (*copy)(resnet_stream* stream, void* to, const void* from, std::uint64_t bytes);
  int (*fill)(resnet_stream* stream, void* memory, std::int32_t byte, std::uint64_t bytes);
  int (*launch)(resnet_stream* stream, const resnet_launch* launch);

  int (*make_event)(resnet_event** event);
  void (*end_event)(resnet_event* event);
  int (*record)(resnet_stream* stream, resnet_event* event);
  int (*wait)(resnet_event* event);  // until it has passed; gives the error of what has run
  int (*follow)(resnet_stream* stream, resnet_event* event);  // later work of the stream waits for it
  int (*elapsed)(resnet_event* first, resnet_event* last, float* milliseconds);  // once both have passed

  int (*begin_capture)(resnet_stream* stream);  // what follows is captured and does not run
  int (*end_capture)(resnet_stream* stream, resnet_graph** graph);
  int (*launch_graph)(resnet_stream* stream, resnet_graph* graph);
  void (*end_graph)(resnet_graph* graph);

  // The maker's library, loaded when it is first asked for: its version, 91900 is cuDNN 9.19.0. Where there
  // is none, error() says why, and nothing else is asked of it.
  int (*library)(std::int32_t* version);
  int (*plan_convolution)(resnet_stream* stream, const resnet_convolution* what,
                          resnet_convolution_plan** plan, std::uint64_t* workspace_bytes);
  void (*end_convolution)(resnet_convolution_plan* plan);
  int (*convolve)(resnet_stream* stream, const resnet_convolution_plan* plan,
                  const resnet_convolution_data* data);
};

// The plugin's only symbol.
using resnet_device_entry = const resnet_device_api* (*)();

}  // extern "C"
