/* tests/model/rank_group.c - each rank's thread waits for a step, runs it, and waits again; the
 * test's thread stands at the same two barriers. */
#include "tests/model/rank_group.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/executor.h"
#include "model/encoder_weights.h"
#include "model/kv_layout.h"
#include "tests/test.h"

enum { N_RING_SLOTS = 2 };
enum { MAX_RANKS = 8, MAX_MESSAGE_BYTES = 2 << 20 }; // as gemmad has it

struct rank {
    struct rank_group *group;
    uint32_t number;
    pthread_t thread;
    struct device_stream *stream;
    struct tp_comm *comm;
    struct model_weights *weights;
    struct kv_storage *storage;
    struct text_model *model;
    struct encoder_weights *encoder_weights;
    struct encoder *encoder;
    struct soft_tokens *soft;
    struct ring *masks;
    struct executor *executor;
    const void *result;
    size_t result_n;
    enum status status;
    struct error err;
};

struct rank_group {
    struct rank_group_config c;
    struct checkpoint *checkpoint;
    struct kv_layout layout;
    struct step_limits limits;
    struct ops ops;
    int comm_fd;
    int masks_fd;
    struct ring *masks;   // the writer's end
    bool masked;          // the step has masks
    unsigned char *media; // [RANK_GROUP_MEDIA_BYTES]
    pthread_barrier_t begin, end;
    const void *message; // NULL: leave
    size_t message_n;
    struct rank ranks[MAX_RANKS];
};

static enum status load_weights(struct rank *rank)
{
    struct rank_group *group = rank->group;
    struct error *err = &rank->err;
    const struct rank_group_config *c = &group->c;
    struct device_stream_config stream = {
        .n_threads = c->n_threads,
        .cpus = c->cpus ? c->cpus + (size_t)rank->number * c->n_threads : NULL,
        .sheds = c->cpus != NULL,
    };
    enum status st = device_stream_create(&stream, &rank->stream, err);
    if (st != STATUS_OK)
        return st;
    struct tp_comm_config comm = {
        .rank = rank->number,
        .world_size = c->world_size,
        .shared_fd = group->comm_fd,
        .max_message_bytes = MAX_MESSAGE_BYTES,
    };
    st = tp_comm_create(&comm, &rank->comm, err);
    if (st != STATUS_OK)
        return st;
    const struct model_config *config = checkpoint_config(group->checkpoint);
    struct model_load_options load = {
        .rank = rank->number,
        .world_size = c->world_size,
        .compute = c->compute,
        .weights = c->weights,
        .cache_folders = {c->cache_folder},
    };
    st = model_weights_load(config, group->checkpoint, &load, rank->stream, &rank->weights, err);
    if (st == STATUS_OK && c->media)
        st = encoder_weights_load(group->checkpoint, &load, rank->stream, &rank->encoder_weights,
                                  err);
    return st;
}

static enum status make_encoder(struct rank *rank)
{
    struct rank_group *group = rank->group;
    const struct encoder_config config = {
        .config = checkpoint_config(group->checkpoint),
        .weights = rank->encoder_weights,
        .ops = &group->ops,
        .stream = rank->stream,
        .comm = rank->comm,
        .compute = group->c.compute,
        .max_patches = group->limits.max_job_patches,
        .max_frames = group->limits.max_job_frames,
        .max_parts = group->limits.max_encode_parts,
    };
    enum status st = encoder_create(&config, &rank->encoder, &rank->err);
    if (st != STATUS_OK)
        return st;
    const struct soft_tokens_config soft = {
        .limits = group->limits,
        .config = config.config,
        .encoder = rank->encoder,
        .media = group->media,
    };
    return soft_tokens_create(&soft, &rank->soft, &rank->err);
}

static enum status make_executor(struct rank *rank)
{
    struct rank_group *group = rank->group;
    struct error *err = &rank->err;
    const struct rank_group_config *c = &group->c;
    struct kv_storage_config storage = {
        .params = &group->layout.params,
        .max_slots = c->max_slots,
        .max_positions = c->max_positions,
    };
    enum status st = kv_layout_rank_heads(&group->layout, rank->number, c->world_size,
                                          storage.rank_kv_heads, err);
    if (st == STATUS_OK)
        st = kv_storage_create(&storage, &rank->storage, err);
    if (st != STATUS_OK)
        return st;
    struct text_model_config model = {
        .config = checkpoint_config(group->checkpoint),
        .weights = rank->weights,
        .layout = &group->layout,
        .storage = rank->storage,
        .ops = &group->ops,
        .stream = rank->stream,
        .comm = rank->comm,
        .compute = c->compute,
        .observe = rank->number == 0 ? c->observe : NULL,
        .observe_context = c->observe_context,
        .max_rows = c->max_rows,
        .max_logits_rows = c->max_logits_rows,
        .max_seqs = c->max_slots,
    };
    st = text_model_create(&model, &rank->model, err);
    if (st == STATUS_OK && c->media)
        st = make_encoder(rank);
    if (st != STATUS_OK)
        return st;
    st = ring_open(group->masks_fd, N_RING_SLOTS, step_max_bytes(&group->limits), c->world_size,
                   (int)rank->number, &rank->masks, err);
    if (st != STATUS_OK)
        return st;
    struct executor_config executor = {
        .limits = group->limits,
        .model = rank->model,
        .soft = rank->soft,
        .storage = rank->storage,
        .stream = rank->stream,
        .comm = rank->comm,
        .steps = rank->masks,
        .max_logits_rows = c->max_logits_rows,
    };
    return executor_create(&executor, &rank->executor, err);
}

static void *run_rank(void *context)
{
    struct rank *rank = context;
    struct rank_group *group = rank->group;
    rank->status = load_weights(rank);
    if (rank->status == STATUS_OK)
        rank->status = make_executor(rank);
    pthread_barrier_wait(&group->end);
    for (;;) {
        pthread_barrier_wait(&group->begin);
        if (!group->message)
            return NULL;
        rank->status = executor_step(rank->executor, group->message, group->message_n,
                                     &rank->result, &rank->result_n, &rank->err);
        if (group->masked && rank->status == STATUS_OK)
            ring_release(rank->masks);
        pthread_barrier_wait(&group->end);
    }
}

static void check_ranks(const struct rank_group *group)
{
    for (uint32_t r = 0; r < group->c.world_size; r++)
        if (group->ranks[r].status != STATUS_OK)
            test_fail(__FILE__, __LINE__, "rank %u: %s", r, group->ranks[r].err.message);
}

struct rank_group *rank_group_create(const struct rank_group_config *config)
{
    struct rank_group *group = calloc(1, sizeof *group);
    ASSERT(group != NULL);
    group->c = *config;
    struct error err = {0};
    ASSERT_OK_ERR(checkpoint_open(config->folder, &group->checkpoint, &err), err);
    const struct model_config *model = checkpoint_config(group->checkpoint);
    ASSERT_OK_ERR(kv_layout_init(model, config->page_tokens, config->compute, &group->layout, &err),
                  err);
    group->limits = (struct step_limits){
        .max_slots = config->max_slots,
        .max_rows = config->max_rows,
        .max_positions = config->max_positions,
        .vocab_size = model->vocab_size,
        .n_groups = group->layout.params.n_groups,
        .page_tokens = config->page_tokens,
        .max_blob_bytes = 4096,
    };
    if (config->media) {
        group->limits.n_cache_rows = RANK_GROUP_CACHE_ROWS;
        group->limits.max_encode_parts = 8;
        group->limits.max_job_patches = 9 * 1120;
        group->limits.max_job_frames = 3000;
        group->limits.media_bytes = RANK_GROUP_MEDIA_BYTES;
        group->media = aligned_alloc(64, RANK_GROUP_MEDIA_BYTES);
        ASSERT(group->media != NULL);
    }
    for (uint32_t g = 0; g < group->limits.n_groups; g++)
        group->limits.n_pages[g] = group->layout.params.n_pages[g] = config->n_pages;
    kernels_select(kernels_best_variant(), config->compute, &group->ops);
    size_t shared = tp_comm_shared_bytes(config->world_size, MAX_MESSAGE_BYTES);
    group->comm_fd = memfd_create("collectives", 0);
    ASSERT(group->comm_fd >= 0 && ftruncate(group->comm_fd, (off_t)shared) == 0);
    shared = ring_shared_bytes(N_RING_SLOTS, step_max_bytes(&group->limits));
    group->masks_fd = memfd_create("masks", 0);
    ASSERT(group->masks_fd >= 0 && ftruncate(group->masks_fd, (off_t)shared) == 0);
    ASSERT_OK_ERR(ring_open(group->masks_fd, N_RING_SLOTS, step_max_bytes(&group->limits),
                            config->world_size, -1, &group->masks, &err),
                  err);
    pthread_barrier_init(&group->begin, NULL, config->world_size + 1);
    pthread_barrier_init(&group->end, NULL, config->world_size + 1);
    for (uint32_t r = 0; r < config->world_size; r++) {
        group->ranks[r].group = group;
        group->ranks[r].number = r;
        ASSERT(pthread_create(&group->ranks[r].thread, NULL, run_rank, &group->ranks[r]) == 0);
    }
    pthread_barrier_wait(&group->end);
    check_ranks(group);
    return group;
}

void rank_group_destroy(struct rank_group *group)
{
    group->message = NULL;
    pthread_barrier_wait(&group->begin);
    for (uint32_t r = 0; r < group->c.world_size; r++) {
        struct rank *rank = &group->ranks[r];
        pthread_join(rank->thread, NULL);
        executor_destroy(rank->executor);
        soft_tokens_destroy(rank->soft);
        encoder_destroy(rank->encoder);
        encoder_weights_destroy(rank->encoder_weights);
        text_model_destroy(rank->model);
        kv_storage_destroy(rank->storage);
        model_weights_destroy(rank->weights);
        tp_comm_destroy(rank->comm);
        device_stream_destroy(rank->stream);
        ring_destroy(rank->masks);
    }
    ring_destroy(group->masks);
    close(group->masks_fd);
    free(group->media);
    checkpoint_destroy(group->checkpoint);
    close(group->comm_fd);
    pthread_barrier_destroy(&group->begin);
    pthread_barrier_destroy(&group->end);
    free(group);
}

const struct step_limits *rank_group_limits(const struct rank_group *group)
{
    return &group->limits;
}

const struct model_config *rank_group_model(const struct rank_group *group)
{
    return checkpoint_config(group->checkpoint);
}

const struct kv_layout *rank_group_kv_layout(const struct rank_group *group)
{
    return &group->layout;
}

unsigned char *rank_group_media(struct rank_group *group)
{
    return group->media;
}

struct ring *rank_group_masks(struct rank_group *group)
{
    return group->masks;
}

static bool has_masks(const struct rank_group *group, const void *message, size_t n)
{
    struct step step;
    bool any = false;
    if (step_open(message, n, &group->limits, &step, NULL) != STATUS_OK)
        return false;
    for (uint32_t i = 0; i < step.header->n_seqs; i++)
        any |= (step.seqs[i].flags & STEP_MASKED) != 0;
    return any;
}

struct step_result rank_group_step(struct rank_group *group, const void *message, size_t n)
{
    group->message = message;
    group->message_n = n;
    group->masked = has_masks(group, message, n);
    pthread_barrier_wait(&group->begin);
    pthread_barrier_wait(&group->end);
    check_ranks(group);
    struct step_result result;
    struct error err = {0};
    ASSERT_OK_ERR(step_result_open(group->ranks[0].result, group->ranks[0].result_n, &group->limits,
                                   &result, &err),
                  err);
    return result;
}

const struct model_weights *rank_group_weights(const struct rank_group *group, uint32_t rank)
{
    return group->ranks[rank].weights;
}

struct text_model *rank_group_text_model(const struct rank_group *group)
{
    ASSERT_EQ(group->c.world_size, 1);
    return group->ranks[0].model;
}

struct kv_storage *rank_group_storage(const struct rank_group *group)
{
    ASSERT_EQ(group->c.world_size, 1);
    return group->ranks[0].storage;
}
