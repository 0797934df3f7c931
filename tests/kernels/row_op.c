/* tests/kernels/row_op.c - comparisons are made on whole outputs, so that a failure names the first
 * value that is wrong. */
#include "tests/kernels/row_op.h"

enum { GUARD = 64 };
static const uint32_t guard_bits = 0xDEADBEEF;

float *new_values(size_t n, float size, uint64_t seed, enum compute compute)
{
    float *values = malloc((n + 1) * sizeof *values);
    ASSERT(values);
    for (size_t i = 0; i < n; i++) {
        double unit = (double)(test_random(&seed) >> 11) * 0x1p-53;
        values[i] = (float)((2 * unit - 1) * size);
        if (compute == COMPUTE_BF16)
            values[i] = bf16_round(values[i]);
    }
    return values;
}

struct device_stream *new_stream(uint32_t n_threads)
{
    struct device_stream *stream = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(
        device_stream_create(&(struct device_stream_config){.n_threads = n_threads}, &stream, &err),
        err);
    return stream;
}

float *guarded_new(size_t n)
{
    float *all = malloc((n + (size_t)2 * GUARD) * sizeof *all);
    ASSERT(all);
    for (size_t i = 0; i < n + (size_t)2 * GUARD; i++)
        memcpy(all + i, &guard_bits, sizeof guard_bits);
    return all + GUARD;
}

void guarded_check_and_free(float *data, size_t n, const char *name)
{
    for (size_t i = 0; i < GUARD; i++) {
        if (memcmp(data - 1 - i, &guard_bits, sizeof guard_bits) != 0)
            test_fail(__FILE__, __LINE__, "%s wrote %zu before its output", name, i + 1);
        if (memcmp(data + n + i, &guard_bits, sizeof guard_bits) != 0)
            test_fail(__FILE__, __LINE__, "%s wrote %zu behind its output", name, i + 1);
    }
    free(data - GUARD);
}

static float *run_rows(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                       size_t first, size_t n_rows)
{
    size_t n = n_rows * op->width;
    float *out = guarded_new(n);
    if (op->out_before)
        memcpy(out, op->out_before + first * op->width, n * sizeof *out);
    op->run(op, ops, stream, first, n_rows, out);
    float *copy = malloc((n + 1) * sizeof *copy);
    ASSERT(copy);
    memcpy(copy, out, n * sizeof *copy);
    guarded_check_and_free(out, n, op->name);
    return copy;
}

static void check_near(const struct row_op *op, const char *variant, const float *got,
                       const float *want)
{
    size_t n = op->n_rows * op->width, n_differing = 0;
    for (size_t i = 0; i < n; i++) {
        double size = fabs((double)want[i]);
        double allowed = op->relative * size + op->absolute * (op->scales ? op->scales[i] : 1);
        if (op->compute == COMPUTE_BF16)
            allowed += op->steps * (size * 0x1p-7 + 0x1p-133);
        n_differing += fabs((double)got[i] - want[i]) > 1e-30; // of nothing, none
        if (!(fabs((double)got[i] - want[i]) <= allowed))
            test_fail(__FILE__, __LINE__,
                      "%s, %s: value %zu of row %zu is %.9g, the twin's %.9g, allowed %g", op->name,
                      variant, i % op->width, i / op->width, got[i], want[i], allowed);
    }
    if (op->compute == COMPUTE_BF16 && n_differing > 2 + n / 50)
        test_fail(__FILE__, __LINE__, "%s, %s: %zu of %zu values differ from the twin's", op->name,
                  variant, n_differing, n);
}

static void check_bits(const struct row_op *op, const char *variant, const char *how,
                       const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(got + i, want + i, sizeof *got) != 0)
            test_fail(__FILE__, __LINE__, "%s, %s: %s, value %zu has other bits: %a and %a",
                      op->name, variant, how, i, got[i], want[i]);
}

static void check_rows_alone(const struct row_op *op, const struct ops *ops, const char *variant,
                             struct device_stream *stream, const float *want)
{
    for (size_t row = 0; row < op->n_rows; row++) {
        float *alone = run_rows(op, ops, stream, row, 1);
        check_bits(op, variant, "a row alone", alone, want + row * op->width, op->width);
        free(alone);
    }
}

static void check_threads(const struct row_op *op, const struct ops *ops, const char *variant,
                          const float *want)
{
    static const uint32_t n_threads[] = {2, 3, 5};
    for (size_t t = 0; t < 3; t++) {
        struct device_stream *stream = new_stream(n_threads[t]);
        float *got = run_rows(op, ops, stream, 0, op->n_rows);
        check_bits(op, variant, "with more threads", got, want, op->n_rows * op->width);
        free(got);
        device_stream_destroy(stream);
    }
}

void row_op_check(const struct row_op *op)
{
    struct ops ops;
    struct device_stream *stream = new_stream(1);
    kernels_select(KERNELS_TWIN, op->compute, &ops);
    float *twin = run_rows(op, &ops, stream, 0, op->n_rows);
    check_rows_alone(op, &ops, "twin", stream, twin);
    float *first_vector = NULL;
    for (int v = KERNELS_AVX2; v <= (int)kernels_best_variant(); v++) {
        const char *variant = kernels_variant_name((enum kernels_variant)v);
        kernels_select((enum kernels_variant)v, op->compute, &ops);
        float *got = run_rows(op, &ops, stream, 0, op->n_rows);
        check_near(op, variant, got, twin);
        check_rows_alone(op, &ops, variant, stream, got);
        check_threads(op, &ops, variant, got);
        if (!first_vector) {
            first_vector = got;
            continue;
        }
        if (v != KERNELS_AVX512_BF16 || !op->has_dot_form)
            check_bits(op, variant, "against avx2", got, first_vector, op->n_rows * op->width);
        free(got);
    }
    free(first_vector);
    free(twin);
    device_stream_destroy(stream);
}
