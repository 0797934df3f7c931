/* daemon/rank.c - a flat list of things that stand on each other, made in order and destroyed in
 * the reverse one. What the Load says is compared with what the checkpoint says: they can differ
 * when the folder changed since the coordinator looked. */
#include "daemon/rank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "daemon/worker_files.h"
#include "engine/executor.h"
#include "model/checkpoint.h"
#include "model/encoder_weights.h"
#include "model/text.h"

struct rank {
    struct worker_load load;
    struct ops ops;
    enum kernels_variant variant;
    struct checkpoint *checkpoint;
    struct kv_layout layout;
    struct device_stream *stream;
    struct model_weights *weights;
    struct tp_comm *comm;
    struct kv_storage *storage;
    struct text_model *model;
    struct encoder_weights *encoder_weights; // from here on NULL where no media are served
    struct encoder *encoder;
    struct soft_tokens *soft;
    const unsigned char *media; // the media file
    struct ring *steps;
    struct ring *results; // rank 0
    struct executor *executor;
    size_t kv_bytes;
};

void rank_destroy(struct rank *rank)
{
    if (!rank)
        return;
    executor_destroy(rank->executor);
    ring_destroy(rank->results);
    ring_destroy(rank->steps);
    soft_tokens_destroy(rank->soft);
    if (rank->media)
        munmap((void *)rank->media, rank->load.limits.media_bytes);
    encoder_destroy(rank->encoder);
    text_model_destroy(rank->model);
    kv_storage_destroy(rank->storage);
    tp_comm_destroy(rank->comm);
    encoder_weights_destroy(rank->encoder_weights);
    model_weights_destroy(rank->weights);
    device_stream_destroy(rank->stream);
    checkpoint_destroy(rank->checkpoint);
    free(rank);
}

static enum status check_files(const struct worker_load *load, const int *files, struct error *err)
{
    size_t bytes[CONTROL_N_FILES];
    enum status st = worker_files_bytes(load, bytes, err);
    for (int i = 0; st == STATUS_OK && i < CONTROL_N_FILES; i++)
        st = control_check_file(files[i], bytes[i], err);
    return st;
}

// The page layout follows from the checkpoint; only the number of pages is the coordinator's.
static enum status make_layout(struct rank *rank, struct error *err)
{
    const struct worker_load *load = &rank->load;
    const struct model_config *config = checkpoint_config(rank->checkpoint);
    enum status st = kv_layout_init(config, load->kv.page_tokens, load->compute, &rank->layout,
                                    err);
    if (st != STATUS_OK)
        return st;
    struct kv_params *own = &rank->layout.params;
    bool same = own->element_bytes == load->kv.element_bytes &&
                own->n_groups == load->kv.n_groups &&
                config->vocab_size == load->limits.vocab_size &&
                config->max_position_embeddings >= load->limits.max_positions;
    for (uint32_t g = 0; same && g < own->n_groups; g++) {
        const struct kv_group_params *a = &own->groups[g];
        const struct kv_group_params *b = &load->kv.groups[g];
        same = a->n_layers == b->n_layers && a->n_kv_heads == b->n_kv_heads &&
               a->head_dim == b->head_dim && a->k_dim == b->k_dim && a->window == b->window &&
               a->k_from_v == b->k_from_v;
        own->n_pages[g] = load->kv.n_pages[g];
    }
    if (!same)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s: config.json is not the one that the coordinator has read",
                         load->model_dir);
    return STATUS_OK;
}

static enum status make_stream(struct rank *rank, struct error *err)
{
    const struct device_stream_config config = {
        .n_threads = rank->load.n_threads,
        .cpus = rank->load.pinned ? rank->load.cpus : NULL,
        .sheds = true,
    };
    return device_stream_create(&config, &rank->stream, err);
}

static void log_cache(void *context, bool trouble, const char *text)
{
    (void)context;
    log_at(trouble ? LOG_WARN : LOG_INFO, "weights_cache", "%s", text);
}

static enum status load_weights(struct rank *rank, const struct rank_progress *progress,
                                struct error *err)
{
    struct model_load_options options = {
        .rank = rank->load.rank,
        .world_size = rank->load.world_size,
        .compute = rank->load.compute,
        .weights = rank->load.weights,
        .cache_note = log_cache,
        .progress = progress->tell,
        .progress_context = progress->context,
    };
    for (uint32_t i = 0; i < rank->load.n_cache_folders; i++)
        options.cache_folders[i] = rank->load.cache_folders[i];
    enum status st = model_weights_load(checkpoint_config(rank->checkpoint), rank->checkpoint,
                                        &options, rank->stream, &rank->weights, err);
    if (st == STATUS_OK && rank->load.limits.n_cache_rows > 0)
        st = encoder_weights_load(rank->checkpoint, &options, rank->stream, &rank->encoder_weights,
                                  err);
    return st;
}

static enum status make_comm(struct rank *rank, const int *files, struct error *err)
{
    const struct worker_load *load = &rank->load;
    const struct tp_comm_config config = {
        .rank = load->rank,
        .world_size = load->world_size,
        .shared_fd = load->world_size == 1 ? -1 : files[CONTROL_COLLECTIVES],
        .max_message_bytes = load->collective_bytes,
        .timeout_ns = load->collective_timeout_ns,
    };
    return tp_comm_create(&config, &rank->comm, err);
}

static enum status make_storage(struct rank *rank, struct error *err)
{
    struct kv_storage_config config = {
        .params = &rank->layout.params,
        .max_slots = rank->load.limits.max_slots,
        .max_positions = rank->load.limits.max_positions,
    };
    enum status st = kv_layout_rank_heads(&rank->layout, rank->load.rank, rank->load.world_size,
                                          config.rank_kv_heads, err);
    if (st != STATUS_OK)
        return st;
    for (uint32_t g = 0; g < rank->layout.params.n_groups; g++)
        rank->kv_bytes += (size_t)rank->layout.params.n_pages[g] *
                          kv_page_bytes(&rank->layout.params, g, config.rank_kv_heads[g]);
    return kv_storage_create(&config, &rank->storage, err);
}

static enum status make_model(struct rank *rank, struct error *err)
{
    const struct text_model_config config = {
        .config = checkpoint_config(rank->checkpoint),
        .weights = rank->weights,
        .layout = &rank->layout,
        .storage = rank->storage,
        .ops = &rank->ops,
        .stream = rank->stream,
        .comm = rank->comm,
        .compute = rank->load.compute,
        .max_rows = rank->load.limits.max_rows,
        .max_logits_rows = rank->load.max_logits_rows,
        .max_seqs = rank->load.limits.max_slots,
    };
    return text_model_create(&config, &rank->model, err);
}

static enum status map_media(struct rank *rank, int fd, struct error *err)
{
    void *memory = mmap(NULL, rank->load.limits.media_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return error_set(err, STATUS_INTERNAL, "media file: mmap: %s", strerror(errno));
    rank->media = memory;
    return STATUS_OK;
}

static enum status make_encoder(struct rank *rank, const int *files, struct error *err)
{
    const struct step_limits *limits = &rank->load.limits;
    if (limits->n_cache_rows == 0)
        return STATUS_OK;
    const struct encoder_config config = {
        .config = checkpoint_config(rank->checkpoint),
        .weights = rank->encoder_weights,
        .ops = &rank->ops,
        .stream = rank->stream,
        .comm = rank->comm,
        .compute = rank->load.compute,
        .max_patches = limits->max_job_patches,
        .max_frames = limits->max_job_frames,
        .max_parts = limits->max_encode_parts,
    };
    enum status st = map_media(rank, files[CONTROL_MEDIA], err);
    if (st == STATUS_OK)
        st = encoder_create(&config, &rank->encoder, err);
    if (st != STATUS_OK)
        return st;
    const struct soft_tokens_config soft = {
        .limits = *limits,
        .config = config.config,
        .encoder = rank->encoder,
        .media = rank->media,
    };
    return soft_tokens_create(&soft, &rank->soft, err);
}

static enum status open_rings(struct rank *rank, const int *files, struct error *err)
{
    const struct worker_load *load = &rank->load;
    enum status st = ring_open(files[CONTROL_STEPS], load->n_ring_slots,
                               step_max_bytes(&load->limits), load->world_size, (int)load->rank,
                               &rank->steps, err);
    if (st == STATUS_OK && load->rank == 0)
        st = ring_open(files[CONTROL_RESULTS], load->n_ring_slots,
                       step_result_max_bytes(&load->limits), 1, -1, &rank->results, err);
    return st;
}

static enum status make_executor(struct rank *rank, struct error *err)
{
    const struct executor_config config = {
        .limits = rank->load.limits,
        .model = rank->model,
        .soft = rank->soft,
        .storage = rank->storage,
        .stream = rank->stream,
        .comm = rank->comm,
        .steps = rank->steps,
        .results = rank->results,
        .max_logits_rows = rank->load.max_logits_rows,
        .mask_timeout_ns = rank->load.collective_timeout_ns,
    };
    return executor_create(&config, &rank->executor, err);
}

enum status rank_load(const struct worker_load *load, const int *files,
                      const struct rank_progress *progress, struct rank **out, struct error *err)
{
    struct rank *rank = mem_zeroed(1, sizeof *rank);
    rank->load = *load;
    rank->variant = kernels_best_variant();
    kernels_select(rank->variant, load->compute, &rank->ops);
    enum status st = check_files(load, files, err);
    if (st == STATUS_OK)
        st = checkpoint_open(load->model_dir, &rank->checkpoint, err);
    if (st == STATUS_OK)
        st = make_layout(rank, err);
    if (st == STATUS_OK)
        st = make_stream(rank, err);
    if (st == STATUS_OK)
        st = load_weights(rank, progress, err);
    if (st == STATUS_OK)
        st = make_comm(rank, files, err);
    if (st == STATUS_OK)
        st = make_storage(rank, err);
    if (st == STATUS_OK)
        st = make_model(rank, err);
    if (st == STATUS_OK)
        st = make_encoder(rank, files, err);
    if (st == STATUS_OK)
        st = open_rings(rank, files, err);
    if (st == STATUS_OK)
        st = make_executor(rank, err);
    if (st != STATUS_OK) {
        rank_destroy(rank);
        return st;
    }
    *out = rank;
    return STATUS_OK;
}

void rank_describe(const struct rank *rank, struct worker_ready *out)
{
    const struct step_limits *limits = &rank->load.limits;
    *out = (struct worker_ready){
        .weight_bytes = rank->weights->memory.bytes +
                        (rank->encoder_weights ? rank->encoder_weights->memory.bytes : 0),
        .kv_bytes = rank->kv_bytes,
        .activation_bytes = text_model_activation_bytes(
            checkpoint_config(rank->checkpoint), rank->load.world_size, limits->max_rows,
            rank->load.max_logits_rows, limits->max_slots),
    };
    strncpy(out->kernels, kernels_variant_name(rank->variant), sizeof out->kernels - 1);
}

enum status rank_run(struct rank *rank, struct error *err)
{
    enum status st = executor_run(rank->executor, err);
    if (st == STATUS_OK) // the ring closes itself when its counts make no sense
        st = error_set(err, STATUS_INTERNAL, "the step ring was closed");
    return st;
}
