/* model/weights_fill.c - see weights_fill.h. */
#include "model/weights_fill.h"

#include <stdatomic.h>

#include "model/weights_cache.h"
#include "model/weights_pack.h"
#include "model/weights_save.h"

#define READ_BYTES ((size_t)16 << 20) /* of a packed file at a time */

struct reading {
    const struct device_buffer *memory;
    const struct model_load_options *options;
    atomic_size_t next, done;
};

// Cold, this is bound by the disk.
static void read_pages(void *context, uint32_t thread, uint32_t n_threads)
{
    struct reading *reading = context;
    const struct device_buffer *memory = reading->memory;
    const struct model_load_options *options = reading->options;
    (void)n_threads;
    for (;;) {
        size_t begin = atomic_fetch_add_explicit(&reading->next, READ_BYTES, memory_order_relaxed);
        if (begin >= memory->bytes)
            return;
        size_t rest = memory->bytes - begin, n = rest < READ_BYTES ? rest : READ_BYTES;
        const unsigned char *data = (const unsigned char *)memory->data + begin;
        device_pages_read(data, n);
        size_t done = atomic_fetch_add_explicit(&reading->done, n, memory_order_relaxed) + n;
        if (thread == 0 && options->progress)
            options->progress(options->progress_context, done, memory->bytes);
    }
}

static void read_mapped(const struct device_buffer *memory,
                        const struct model_load_options *options, struct device_stream *stream)
{
    struct reading reading = {.memory = memory, .options = options};
    device_stream_run(stream, read_pages, &reading);
    if (options->progress)
        options->progress(options->progress_context, memory->bytes, memory->bytes);
}

enum status weights_fill(struct weights_plan *plan, const struct checkpoint *checkpoint,
                         const struct model_load_options *options, struct device_stream *stream,
                         struct device_buffer *out_memory, struct weights_saving **out_saving,
                         struct error *err)
{
    struct weights_cache cache;
    weights_cache_init(&cache, plan, checkpoint);
    if (weights_cache_map(&cache, options, out_memory)) {
        weights_plan_place(plan, out_memory);
        read_mapped(out_memory, options, stream);
        return STATUS_OK;
    }
    enum status st = device_buffer_create(plan->bytes, "weights", out_memory, err);
    if (st != STATUS_OK)
        return st;
    weights_plan_place(plan, out_memory);
    weights_pack(plan, options, stream);
    *out_saving = weights_saving_create(&cache, options, out_memory);
    return STATUS_OK;
}
