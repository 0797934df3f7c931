/* kernels/select.c - the twins first, then the selected variant's ops over them.
 *
 * Each row is one op file as compiled for a variant (kernels/variant.h). */
#include "kernels/ops.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <string.h>

#include "base/env.h"
#include "base/status.h"

typedef void put_fn(struct ops *out);

put_fn attention_put_twin_f32, attention_put_twin_bf16;
put_fn conformer_put_twin_f32, conformer_put_twin_bf16;
put_fn embed_put_twin_f32, embed_put_twin_bf16;
put_fn encode_put_twin_f32, encode_put_twin_bf16;
put_fn gelu_mul_put_twin_f32, gelu_mul_put_twin_bf16;
put_fn matmul_put_twin_f32, matmul_put_twin_bf16;
put_fn per_layer_put_twin_f32, per_layer_put_twin_bf16;
put_fn rmsnorm_put_twin_f32, rmsnorm_put_twin_bf16;
put_fn rope_put_twin_f32, rope_put_twin_bf16;
put_fn router_put_twin_f32, router_put_twin_bf16;
#if defined(__x86_64__)
put_fn attention_put_avx2_f32, attention_put_avx2_bf16;
put_fn conformer_put_avx2_f32, conformer_put_avx2_bf16;
put_fn embed_put_avx2_f32, embed_put_avx2_bf16;
put_fn encode_put_avx2_f32, encode_put_avx2_bf16;
put_fn gelu_mul_put_avx2_f32, gelu_mul_put_avx2_bf16;
put_fn matmul_put_avx2_f32, matmul_put_avx2_bf16;
put_fn per_layer_put_avx2_f32, per_layer_put_avx2_bf16;
put_fn rmsnorm_put_avx2_f32, rmsnorm_put_avx2_bf16;
put_fn rope_put_avx2_f32, rope_put_avx2_bf16;
put_fn router_put_avx2_f32, router_put_avx2_bf16;
put_fn attention_put_avx512_f32, attention_put_avx512_bf16;
put_fn conformer_put_avx512_f32, conformer_put_avx512_bf16;
put_fn embed_put_avx512_f32, embed_put_avx512_bf16;
put_fn encode_put_avx512_f32, encode_put_avx512_bf16;
put_fn gelu_mul_put_avx512_f32, gelu_mul_put_avx512_bf16;
put_fn matmul_put_avx512_f32, matmul_put_avx512_bf16;
put_fn per_layer_put_avx512_f32, per_layer_put_avx512_bf16;
put_fn rmsnorm_put_avx512_f32, rmsnorm_put_avx512_bf16;
put_fn rope_put_avx512_f32, rope_put_avx512_bf16;
put_fn router_put_avx512_f32, router_put_avx512_bf16;
put_fn matmul_put_avx512_vnni_f32, matmul_put_avx512_vnni_bf16;
put_fn attention_put_avx512_dot_bf16, matmul_put_avx512_dot_bf16;
#endif

// Later rows go over earlier ones, as far as the selected variant reaches.
static const struct {
    enum kernels_variant variant;
    put_fn *f32, *bf16; // NULL: nothing better than what is there
} forms[] = {
    {KERNELS_TWIN, attention_put_twin_f32, attention_put_twin_bf16},
    {KERNELS_TWIN, conformer_put_twin_f32, conformer_put_twin_bf16},
    {KERNELS_TWIN, embed_put_twin_f32, embed_put_twin_bf16},
    {KERNELS_TWIN, encode_put_twin_f32, encode_put_twin_bf16},
    {KERNELS_TWIN, gelu_mul_put_twin_f32, gelu_mul_put_twin_bf16},
    {KERNELS_TWIN, matmul_put_twin_f32, matmul_put_twin_bf16},
    {KERNELS_TWIN, per_layer_put_twin_f32, per_layer_put_twin_bf16},
    {KERNELS_TWIN, rmsnorm_put_twin_f32, rmsnorm_put_twin_bf16},
    {KERNELS_TWIN, rope_put_twin_f32, rope_put_twin_bf16},
    {KERNELS_TWIN, router_put_twin_f32, router_put_twin_bf16},
#if defined(__x86_64__)
    {KERNELS_AVX2, attention_put_avx2_f32, attention_put_avx2_bf16},
    {KERNELS_AVX2, conformer_put_avx2_f32, conformer_put_avx2_bf16},
    {KERNELS_AVX2, embed_put_avx2_f32, embed_put_avx2_bf16},
    {KERNELS_AVX2, encode_put_avx2_f32, encode_put_avx2_bf16},
    {KERNELS_AVX2, gelu_mul_put_avx2_f32, gelu_mul_put_avx2_bf16},
    {KERNELS_AVX2, matmul_put_avx2_f32, matmul_put_avx2_bf16},
    {KERNELS_AVX2, per_layer_put_avx2_f32, per_layer_put_avx2_bf16},
    {KERNELS_AVX2, rmsnorm_put_avx2_f32, rmsnorm_put_avx2_bf16},
    {KERNELS_AVX2, rope_put_avx2_f32, rope_put_avx2_bf16},
    {KERNELS_AVX2, router_put_avx2_f32, router_put_avx2_bf16},
    {KERNELS_AVX512, attention_put_avx512_f32, attention_put_avx512_bf16},
    {KERNELS_AVX512, conformer_put_avx512_f32, conformer_put_avx512_bf16},
    {KERNELS_AVX512, embed_put_avx512_f32, embed_put_avx512_bf16},
    {KERNELS_AVX512, encode_put_avx512_f32, encode_put_avx512_bf16},
    {KERNELS_AVX512, gelu_mul_put_avx512_f32, gelu_mul_put_avx512_bf16},
    {KERNELS_AVX512, matmul_put_avx512_f32, matmul_put_avx512_bf16},
    {KERNELS_AVX512, per_layer_put_avx512_f32, per_layer_put_avx512_bf16},
    {KERNELS_AVX512, rmsnorm_put_avx512_f32, rmsnorm_put_avx512_bf16},
    {KERNELS_AVX512, rope_put_avx512_f32, rope_put_avx512_bf16},
    {KERNELS_AVX512, router_put_avx512_f32, router_put_avx512_bf16},
    {KERNELS_AVX512_VNNI, matmul_put_avx512_vnni_f32, matmul_put_avx512_vnni_bf16},
    {KERNELS_AVX512_BF16, NULL, attention_put_avx512_dot_bf16},
    {KERNELS_AVX512_BF16, NULL, matmul_put_avx512_dot_bf16},
#endif
};

static const char *const names[] = {
    [KERNELS_TWIN] = "twin",
    [KERNELS_AVX2] = "avx2",
    [KERNELS_AVX512] = "avx512",
    [KERNELS_AVX512_VNNI] = "avx512_vnni",
    [KERNELS_AVX512_BF16] = "avx512_bf16",
};

#if defined(__x86_64__)
// __builtin_cpu_supports of older compilers does not know it.
static bool has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

static enum kernels_variant cpu_variant(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c())
        return KERNELS_TWIN;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
        return KERNELS_AVX2;
    if (!__builtin_cpu_supports("avx512vnni"))
        return KERNELS_AVX512;
    return __builtin_cpu_supports("avx512bf16") ? KERNELS_AVX512_BF16 : KERNELS_AVX512_VNNI;
#else
    return KERNELS_TWIN;
#endif
}

static enum kernels_variant cap(void)
{
    const char *name = env_get(ENV_KERNELS);
    if (!name)
        return KERNELS_AVX512_BF16;
    int variant = KERNELS_TWIN;
    while (variant <= KERNELS_AVX512_BF16 && strcmp(name, names[variant]) != 0)
        variant++;
    bool GEMMAD_KERNELS_names_a_variant = variant <= KERNELS_AVX512_BF16;
    CHECK(GEMMAD_KERNELS_names_a_variant);
    return (enum kernels_variant)variant;
}

enum kernels_variant kernels_best_variant(void)
{
    enum kernels_variant most = cap();
    enum kernels_variant here = cpu_variant();
    return here < most ? here : most;
}

const char *kernels_variant_name(enum kernels_variant variant)
{
    return names[variant];
}

enum compute kernels_auto_compute(void)
{
    return kernels_best_variant() == KERNELS_AVX512_BF16 ? COMPUTE_BF16 : COMPUTE_F32;
}

void kernels_select(enum kernels_variant variant, enum compute compute, struct ops *out)
{
    CHECK(variant <= kernels_best_variant());
    struct ops ops;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        put_fn *put = compute == COMPUTE_BF16 ? forms[i].bf16 : forms[i].f32;
        if (forms[i].variant <= variant && put)
            put(&ops);
    }
    *out = ops;
}
