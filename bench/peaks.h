/* bench/peaks.h - what this machine can do at most, found by running it: plain reads of memory, and
 * the instruction that a matmul of a type stands on, from registers. The figures that kernels are
 * compared with, measured beside them in the same run. */
#ifndef GEMMAD_BENCH_PEAKS_H
#define GEMMAD_BENCH_PEAKS_H

#include "device/stream.h"
#include "kernels/ops.h"

/* Reads all bytes once, by all threads of the stream. */
uint64_t peak_read_ns(struct device_stream *stream, const void *data, size_t bytes);

/* GFLOP/s (a multiplication and an addition are two) of all threads: f32 multiply-adds, bf16 pair
 * dot products, or byte products, as the variant has them for weights of this type. */
double peak_gflops(struct device_stream *stream, enum kernels_variant variant, enum dtype dtype);

#endif
