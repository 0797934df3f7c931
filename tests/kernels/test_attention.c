/* tests/kernels/test_attention.c - kernels/attention.h over pages in any order: each variant
 * against the twin, and a row's bits in any batch and any chunks. */
#include "kernels/attention.h"
#include "kernels/rope.h"
#include "tests/kernels/row_op.h"

enum { MAX_SEQS = 4 };

struct attention_case {
    uint32_t n_heads, n_kv_heads, k_dim, v_dim; // k_dim < v_dim: k_from_v
    uint32_t page_tokens, window;
    uint32_t n_seqs;
    uint32_t first[MAX_SEQS], n_rows[MAX_SEQS]; // of each sequence
    uint32_t block, n_block;                    // rows of the case that see each other; 0: none
};

static const struct attention_case cases[] = {
    {1, 1, 16, 16, 16, 0, 1, {0}, {1}},
    {2, 1, 32, 32, 16, 0, 2, {0, 5}, {17, 1}},
    {4, 2, 64, 64, 16, 5, 3, {0, 3, 100}, {9, 0, 7}},
    {3, 3, 72, 72, 16, 0, 2, {30, 0}, {3, 40}},
    {8, 1, 256, 256, 16, 512, 2, {1000, 600}, {3, 1}},
    {16, 4, 64, 64, 32, 1024, 2, {1023, 2000}, {6, 2}},
    {8, 1, 128, 512, 64, 0, 2, {700, 0}, {2, 5}},
    {32, 1, 64, 64, 16, 0, 1, {40}, {3}},
    {5, 1, 20, 20, 16, 3, 2, {510, 0}, {9, 2}},
    {4, 4, 16, 40, 256, 0, 2, {511, 1535}, {3, 2}},
    {2, 2, 256, 256, 128, 0, 1, {0}, {37}},
    // fewer units than threads: splits are shared
    {8, 1, 64, 64, 16, 0, 1, {3000}, {1}},
    {4, 2, 32, 32, 16, 0, 2, {2600, 10}, {2, 1}},
    {2, 1, 16, 40, 16, 700, 1, {1600}, {5}},
    {1, 1, 16, 16, 16, 0, 1, {70000}, {1}}, // more than threads keep at once
    // image blocks: inside a sequence, a whole one, longer than the window, over a split's end
    {2, 1, 32, 32, 16, 0, 2, {3, 5}, {17, 9}, 4, 8},
    {4, 2, 64, 64, 16, 8, 1, {40}, {6}, 0, 6},
    {8, 1, 64, 64, 16, 16, 2, {7, 30}, {70, 3}, 5, 40},
    {2, 2, 16, 40, 16, 0, 1, {490}, {60}, 10, 33},
    {8, 1, 256, 256, 32, 512, 1, {1500}, {50}, 1, 48},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

struct attention_inputs {
    const struct attention_case *c;
    struct kv_view view;
    size_t n_rows;
    float *q;
    uint32_t *tables[MAX_SEQS];
    double *scales;
    // The rows that one call computes: sequence s has rows [row_begin[s], row_end[s]) of the case.
    const uint32_t *block_tables[MAX_SEQS];
};

// Pages backwards and interleaved; page 0 and every page that no key lies in hold NaNs.
static void make_pages(struct attention_inputs *in, enum dtype dtype)
{
    const struct attention_case *c = in->c;
    uint32_t n_pages = 1;
    for (uint32_t s = 0; s < c->n_seqs; s++)
        n_pages += (c->first[s] + c->n_rows[s] + c->page_tokens - 1) / c->page_tokens;
    size_t tokens = (size_t)c->page_tokens * c->n_kv_heads;
    struct kv_view *view = &in->view;
    *view = (struct kv_view){
        .k_offset = 64,
        .v_offset = 64 + tokens * c->k_dim * dtype_bytes(dtype),
        .dtype = dtype,
        .page_tokens = c->page_tokens,
        .n_kv_heads = c->n_kv_heads,
        .k_dim = c->k_dim,
        .v_dim = c->v_dim,
        .k_from_v = c->k_dim < c->v_dim,
    };
    view->page_bytes = view->v_offset + tokens * c->v_dim * dtype_bytes(dtype);
    view->pages = malloc(view->page_bytes * n_pages);
    ASSERT(view->pages);
    memset(view->pages, 0xFF, view->page_bytes * n_pages);
    uint32_t next = n_pages;
    for (uint32_t s = 0; s < c->n_seqs; s++) {
        uint32_t n = (c->first[s] + c->n_rows[s] + c->page_tokens - 1) / c->page_tokens;
        in->tables[s] = calloc(n + 1, sizeof(uint32_t));
        in->block_tables[s] = in->tables[s];
        for (uint32_t i = 0; i < n; i++)
            in->tables[s][i] = --next;
    }
}

static void store(const struct kv_view *view, unsigned char *element, float value)
{
    uint16_t half = f32_to_bf16(value);
    if (view->dtype == DTYPE_F32)
        memcpy(element, &value, sizeof value);
    else
        memcpy(element, &half, sizeof half);
}

static void fill_pages(struct attention_inputs *in)
{
    const struct attention_case *c = in->c;
    uint64_t seed = 7;
    for (uint32_t s = 0; s < c->n_seqs; s++) {
        uint32_t end = c->n_rows[s] ? c->first[s] + c->n_rows[s] : 0;
        uint32_t begin = attention_first_key(c->first[s], c->window);
        for (uint32_t j = begin; j < end; j++) {
            uint32_t slot = in->tables[s][j / c->page_tokens] * c->page_tokens + j % c->page_tokens;
            for (uint32_t head = 0; head < c->n_kv_heads; head++) {
                unsigned char *v = kv_view_value(&in->view, slot, head);
                float *values = new_values(c->k_dim + c->v_dim, 1, test_random(&seed), COMPUTE_F32);
                for (uint32_t i = 0; i < c->k_dim; i++)
                    store(&in->view, kv_view_key(&in->view, slot, head, i), values[i]);
                for (uint32_t i = 0; i < c->v_dim; i++)
                    store(&in->view, v + i * dtype_bytes(in->view.dtype), values[c->k_dim + i]);
                free(values);
            }
        }
        // entries before the window are of freed pages: nobody may look
        for (uint32_t i = 0; i < begin / c->page_tokens; i++)
            in->tables[s][i] = UINT32_MAX;
    }
}

static struct attention_inputs new_inputs(int number, enum dtype dtype, enum compute compute)
{
    struct attention_inputs in = {.c = &cases[number]};
    for (uint32_t s = 0; s < in.c->n_seqs; s++)
        in.n_rows += in.c->n_rows[s];
    make_pages(&in, dtype);
    fill_pages(&in);
    in.q = new_values(in.n_rows * in.c->n_heads * query_head_width(&in.view), 1, 8, compute);
    size_t n = in.n_rows * in.c->n_heads * in.c->v_dim;
    in.scales = malloc(n * sizeof(double));
    for (size_t i = 0; i < n; i++) // scores reach some sqrt(dim) here, values 1
        in.scales[i] = 1 + 2 * sqrt(query_head_width(&in.view));
    return in;
}

static void free_inputs(struct attention_inputs *in)
{
    for (uint32_t s = 0; s < in->c->n_seqs; s++)
        free(in->tables[s]);
    free(in->view.pages);
    free(in->q);
    free(in->scales);
}

enum { MAX_ROWS = 4096 };

// The last position that each row of a call sees. Rows [block, block + n_block) of the case stand
// in one sequence.
static const uint32_t *see_blocks(const struct attention_case *c, size_t first,
                                  const struct attention_batch *batch, uint32_t *last)
{
    if (c->n_block == 0)
        return NULL;
    ASSERT(batch->n_rows <= MAX_ROWS);
    for (uint32_t s = 0; s < batch->n_seqs; s++) {
        for (uint32_t r = batch->row_offsets[s]; r < batch->row_offsets[s + 1]; r++) {
            size_t row = first + r; // of the case
            last[r] = batch->first_position[s] + r - batch->row_offsets[s];
            if (row >= c->block && row < c->block + c->n_block)
                last[r] += (uint32_t)(c->block + c->n_block - 1 - row);
        }
    }
    return last;
}

// Rows [first, first + n) of the case: each sequence with those of its rows that are among them.
static void run_attention(const struct row_op *op, const struct ops *ops,
                          struct device_stream *stream, size_t first, size_t n_rows, float *out)
{
    const struct attention_inputs *in = op->inputs;
    uint32_t offsets[MAX_SEQS + 1] = {0}, positions[MAX_SEQS];
    size_t row = 0; // the first of the sequence
    for (uint32_t s = 0; s < in->c->n_seqs; s++) {
        size_t end = row + in->c->n_rows[s];
        size_t begin = first > row ? first : row;
        size_t last = first + n_rows < end ? first + n_rows : end;
        uint32_t n = begin < last ? (uint32_t)(last - begin) : 0;
        positions[s] = in->c->first[s] + (n > 0 ? (uint32_t)(begin - row) : 0);
        offsets[s + 1] = offsets[s] + n;
        row = end;
    }
    struct attention_batch batch = {
        .n_seqs = in->c->n_seqs,
        .n_rows = (uint32_t)n_rows,
        .row_offsets = offsets,
        .first_position = positions,
        .block_tables = in->block_tables,
    };
    uint32_t last[MAX_ROWS];
    batch.last_positions = see_blocks(in->c, first, &batch, last);
    ops->attention_paged(out, in->q + first * in->c->n_heads * query_head_width(&in->view),
                         in->c->n_heads, &in->view, &batch, in->c->window, stream);
}

static void check_case(int number, enum dtype dtype, enum compute compute)
{
    struct attention_inputs in = new_inputs(number, dtype, compute);
    char name[64];
    snprintf(name, sizeof name, "attention case %d %s", number,
             dtype == DTYPE_F32 ? "f32" : "bf16");
    row_op_check(&(struct row_op){
        .name = name,
        .run = run_attention,
        .inputs = &in,
        .n_rows = in.n_rows,
        .width = (size_t)in.c->n_heads * in.c->v_dim,
        .compute = compute,
        .absolute = ATTENTION_TOLERANCE,
        .scales = in.scales,
        .steps = 1,
        .has_dot_form = dtype == DTYPE_BF16 && compute == COMPUTE_BF16,
    });
    free_inputs(&in);
}

TEST(every_attention_matches_its_twin_and_keeps_a_rows_bits)
{
    for (int i = 0; i < N_CASES; i++) {
        check_case(i, DTYPE_F32, COMPUTE_F32);
        check_case(i, DTYPE_BF16, COMPUTE_F32);
        check_case(i, DTYPE_BF16, COMPUTE_BF16);
    }
}

TEST(chunks_of_any_size_give_the_same_bits)
{
    static const uint32_t chunks[] = {2, 5, 7, 16, 33};
    struct device_stream *stream = new_stream(2);
    for (int i = 0; i < N_CASES * 4; i++) {
        enum kernels_variant variant = (enum kernels_variant)(i % 4);
        if (variant > kernels_best_variant())
            continue;
        struct attention_inputs in = new_inputs(i / 4, DTYPE_BF16, COMPUTE_F32);
        struct ops ops;
        kernels_select(variant, COMPUTE_F32, &ops);
        struct row_op op = {.inputs = &in};
        size_t width = (size_t)in.c->n_heads * in.c->v_dim;
        float *whole = malloc(in.n_rows * width * sizeof *whole);
        float *part = malloc(in.n_rows * width * sizeof *part);
        run_attention(&op, &ops, stream, 0, in.n_rows, whole);
        for (int k = 0; k < 5; k++) {
            for (size_t row = 0; row < in.n_rows; row += chunks[k]) {
                size_t n = in.n_rows - row < chunks[k] ? in.n_rows - row : chunks[k];
                run_attention(&op, &ops, stream, row, n, part + row * width);
            }
            ASSERT(memcmp(part, whole, in.n_rows * width * sizeof *part) == 0);
        }
        free(whole);
        free(part);
        free_inputs(&in);
    }
    device_stream_destroy(stream);
}

TEST(one_key_gives_its_value_and_equal_keys_their_mean)
{
    struct device_stream *stream = new_stream(1);
    for (int v = KERNELS_TWIN; v <= (int)kernels_best_variant(); v++) {
        struct ops ops;
        kernels_select((enum kernels_variant)v, COMPUTE_F32, &ops);
        float page[2 * 16 * 16] = {0}; // K all zero, V of token t is t
        for (int i = 0; i < 16 * 16; i++)
            page[16 * 16 + i] = (float)(i / 16);
        struct kv_view view = {.pages = (unsigned char *)page,
                               .page_bytes = sizeof page,
                               .v_offset = sizeof page / 2,
                               .dtype = DTYPE_F32,
                               .page_tokens = 16,
                               .n_kv_heads = 1,
                               .k_dim = 16,
                               .v_dim = 16};
        float q[8 * 16], out[8 * 16];
        for (int i = 0; i < 8 * 16; i++)
            q[i] = 100;
        const uint32_t offsets[2] = {0, 8}, first = 0, table[1] = {0};
        const uint32_t *tables = table;
        struct attention_batch batch = {1, 8, offsets, &first, &tables};
        ops.attention_paged(out, q, 1, &view, &batch, 0, stream);
        for (int t = 0; t < 8; t++)
            ASSERT_NEAR(out[t * 16 + 3], t / 2.0, 1e-6);
        ops.attention_paged(out, q, 1, &view, &batch, 1, stream); // sees itself alone
        for (int t = 0; t < 8; t++)
            ASSERT_NEAR(out[t * 16 + 15], t, 0);
        ops.attention_paged(out, q, 1, &view, &batch, 3, stream);
        for (int t = 2; t < 8; t++)
            ASSERT_NEAR(out[t * 16], t - 1, 1e-6);
    }
    device_stream_destroy(stream);
}
