/* kernels/variant.h - what one compilation of an op file is for.
 *
 * The build compiles each op's file once per instruction set and compute type
 * (kernels/meson.build), with -DKERNEL_VARIANT=avx2_bf16 and the like; everything in the file is
 * static but one function that puts the file's ops into a table. So a body is written once, and
 * R(.) is decided when it is compiled. Included by op files alone. */
#ifndef GEMMAD_KERNELS_VARIANT_H
#define GEMMAD_KERNELS_VARIANT_H

#include "kernels/ops.h"

#ifndef KERNEL_VARIANT /* tools that look at one file outside of the build */
#define KERNEL_VARIANT twin_f32
#define KERNEL_ROUNDS 0
#endif

#define KERNEL_JOIN_WORDS(op, variant) op##_put_##variant
#define KERNEL_JOIN(op, variant) KERNEL_JOIN_WORDS(op, variant)
/* embed_put_avx2_bf16: puts the ops of kernels/embed.h, in this variant's form, into the table. */
#define KERNEL_PUT(op) KERNEL_JOIN(op, KERNEL_VARIANT)
#define KERNEL_NAME_WORDS(function, variant) function##_##variant
#define KERNEL_NAME_JOIN(function, variant) KERNEL_NAME_WORDS(function, variant)
/* A function that op files of one variant share. */
#define KERNEL_NAME(function) KERNEL_NAME_JOIN(function, KERNEL_VARIANT)

void KERNEL_PUT(attention)(struct ops *out);
void KERNEL_PUT(conformer)(struct ops *out);
void KERNEL_PUT(embed)(struct ops *out);
void KERNEL_PUT(encode)(struct ops *out);
void KERNEL_PUT(gelu_mul)(struct ops *out);
void KERNEL_PUT(matmul)(struct ops *out);
void KERNEL_PUT(per_layer)(struct ops *out);
void KERNEL_PUT(rmsnorm)(struct ops *out);
void KERNEL_PUT(rope)(struct ops *out);
void KERNEL_PUT(router)(struct ops *out);

/* Lanes of a vector, in every instruction set (kernels/simd.h). */
#define VF_LANES 16

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Before a loop over registers, whose bounds are constants after inlining. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

/* R(.) of the model contract. */
static inline float rounded(float value)
{
    return KERNEL_ROUNDS ? bf16_round(value) : value;
}

#endif
