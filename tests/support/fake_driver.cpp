// libcuda.so.1 without a GPU: NVIDIA's driver is there, as far as loading it tells.
extern "C" int cuInit(unsigned) {
  return 0;
}
