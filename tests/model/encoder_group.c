/* tests/model/encoder_group.c - threads live as long as a job: ranks come together in the encoder's
 * own collectives. */
#include "tests/model/encoder_group.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/encoder_weights.h"
#include "tests/test.h"

enum { MAX_RANKS = 8, MAX_MESSAGE_BYTES = 1 << 16 };

struct rank {
    struct encoder_group *group;
    uint32_t number;
    pthread_t thread;
    struct device_stream *stream;
    struct tp_comm *comm;
    struct encoder_weights *weights;
    struct encoder *encoder;
    enum status status;
    struct error err;
};

struct encoder_group {
    struct encoder_group_config c;
    struct checkpoint *checkpoint;
    struct ops ops;
    const struct encoder_part *parts;
    uint32_t n_parts, units_per_run;
    struct rank ranks[MAX_RANKS];
};

static enum status create_rank(struct rank *rank, int comm_fd)
{
    const struct encoder_group *group = rank->group;
    const struct encoder_group_config *c = &group->c;
    struct error *err = &rank->err;
    struct device_stream_config stream = {.n_threads = c->n_threads};
    struct tp_comm_config comm = {.rank = rank->number,
                                  .world_size = c->world_size,
                                  .shared_fd = comm_fd,
                                  .max_message_bytes = MAX_MESSAGE_BYTES};
    struct model_load_options load = {.compute = c->compute, .cache_folders = {c->cache_folder}};
    enum status st = device_stream_create(&stream, &rank->stream, err);
    if (st == STATUS_OK)
        st = tp_comm_create(&comm, &rank->comm, err);
    if (st == STATUS_OK)
        st = encoder_weights_load(group->checkpoint, &load, rank->stream, &rank->weights, err);
    if (st != STATUS_OK)
        return st;
    struct encoder_config config = {
        .config = checkpoint_config(group->checkpoint),
        .weights = rank->weights,
        .ops = &group->ops,
        .stream = rank->stream,
        .comm = rank->comm,
        .compute = c->compute,
        .max_patches = c->max_patches,
        .max_frames = c->max_frames,
        .max_parts = c->max_parts,
        .observe = c->observe,
        .observe_context = c->observe_context,
    };
    return encoder_create(&config, &rank->encoder, err);
}

struct encoder_group *encoder_group_create(const struct encoder_group_config *config)
{
    struct encoder_group *group = mem_zeroed(1, sizeof *group);
    struct error err = {0};
    group->c = *config;
    ASSERT_OK_ERR(checkpoint_open(test_path(config->folder), &group->checkpoint, &err), err);
    kernels_select(kernels_best_variant(), config->compute, &group->ops);
    int fd = memfd_create("encoder_group", MFD_CLOEXEC);
    size_t n_bytes = tp_comm_shared_bytes(config->world_size, MAX_MESSAGE_BYTES);
    ASSERT(fd >= 0 && ftruncate(fd, (off_t)n_bytes) == 0);
    for (uint32_t r = 0; r < config->world_size; r++) {
        struct rank *rank = &group->ranks[r];
        rank->group = group;
        rank->number = r;
        ASSERT_OK_ERR(create_rank(rank, fd), rank->err);
    }
    close(fd);
    return group;
}

void encoder_group_destroy(struct encoder_group *group)
{
    for (uint32_t r = 0; r < group->c.world_size; r++) {
        struct rank *rank = &group->ranks[r];
        encoder_destroy(rank->encoder);
        encoder_weights_destroy(rank->weights);
        tp_comm_destroy(rank->comm);
        device_stream_destroy(rank->stream);
    }
    checkpoint_destroy(group->checkpoint);
    free(group);
}

const struct model_config *encoder_group_model(const struct encoder_group *group)
{
    return checkpoint_config(group->checkpoint);
}

static void *run_rank(void *context)
{
    struct rank *rank = context;
    const struct encoder_group *group = rank->group;
    uint32_t n = encoder_count_units(encoder_group_model(group), group->parts, group->n_parts);
    encoder_begin(rank->encoder, group->parts, group->n_parts);
    rank->status = STATUS_OK;
    for (uint32_t i = 0; i < n && rank->status == STATUS_OK; i += group->units_per_run) {
        uint32_t left = n - i;
        rank->status = encoder_run(
            rank->encoder, left < group->units_per_run ? left : group->units_per_run, &rank->err);
    }
    return NULL;
}

const float *encoder_group_run(struct encoder_group *group, const struct encoder_part *parts,
                               uint32_t n_parts, uint32_t units_per_run)
{
    const struct model_config *config = encoder_group_model(group);
    size_t n = 0;
    for (uint32_t i = 0; i < n_parts; i++)
        n += encoder_n_tokens(config, &parts[i]);
    group->parts = parts;
    group->n_parts = n_parts;
    group->units_per_run = units_per_run;
    uint32_t world_size = group->c.world_size;
    for (uint32_t r = 0; r < world_size; r++)
        ASSERT_EQ(pthread_create(&group->ranks[r].thread, NULL, run_rank, &group->ranks[r]), 0);
    for (uint32_t r = 0; r < world_size; r++)
        pthread_join(group->ranks[r].thread, NULL);
    const float *out = encoder_output(group->ranks[0].encoder);
    for (uint32_t r = 0; r < world_size; r++) {
        ASSERT_OK_ERR(group->ranks[r].status, group->ranks[r].err);
        ASSERT_EQ(memcmp(out, encoder_output(group->ranks[r].encoder),
                         n * config->hidden_size * sizeof *out),
                  0);
    }
    return out;
}
