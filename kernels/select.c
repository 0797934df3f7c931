/* kernels/select.c - the twins first, then the selected variant's ops over them.
 *
 * Each entry of a list is one compiled op file (kernels/variant.h). Vector forms that a file lacks
 * stay the twins: choosing experts and taking cosines are a vanishing part of a step. */
#include "kernels/ops.h"

#include <string.h>

#include "base/env.h"
#include "base/status.h"

// Bodies of kernels/<op>_ref.c and kernels/<op>_cpu.c, in the form that the last word says.
#define DECLARE_PUTS(variant)                      \
    void attention_put_##variant(struct ops *out); \
    void embed_put_##variant(struct ops *out);     \
    void gelu_mul_put_##variant(struct ops *out);  \
    void matmul_put_##variant(struct ops *out);    \
    void per_layer_put_##variant(struct ops *out); \
    void rmsnorm_put_##variant(struct ops *out);   \
    void rope_put_##variant(struct ops *out);      \
    void router_put_##variant(struct ops *out);    \
    void softcap_put_##variant(struct ops *out);   \
    static void put_##variant(struct ops *out)     \
    {                                              \
        attention_put_##variant(out);              \
        embed_put_##variant(out);                  \
        gelu_mul_put_##variant(out);               \
        matmul_put_##variant(out);                 \
        per_layer_put_##variant(out);              \
        rmsnorm_put_##variant(out);                \
        rope_put_##variant(out);                   \
        router_put_##variant(out);                 \
        softcap_put_##variant(out);                \
    }

DECLARE_PUTS(twin_f32)
DECLARE_PUTS(twin_bf16)

static const char *const names[] = {
    [KERNELS_TWIN] = "twin",
    [KERNELS_AVX2] = "avx2",
    [KERNELS_AVX512] = "avx512",
    [KERNELS_AVX512_BF16] = "avx512_bf16",
};

static enum kernels_variant cpu_variant(void)
{
    return KERNELS_TWIN;
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
    if (compute == COMPUTE_BF16)
        put_twin_bf16(&ops);
    else
        put_twin_f32(&ops);
    *out = ops;
}
