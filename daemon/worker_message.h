/* daemon/worker_message.h - the messages of proto/worker.proto as plain values, and their rules.
 *
 * Neither side trusts the other: worker_message_decode accepts a message only when every count,
 * size, text and enum in it is in its range, so that whoever gets the value may use it as it is.
 * Thread: plain values. */
#ifndef GEMMAD_DAEMON_WORKER_MESSAGE_H
#define GEMMAD_DAEMON_WORKER_MESSAGE_H

#include "base/log.h"
#include "base/text_buffer.h"
#include "engine/step.h"
#include "kvcache/params.h"
#include "model/weights.h"

#define WORKER_MESSAGE_MAX_BYTES (64U << 10)
#define WORKER_MAX_RANKS 8
#define WORKER_MAX_THREADS 256
#define WORKER_MAX_CPU 65535
#define WORKER_MAX_RING_SLOTS 16

enum worker_message_type {
    WORKER_HELLO,
    WORKER_LOAD,
    WORKER_PROGRESS,
    WORKER_READY,
    WORKER_FAULT,
    WORKER_REPORT, /* log what you are doing */
    WORKER_STOP,   /* exit 0 at once: nobody wants the results of steps in flight any more */
};

/* The first message: who is there. Another build is refused by daemon/supervisor.c. */
struct worker_hello {
    char build_id[128];
    uint32_t rank;
};

/* All that a rank needs; the same for all ranks but for rank and cpus. */
struct worker_load {
    char model_dir[4096];
    uint32_t rank, world_size; /* world_size 1, 2, 4 or 8 */
    enum compute compute;
    enum weights_format weights;
    uint32_t n_cache_folders; /* at most WEIGHTS_CACHE_FOLDERS */
    char cache_folders[WEIGHTS_CACHE_FOLDERS][4096];
    uint32_t n_threads;           /* 1..WORKER_MAX_THREADS */
    bool pinned;                  /* cpus says where each thread stays */
    int cpus[WORKER_MAX_THREADS]; /* [n_threads] OS cpu numbers, if pinned */
    struct step_limits limits;    /* n_groups, page_tokens, n_pages are those of kv */
    struct kv_params kv;
    uint32_t max_logits_rows; /* of one piece of logits */
    uint32_t n_ring_slots;    /* of the step ring and the result ring */
    size_t collective_bytes;  /* tp_comm_config.max_message_bytes */
    uint64_t collective_timeout_ns;
    enum log_level log_level;
};

struct worker_progress {
    uint64_t done_bytes, total_bytes; /* done <= total */
};

struct worker_ready {
    uint64_t weight_bytes, kv_bytes, activation_bytes; /* of this rank */
    uint64_t load_ns;
    char kernels[32]; /* the variant in use */
};

struct worker_message {
    enum worker_message_type type;
    union {
        struct worker_hello hello;
        struct worker_load load;
        struct worker_progress progress;
        struct worker_ready ready;
        struct error fault; /* status is not OK */
    };
};

/* Appends the packet to out. A message that breaks a rule is a bug of ours: aborts. */
void worker_message_encode(const struct worker_message *message, struct text_buffer *out);

/* INVALID_ARGUMENT: which field, and why. On failure *out is undefined. */
NODISCARD enum status worker_message_decode(const void *bytes, size_t n, struct worker_message *out,
                                            struct error *err);

#endif
