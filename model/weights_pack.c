/* model/weights_pack.c - packing is bound by reading: the work is cut into pieces of a few
 * megabytes in the order of the file, the threads take them as they come, and what lies a little
 * ahead is asked for while a piece is packed. Pages that were read are let go at once, so that the
 * file and its packed form do not stand in this process side by side (the page cache keeps them for
 * the other ranks). Each piece is whole panels, so no two threads write to one. */
#include "model/weights_pack.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "kernels/matmul.h"

#define PIECE_BYTES ((size_t)4 << 20) /* of source */
#define AHEAD_BYTES ((size_t)64 << 20)

// Rows [begin, end) of a packed matrix.
struct piece {
    const struct pack_matrix *pack;
    uint32_t begin, end;
    size_t source_bytes;
};

struct packing {
    const struct weights_plan *plan;
    const struct model_load_options *options;
    struct piece *pieces;
    size_t n_pieces, pieces_capacity;
    size_t n_ahead; // pieces to read ahead
    atomic_size_t next;
    atomic_size_t done_bytes;
};

// The part of source number s that lies in a piece: rows [*begin, *end) of the matrix.
static bool source_rows(const struct piece *piece, uint32_t s, uint32_t *begin, uint32_t *end,
                        uint32_t *first)
{
    *first = 0;
    for (uint32_t i = 0; i < s; i++)
        *first += piece->pack->sources[i].n_rows;
    uint32_t last = *first + piece->pack->sources[s].n_rows;
    *begin = piece->begin > *first ? piece->begin : *first;
    *end = piece->end < last ? piece->end : last;
    return *begin < *end;
}

static void pack_piece(const struct piece *piece)
{
    for (uint32_t s = 0; s < piece->pack->n_sources; s++) {
        const struct pack_source *source = &piece->pack->sources[s];
        uint32_t begin, end, first;
        if (!source_rows(piece, s, &begin, &end, &first))
            continue;
        size_t skipped = (size_t)(begin - first) * source->stride * dtype_bytes(source->dtype);
        matmul_pack(piece->pack->matrix, begin, end, source->data + skipped, source->dtype,
                    source->stride);
    }
}

void weights_advise(const void *data, size_t n_bytes, int advice)
{
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)data & ~(page_bytes - 1);
    (void)madvise((void *)begin, (uintptr_t)data + n_bytes - begin, advice);
}

static void advise_piece(const struct piece *piece, int advice)
{
    for (uint32_t s = 0; s < piece->pack->n_sources; s++) {
        const struct pack_source *source = &piece->pack->sources[s];
        uint32_t begin, end, first;
        if (!source_rows(piece, s, &begin, &end, &first))
            continue;
        size_t element = dtype_bytes(source->dtype);
        const unsigned char *data = source->data + (begin - first) * source->stride * element;
        size_t n = (size_t)(end - begin - 1) * source->stride + piece->pack->matrix->k;
        weights_advise(data, n * element, advice);
    }
}

static void take_pieces(void *context, uint32_t thread, uint32_t n_threads)
{
    struct packing *packing = context;
    const struct model_load_options *options = packing->options;
    (void)n_threads;
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&packing->next, 1, memory_order_relaxed);
        if (i >= packing->n_pieces)
            return;
        const struct piece *piece = &packing->pieces[i];
        if (i + packing->n_ahead < packing->n_pieces)
            advise_piece(&packing->pieces[i + packing->n_ahead], MADV_WILLNEED);
        pack_piece(piece);
        advise_piece(piece, MADV_DONTNEED);
        size_t done = atomic_fetch_add_explicit(&packing->done_bytes, piece->source_bytes,
                                                memory_order_relaxed) +
                      piece->source_bytes;
        if (thread == 0 && options->progress)
            options->progress(options->progress_context, done, packing->plan->source_bytes);
    }
}

static void cut_matrix(struct packing *packing, const struct pack_matrix *pack)
{
    size_t row_bytes = pack->matrix->k * dtype_bytes(pack->sources[0].dtype);
    size_t n_rows = PIECE_BYTES / (row_bytes ? row_bytes : 1) / PACK_ROWS * PACK_ROWS;
    if (n_rows == 0)
        n_rows = PACK_ROWS;
    for (size_t row = 0; row < pack->matrix->n; row += n_rows) {
        size_t end = row + n_rows < pack->matrix->n ? row + n_rows : pack->matrix->n;
        mem_reserve(&packing->pieces, &packing->pieces_capacity, packing->n_pieces + 1,
                    sizeof *packing->pieces);
        struct piece *piece = &packing->pieces[packing->n_pieces++];
        *piece = (struct piece){.pack = pack, .begin = (uint32_t)row, .end = (uint32_t)end};
        uint32_t from, to, first;
        for (uint32_t s = 0; s < pack->n_sources; s++)
            if (source_rows(piece, s, &from, &to, &first))
                piece->source_bytes += (size_t)(to - from) * pack->matrix->k *
                                       dtype_bytes(pack->sources[s].dtype);
    }
}

static int by_place_in_file(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    const unsigned char *p = x->pack->sources[0].data, *q = y->pack->sources[0].data;
    if (p != q)
        return p < q ? -1 : 1;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static float element(const struct stored_tensor *tensor, uint32_t i)
{
    const unsigned char *bytes = tensor->data + i * dtype_bytes(tensor->dtype);
    uint16_t half;
    float value;
    if (tensor->dtype == DTYPE_F32) {
        memcpy(&value, bytes, sizeof value);
        return value;
    }
    memcpy(&half, bytes, sizeof half);
    return tensor->dtype == DTYPE_BF16 ? bf16_to_f32(half) : f16_to_f32(half);
}

static void fill_vectors(const struct weights_plan *plan)
{
    for (size_t v = 0; v < plan->n_vectors; v++) {
        const struct pack_vector *vector = &plan->vectors[v];
        for (uint32_t i = 0; i < vector->n; i++) {
            float value = element(vector->tensor, i);
            vector->data[i] = plan->config.compute == COMPUTE_BF16 ? bf16_round(value) : value;
        }
    }
}

void weights_pack(const struct weights_plan *plan, const struct model_load_options *options,
                  struct device_stream *stream)
{
    struct packing packing = {.plan = plan, .options = options};
    for (size_t i = 0; i < plan->n_matrices; i++)
        cut_matrix(&packing, &plan->matrices[i]);
    if (packing.n_pieces > 0)
        qsort(packing.pieces, packing.n_pieces, sizeof *packing.pieces, by_place_in_file);
    packing.n_ahead = AHEAD_BYTES / PIECE_BYTES;
    for (size_t i = 0; i < packing.n_ahead && i < packing.n_pieces; i++)
        advise_piece(&packing.pieces[i], MADV_WILLNEED);
    fill_vectors(plan);
    device_stream_run(stream, take_pieces, &packing);
    free(packing.pieces);
    if (options->progress)
        options->progress(options->progress_context, plan->source_bytes, plan->source_bytes);
}
