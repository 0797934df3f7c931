/* daemon/worker_message.c - protobuf-c is seen in this file alone. What decode accepts, encode has
 * to be able to write: encode checks its own packet by reading it back, which costs nothing at the
 * few messages a second of this socket. */
#include "daemon/worker_message.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "proto/worker.pb-c.h"

typedef Gemmad__Worker__Message packet_message;
typedef Gemmad__Worker__Load packet_load;
typedef Gemmad__Worker__KvGroup packet_group;

static enum status wrong(struct error *err, const char *field, uint64_t value)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "control message: %s=%llu is out of range",
                     field, (unsigned long long)value);
}

struct range {
    const char *field;
    uint64_t value, min, max;
};

static enum status check_ranges(const struct range *ranges, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (ranges[i].value < ranges[i].min || ranges[i].value > ranges[i].max)
            return wrong(err, ranges[i].field, ranges[i].value);
    }
    return STATUS_OK;
}

#define N_RANGES(ranges) (sizeof(ranges) / sizeof *(ranges))

static bool power_of_two(uint32_t value)
{
    return value && !(value & (value - 1));
}

static enum status copy_text(char *out, size_t capacity, const char *text, const char *field,
                             struct error *err)
{
    size_t n = strlen(text);
    if (n == 0 || n >= capacity || !utf8_valid(text, n, NULL))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "control message: %s: empty, too long or no UTF-8", field);
    memcpy(out, text, n + 1);
    return STATUS_OK;
}

static enum status decode_group(const packet_group *from, struct kv_group_params *out,
                                uint32_t *out_pages, struct error *err)
{
    const struct range ranges[] = {
        {"group.n_layers", from->n_layers, 1, 256},
        {"group.n_kv_heads", from->n_kv_heads, 1, 1024},
        {"group.head_dim", from->head_dim, 1, 4096},
        {"group.k_dim", from->k_dim, 1, from->head_dim},
        {"group.window", from->window, 0, 1U << 24},
        {"group.n_pages", from->n_pages, 2, 1U << 30},
    };
    *out = (struct kv_group_params){
        .n_layers = from->n_layers,
        .n_kv_heads = from->n_kv_heads,
        .head_dim = from->head_dim,
        .k_dim = from->k_dim,
        .window = from->window,
        .k_from_v = from->k_from_v,
    };
    *out_pages = from->n_pages;
    return check_ranges(ranges, N_RANGES(ranges), err);
}

static enum status decode_kv(const packet_load *from, struct worker_load *out, struct error *err)
{
    const struct range ranges[] = {
        {"page_tokens", from->page_tokens, 16, 256},
        {"element_bytes", from->element_bytes, 2, 4},
        {"n_groups", from->n_groups, 1, KV_MAX_GROUPS},
    };
    enum status st = check_ranges(ranges, N_RANGES(ranges), err);
    if (st != STATUS_OK)
        return st;
    if (!power_of_two(from->page_tokens))
        return wrong(err, "page_tokens", from->page_tokens);
    if (!power_of_two(from->element_bytes))
        return wrong(err, "element_bytes", from->element_bytes);
    out->kv.page_tokens = out->limits.page_tokens = from->page_tokens;
    out->kv.element_bytes = from->element_bytes;
    out->kv.n_groups = out->limits.n_groups = (uint32_t)from->n_groups;
    for (size_t i = 0; st == STATUS_OK && i < from->n_groups; i++) {
        st = decode_group(from->groups[i], &out->kv.groups[i], &out->kv.n_pages[i], err);
        out->limits.n_pages[i] = out->kv.n_pages[i];
    }
    return st;
}

static enum status decode_placement(const packet_load *from, struct worker_load *out,
                                    struct error *err)
{
    if (from->n_cpus != 0 && from->n_cpus != from->n_threads)
        return wrong(err, "n_cpus", from->n_cpus);
    out->n_threads = from->n_threads;
    out->pinned = from->n_cpus != 0;
    for (size_t i = 0; i < from->n_cpus; i++) {
        if (from->cpus[i] > WORKER_MAX_CPU)
            return wrong(err, "cpus", from->cpus[i]);
        out->cpus[i] = (int)from->cpus[i];
    }
    return STATUS_OK;
}

static enum status check_load_ranges(const packet_load *from, struct error *err)
{
    const struct range ranges[] = {
        {"world_size", from->world_size, 1, WORKER_MAX_RANKS},
        {"rank", from->rank, 0, (uint64_t)from->world_size - 1},
        {"compute", from->compute, COMPUTE_F32, COMPUTE_BF16},
        {"weights", from->weights, WEIGHTS_AUTO, WEIGHTS_INT4},
        {"n_cache_folders", from->n_cache_folders, 0, WEIGHTS_CACHE_FOLDERS},
        {"n_threads", from->n_threads, 1, WORKER_MAX_THREADS},
        {"max_slots", from->max_slots, 1, 4096},
        {"max_rows", from->max_rows, 1, 65536},
        {"max_positions", from->max_positions, 1, 1U << 24},
        {"vocab_size", from->vocab_size, 1, 1U << 24},
        {"max_blob_bytes", from->max_blob_bytes, 0, 64U << 20},
        {"max_logits_rows", from->max_logits_rows, 1, 65536},
        {"n_cache_rows", from->n_cache_rows, 0, 1U << 30},
        {"max_encode_parts", from->max_encode_parts, 0, STEP_MAX_ENCODE_PARTS},
        {"max_job_patches", from->max_job_patches, 0, 1U << 20},
        {"max_job_frames", from->max_job_frames, 0, 1U << 20},
        {"media_bytes", from->media_bytes, 0, UINT64_C(1) << 40},
        {"n_ring_slots", from->n_ring_slots, 1, WORKER_MAX_RING_SLOTS},
        {"collective_bytes", from->collective_bytes, 64, 1U << 30},
        {"collective_timeout_ns", from->collective_timeout_ns, 1, UINT64_C(3600000000000)},
        {"log_level", from->log_level, LOG_DEBUG, LOG_ERROR},
    };
    enum status st = check_ranges(ranges, N_RANGES(ranges), err);
    if (st == STATUS_OK && !power_of_two(from->world_size))
        return wrong(err, "world_size", from->world_size);
    return st;
}

static enum status decode_load(const packet_load *from, struct worker_load *out, struct error *err)
{
    enum status st = check_load_ranges(from, err);
    if (st == STATUS_OK)
        st = copy_text(out->model_dir, sizeof out->model_dir, from->model_dir, "model_dir", err);
    for (size_t i = 0; st == STATUS_OK && i < from->n_cache_folders; i++)
        st = copy_text(out->cache_folders[i], sizeof out->cache_folders[i], from->cache_folders[i],
                       "cache_folders", err);
    if (st == STATUS_OK)
        st = decode_placement(from, out, err);
    if (st == STATUS_OK)
        st = decode_kv(from, out, err);
    if (st != STATUS_OK)
        return st;
    out->rank = from->rank;
    out->world_size = from->world_size;
    out->compute = (enum compute)from->compute;
    out->weights = (enum weights_format)from->weights;
    out->n_cache_folders = (uint32_t)from->n_cache_folders;
    out->limits.max_slots = from->max_slots;
    out->limits.max_rows = from->max_rows;
    out->limits.max_positions = from->max_positions;
    out->limits.vocab_size = from->vocab_size;
    out->limits.max_blob_bytes = from->max_blob_bytes;
    out->limits.n_cache_rows = from->n_cache_rows;
    out->limits.max_encode_parts = from->max_encode_parts;
    out->limits.max_job_patches = from->max_job_patches;
    out->limits.max_job_frames = from->max_job_frames;
    out->limits.media_bytes = from->media_bytes;
    out->max_logits_rows = from->max_logits_rows;
    out->n_ring_slots = from->n_ring_slots;
    out->collective_bytes = from->collective_bytes;
    out->collective_timeout_ns = from->collective_timeout_ns;
    out->log_level = (enum log_level)from->log_level;
    return STATUS_OK;
}

static enum status decode_ready(const Gemmad__Worker__Ready *from, struct worker_ready *out,
                                struct error *err)
{
    const uint64_t max_bytes = UINT64_C(1) << 50;
    const struct range ranges[] = {
        {"weight_bytes", from->weight_bytes, 0, max_bytes},
        {"kv_bytes", from->kv_bytes, 0, max_bytes},
        {"activation_bytes", from->activation_bytes, 0, max_bytes},
    };
    *out = (struct worker_ready){
        .weight_bytes = from->weight_bytes,
        .kv_bytes = from->kv_bytes,
        .activation_bytes = from->activation_bytes,
        .load_ns = from->load_ns,
    };
    enum status st = check_ranges(ranges, N_RANGES(ranges), err);
    if (st == STATUS_OK)
        st = copy_text(out->kernels, sizeof out->kernels, from->kernels, "kernels", err);
    return st;
}

static enum status decode_hello(const Gemmad__Worker__Hello *from, struct worker_hello *out,
                                struct error *err)
{
    if (from->rank >= WORKER_MAX_RANKS)
        return wrong(err, "rank", from->rank);
    out->rank = from->rank;
    return copy_text(out->build_id, sizeof out->build_id, from->build_id, "build_id", err);
}

static enum status decode_fault(const Gemmad__Worker__Fault *from, struct error *out,
                                struct error *err)
{
    if (from->status < STATUS_CANCELLED || from->status > STATUS_UNAUTHENTICATED)
        return wrong(err, "status", from->status);
    out->status = (enum status)from->status;
    return copy_text(out->message, sizeof out->message, from->message, "message", err);
}

static enum status decode_body(const packet_message *packet, struct worker_message *out,
                               struct error *err)
{
    switch (packet->body_case) {
    case GEMMAD__WORKER__MESSAGE__BODY_HELLO:
        out->type = WORKER_HELLO;
        return decode_hello(packet->hello, &out->hello, err);
    case GEMMAD__WORKER__MESSAGE__BODY_LOAD:
        out->type = WORKER_LOAD;
        return decode_load(packet->load, &out->load, err);
    case GEMMAD__WORKER__MESSAGE__BODY_PROGRESS:
        out->type = WORKER_PROGRESS;
        out->progress.done_bytes = packet->progress->done_bytes;
        out->progress.total_bytes = packet->progress->total_bytes;
        if (packet->progress->done_bytes > packet->progress->total_bytes)
            return wrong(err, "done_bytes", packet->progress->done_bytes);
        return STATUS_OK;
    case GEMMAD__WORKER__MESSAGE__BODY_READY:
        out->type = WORKER_READY;
        return decode_ready(packet->ready, &out->ready, err);
    case GEMMAD__WORKER__MESSAGE__BODY_FAULT:
        out->type = WORKER_FAULT;
        return decode_fault(packet->fault, &out->fault, err);
    case GEMMAD__WORKER__MESSAGE__BODY_REPORT:
        out->type = WORKER_REPORT;
        return STATUS_OK;
    case GEMMAD__WORKER__MESSAGE__BODY_STOP:
        out->type = WORKER_STOP;
        return STATUS_OK;
    default:
        return error_set(err, STATUS_INVALID_ARGUMENT, "control message: of no known kind");
    }
}

enum status worker_message_decode(const void *bytes, size_t n, struct worker_message *out,
                                  struct error *err)
{
    if (n > WORKER_MESSAGE_MAX_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "control message: %zu bytes", n);
    packet_message *packet = gemmad__worker__message__unpack(NULL, n, bytes);
    if (!packet)
        return error_set(err, STATUS_INVALID_ARGUMENT, "control message: no protobuf of ours");
    memset(out, 0, sizeof *out);
    enum status st = decode_body(packet, out, err);
    gemmad__worker__message__free_unpacked(packet, NULL);
    return st;
}

static void append_packet(const packet_message *packet, struct text_buffer *out)
{
    size_t n = gemmad__worker__message__get_packed_size(packet);
    CHECK(n <= WORKER_MESSAGE_MAX_BYTES);
    unsigned char *bytes = mem_zeroed(n, 1);
    gemmad__worker__message__pack(packet, bytes);
    text_buffer_append(out, bytes, n);
    free(bytes);
}

static void encode_load(const struct worker_load *load, struct text_buffer *out)
{
    packet_group groups[KV_MAX_GROUPS];
    packet_group *group_list[KV_MAX_GROUPS];
    uint32_t cpus[WORKER_MAX_THREADS];
    char *cache_folders[WEIGHTS_CACHE_FOLDERS];
    CHECK(load->kv.n_groups <= KV_MAX_GROUPS && load->n_threads <= WORKER_MAX_THREADS &&
          load->n_cache_folders <= WEIGHTS_CACHE_FOLDERS);
    for (uint32_t i = 0; i < load->n_cache_folders; i++)
        cache_folders[i] = (char *)load->cache_folders[i];
    for (uint32_t i = 0; i < load->kv.n_groups; i++) {
        const struct kv_group_params *group = &load->kv.groups[i];
        gemmad__worker__kv_group__init(&groups[i]);
        groups[i].n_layers = group->n_layers;
        groups[i].n_kv_heads = group->n_kv_heads;
        groups[i].head_dim = group->head_dim;
        groups[i].k_dim = group->k_dim;
        groups[i].window = group->window;
        groups[i].k_from_v = group->k_from_v;
        groups[i].n_pages = load->kv.n_pages[i];
        group_list[i] = &groups[i];
    }
    for (uint32_t i = 0; load->pinned && i < load->n_threads; i++)
        cpus[i] = (uint32_t)load->cpus[i];
    packet_load body = GEMMAD__WORKER__LOAD__INIT;
    body.model_dir = (char *)load->model_dir;
    body.rank = load->rank;
    body.world_size = load->world_size;
    body.compute = load->compute;
    body.weights = load->weights;
    body.n_cache_folders = load->n_cache_folders;
    body.cache_folders = cache_folders;
    body.n_threads = load->n_threads;
    body.n_cpus = load->pinned ? load->n_threads : 0;
    body.cpus = cpus;
    body.max_slots = load->limits.max_slots;
    body.max_rows = load->limits.max_rows;
    body.max_positions = load->limits.max_positions;
    body.vocab_size = load->limits.vocab_size;
    body.max_blob_bytes = load->limits.max_blob_bytes;
    body.n_cache_rows = load->limits.n_cache_rows;
    body.max_encode_parts = load->limits.max_encode_parts;
    body.max_job_patches = load->limits.max_job_patches;
    body.max_job_frames = load->limits.max_job_frames;
    body.media_bytes = load->limits.media_bytes;
    body.max_logits_rows = load->max_logits_rows;
    body.n_ring_slots = load->n_ring_slots;
    body.page_tokens = load->kv.page_tokens;
    body.element_bytes = load->kv.element_bytes;
    body.n_groups = load->kv.n_groups;
    body.groups = group_list;
    body.collective_bytes = load->collective_bytes;
    body.collective_timeout_ns = load->collective_timeout_ns;
    body.log_level = load->log_level;
    packet_message packet = GEMMAD__WORKER__MESSAGE__INIT;
    packet.body_case = GEMMAD__WORKER__MESSAGE__BODY_LOAD;
    packet.load = &body;
    append_packet(&packet, out);
}

static void encode_ready(const struct worker_ready *ready, struct text_buffer *out)
{
    Gemmad__Worker__Ready body = GEMMAD__WORKER__READY__INIT;
    body.weight_bytes = ready->weight_bytes;
    body.kv_bytes = ready->kv_bytes;
    body.activation_bytes = ready->activation_bytes;
    body.load_ns = ready->load_ns;
    body.kernels = (char *)ready->kernels;
    packet_message packet = GEMMAD__WORKER__MESSAGE__INIT;
    packet.body_case = GEMMAD__WORKER__MESSAGE__BODY_READY;
    packet.ready = &body;
    append_packet(&packet, out);
}

static void encode_small(const struct worker_message *message, struct text_buffer *out)
{
    packet_message packet = GEMMAD__WORKER__MESSAGE__INIT;
    Gemmad__Worker__Hello hello = GEMMAD__WORKER__HELLO__INIT;
    Gemmad__Worker__Progress progress = GEMMAD__WORKER__PROGRESS__INIT;
    Gemmad__Worker__Fault fault = GEMMAD__WORKER__FAULT__INIT;
    Gemmad__Worker__Report report = GEMMAD__WORKER__REPORT__INIT;
    Gemmad__Worker__Stop stop = GEMMAD__WORKER__STOP__INIT;
    if (message->type == WORKER_HELLO) {
        hello.build_id = (char *)message->hello.build_id;
        hello.rank = message->hello.rank;
        packet.body_case = GEMMAD__WORKER__MESSAGE__BODY_HELLO;
        packet.hello = &hello;
    } else if (message->type == WORKER_PROGRESS) {
        progress.done_bytes = message->progress.done_bytes;
        progress.total_bytes = message->progress.total_bytes;
        packet.body_case = GEMMAD__WORKER__MESSAGE__BODY_PROGRESS;
        packet.progress = &progress;
    } else if (message->type == WORKER_FAULT) {
        fault.status = message->fault.status;
        fault.message = (char *)message->fault.message;
        packet.body_case = GEMMAD__WORKER__MESSAGE__BODY_FAULT;
        packet.fault = &fault;
    } else if (message->type == WORKER_REPORT) {
        packet.body_case = GEMMAD__WORKER__MESSAGE__BODY_REPORT;
        packet.report = &report;
    } else {
        packet.body_case = GEMMAD__WORKER__MESSAGE__BODY_STOP;
        packet.stop = &stop;
    }
    append_packet(&packet, out);
}

void worker_message_encode(const struct worker_message *message, struct text_buffer *out)
{
    size_t before = out->length;
    if (message->type == WORKER_LOAD)
        encode_load(&message->load, out);
    else if (message->type == WORKER_READY)
        encode_ready(&message->ready, out);
    else
        encode_small(message, out);
    struct worker_message again;
    struct error err = {0};
    if (worker_message_decode(out->data + before, out->length - before, &again, &err) != STATUS_OK)
        log_error("encode", "error=\"%s\"", err.message);
    CHECK(err.status == STATUS_OK);
}
