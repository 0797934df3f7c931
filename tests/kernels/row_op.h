/* tests/kernels/row_op.h - the harness of ops that give one row of f32 per row: each variant that
 * this machine can run against the twin, and what every op promises about bits. */
#ifndef GEMMAD_TESTS_KERNELS_ROW_OP_H
#define GEMMAD_TESTS_KERNELS_ROW_OP_H

#include "device/stream.h"
#include "kernels/ops.h"
#include "tests/test.h"

struct row_op {
    const char *name; /* of the case, for messages */
    /* Computes rows [first_row, first_row + n_rows) of the case into out [n_rows, width], which
     * holds what out_before holds for those rows. */
    void (*run)(const struct row_op *op, const struct ops *ops, struct device_stream *stream,
                size_t first_row, size_t n_rows, float *out);
    const void *inputs;
    const float *out_before; /* [n_rows, width] for ops that work in place, or NULL */
    size_t n_rows, width;
    enum compute compute;
    /* |got - want| may be relative * |want| + absolute, and with COMPUTE_BF16 `steps` of bf16 more;
     * then at most one value in 50 may differ at all. NULL or [n_rows, width]: scales of absolute.
     */
    double relative, absolute;
    int steps;
    bool has_dot_form; /* AVX512-BF16's bits are its own */
    const double *scales;
};

/* Checks the op in all variants: against the twin, nothing written outside of out, and the same
 * bits for a row alone, with 1, 2, 3 and 5 threads, and in all vector variants. */
void row_op_check(const struct row_op *op);

/* Seeded values in [-size, size], bf16 ones for COMPUTE_BF16. The caller frees. */
float *new_values(size_t n, float size, uint64_t seed, enum compute compute);
struct device_stream *new_stream(uint32_t n_threads);

/* n floats with guards around them. */
float *guarded_new(size_t n);
void guarded_check_and_free(float *data, size_t n, const char *name);

#endif
