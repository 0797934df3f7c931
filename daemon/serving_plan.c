/* daemon/serving_plan.c - the memory plan is made by model/plan.h from a budget; kv_memory becomes
 * a budget (what is needed beside the pages, plus it), kv_pages replaces the pages that came out
 * and is checked against the budget here. */
#include "daemon/serving_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/backend.h"
#include "daemon/cache_folders.h"
#include "daemon/media_plan.h"
#include "daemon/places.h"
#include "daemon/worker_files.h"
#include "device/memory.h"
#include "kernels/ops.h"

#define MIB (1024.0 * 1024.0)
// A piece of a collective: large enough that its barriers cost little, small enough for caches.
#define COLLECTIVE_BYTES (2U << 20)
// Logits are made for so many rows at a time: all of a usual decode step, so that the head's
// weights are read once.
#define MAX_LOGITS_ROWS 64
// Stop ids and biases of the sequences that start in one step.
#define MAX_BLOB_BYTES (256U << 10)
#define STREAM_SCRATCH_BYTES (1U << 20) // of a thread (device/stream.h)

static enum status find_model(const struct daemon_config *config, struct serving_plan *plan,
                              struct error *err)
{
    char *folder = NULL;
    if (config->model)
        folder = mem_strdup(config->model);
    else if (places_default_model(&folder, err) != STATUS_OK)
        return STATUS_INTERNAL;
    plan->model_dir = realpath(folder, NULL);
    if (!plan->model_dir)
        error_set(err, STATUS_NOT_FOUND, "model \"%s\": %s", folder, strerror(errno));
    free(folder);
    if (!plan->model_dir)
        return STATUS_NOT_FOUND;
    const char *slash = strrchr(plan->model_dir, '/');
    const char *name = config->served_model_name;
    if (!name) // the folder's, if it has one
        name = config->model && slash && slash[1] ? slash + 1 : "default";
    plan->model_name = mem_strdup(name);
    return STATUS_OK;
}

static enum status place_workers(const struct daemon_config *config, struct serving_plan *plan,
                                 struct error *err)
{
    struct topology *topology;
    enum status st = topology_create(&topology, err);
    if (st != STATUS_OK)
        return st;
    plan->placements = mem_zeroed(plan->world_size, sizeof *plan->placements);
    st = topology_place(topology, plan->world_size, config->threads, plan->placements, err);
    topology_destroy(topology);
    return st;
}

// The Load that all ranks share, but for what the memory plan adds.
static struct worker_load common_load(const struct daemon_config *config,
                                      const struct serving_plan *plan)
{
    const struct model_config *model = checkpoint_config(plan->checkpoint);
    uint32_t max_seqs = config->max_seqs;
    return (struct worker_load){
        .world_size = plan->world_size,
        .compute = plan->compute,
        .weights = plan->weights,
        .limits = {.max_slots = max_seqs,
                   .max_rows = config->max_step_tokens,
                   .max_positions = model->max_position_embeddings,
                   .vocab_size = model->vocab_size,
                   .max_blob_bytes = MAX_BLOB_BYTES},
        .max_logits_rows = max_seqs < MAX_LOGITS_ROWS ? max_seqs : MAX_LOGITS_ROWS,
        .n_ring_slots = BACKEND_RING_SLOTS,
        .collective_bytes = COLLECTIVE_BYTES,
        .collective_timeout_ns = config->step_timeout_ns,
        .log_level = (enum log_level)config->log_level,
    };
}

static void set_pages(struct worker_load *load, const struct model_plan *memory)
{
    load->kv = memory->layout.params;
    load->limits.max_positions = memory->max_context;
    load->limits.n_groups = load->kv.n_groups;
    load->limits.page_tokens = load->kv.page_tokens;
    memcpy(load->limits.n_pages, load->kv.n_pages, sizeof load->limits.n_pages);
}

// What a rank needs beside weights, activations and pages.
static enum status other_bytes(const struct serving_plan *plan, const struct worker_load *common,
                               const struct kv_params *params, size_t *out, struct error *err)
{
    struct worker_load load = *common;
    load.limits.n_groups = params->n_groups;
    load.limits.page_tokens = params->page_tokens;
    for (uint32_t g = 0; g < params->n_groups; g++)
        load.limits.n_pages[g] = 2; // does not change the size of a message
    size_t files[CONTROL_N_FILES];
    enum status st = worker_files_bytes(&load, files, err);
    if (st != STATUS_OK)
        return st;
    size_t shared = 0;
    for (int i = 0; i < CONTROL_N_FILES; i++)
        shared += files[i];
    *out = shared / plan->world_size + (size_t)plan->placements[0].n_threads * STREAM_SCRATCH_BYTES;
    return STATUS_OK;
}

static bool pages_hold(const struct kv_params *params, uint32_t n_pages, uint32_t n_tokens,
                       uint32_t step_tokens)
{
    for (uint32_t g = 0; g < params->n_groups; g++) {
        if (kv_sequence_pages(params, g, n_tokens, step_tokens) > n_pages)
            return false;
    }
    return true;
}

// kv_pages in place of the pages that the budget gave.
static enum status replace_pages(const struct daemon_config *config, struct model_plan *memory,
                                 struct error *err)
{
    struct kv_params *params = &memory->layout.params;
    uint32_t heads[KV_MAX_GROUPS];
    enum status st = kv_layout_rank_heads(&memory->layout, 0, memory->world_size, heads, err);
    if (st != STATUS_OK)
        return st;
    memory->kv_bytes = 0;
    for (uint32_t g = 0; g < params->n_groups; g++) {
        params->n_pages[g] = config->kv_pages + 1; // and the padding page
        memory->kv_bytes += params->n_pages[g] * kv_page_bytes(params, g, heads[g]);
    }
    size_t fixed = model_plan_fixed_bytes(memory);
    if (fixed + memory->kv_bytes > memory->budget_bytes)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "kv_pages=%u does not fit: a rank needs %.1f MiB for them and %.1f MiB "
                         "for the rest, and may have %.1f MiB",
                         config->kv_pages, (double)memory->kv_bytes / MIB, (double)fixed / MIB,
                         (double)memory->budget_bytes / MIB);
    uint32_t step = config->max_step_tokens;
    uint32_t low = 0; // the longest sequence that the pages hold, by halving
    uint32_t high = memory->max_context;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (pages_hold(params, config->kv_pages, middle, step))
            low = middle;
        else
            high = middle - 1;
    }
    if (low == 0 || (config->max_context && low < config->max_context))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "kv_pages=%u of %u tokens hold a sequence of %u tokens, and max_context "
                         "is %u",
                         config->kv_pages, params->page_tokens, low, config->max_context);
    memory->max_context = low;
    return STATUS_OK;
}

// The budget with which kv_memory is just what is left for pages.
static enum status budget_of_kv_memory(const struct daemon_config *config,
                                       const struct model_plan *memory, size_t most, size_t *out,
                                       struct error *err)
{
    size_t fixed = model_plan_fixed_bytes(memory);
    size_t budget = fixed * memory->world_size + config->kv_memory;
    if (budget > most)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "kv_memory=%.1f MiB does not fit: with %u times %.1f MiB for the rest it "
                         "makes %.1f MiB, and there are %.1f MiB",
                         (double)config->kv_memory / MIB, memory->world_size, (double)fixed / MIB,
                         (double)budget / MIB, (double)most / MIB);
    *out = budget;
    return STATUS_OK;
}

static enum status plan_memory(const struct daemon_config *config, struct serving_plan *plan,
                               const struct worker_load *load, struct error *err)
{
    const struct model_config *model = checkpoint_config(plan->checkpoint);
    if (config->max_context > model->max_position_embeddings)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "max_context=%u: max_position_embeddings of this model is %u",
                         config->max_context, model->max_position_embeddings);
    struct kv_layout layout;
    enum status st = kv_layout_init(model, config->page_tokens, plan->compute, &layout, err);
    if (st != STATUS_OK)
        return st;
    size_t most = (size_t)((double)device_available_bytes() * config->memory_fraction);
    struct model_plan_limits limits = {
        .world_size = plan->world_size,
        .compute = plan->compute,
        .weights = plan->weights,
        .page_tokens = config->page_tokens,
        .max_rows = load->limits.max_rows,
        .max_logits_rows = load->max_logits_rows,
        .max_slots = load->limits.max_slots,
        .max_context = config->max_context,
        .encoder_bytes = media_plan_bytes(plan->checkpoint, plan->compute, &load->limits),
        .budget_bytes = most > 0 ? most : 1,
    };
    st = other_bytes(plan, load, &layout.params, &limits.other_bytes, err);
    if (st == STATUS_OK)
        st = model_plan_create(plan->checkpoint, &limits, &plan->memory, err);
    if (st != STATUS_OK)
        return st;
    if (config->kv_pages)
        return replace_pages(config, &plan->memory, err);
    if (!config->kv_memory)
        return STATUS_OK;
    st = budget_of_kv_memory(config, &plan->memory, most, &limits.budget_bytes, err);
    if (st == STATUS_OK)
        st = model_plan_create(plan->checkpoint, &limits, &plan->memory, err);
    return st;
}

static enum status make_loads(struct serving_plan *plan, struct worker_load *common,
                              struct error *err)
{
    set_pages(common, &plan->memory);
    plan->loads = mem_zeroed(plan->world_size, sizeof *plan->loads);
    if (strlen(plan->model_dir) >= sizeof common->model_dir)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: too long a path", plan->model_dir);
    memcpy(common->model_dir, plan->model_dir, strlen(plan->model_dir) + 1);
    for (uint32_t rank = 0; rank < plan->world_size; rank++) {
        const struct topology_placement *placement = &plan->placements[rank];
        struct worker_load *load = &plan->loads[rank];
        *load = *common;
        load->rank = rank;
        load->n_threads = placement->n_threads;
        load->pinned = placement->pinned;
        if (placement->pinned)
            memcpy(load->cpus, placement->cpus, placement->n_threads * sizeof *load->cpus);
    }
    return worker_files_bytes(&plan->loads[0], plan->file_bytes, err);
}

enum status serving_plan_create(const struct daemon_config *config, struct serving_plan **out,
                                struct error *err)
{
    struct serving_plan *plan = mem_zeroed(1, sizeof *plan);
    plan->world_size = config->tp;
    plan->weights = (enum weights_format)config->weights; // the same names in the same order
    plan->compute = config->compute == CONFIG_COMPUTE_AUTO  ? kernels_auto_compute()
                    : config->compute == CONFIG_COMPUTE_F32 ? COMPUTE_F32
                                                            : COMPUTE_BF16;
    struct worker_load *common = mem_zeroed(1, sizeof *common);
    enum status st = find_model(config, plan, err);
    if (st == STATUS_OK)
        st = checkpoint_open(plan->model_dir, &plan->checkpoint, err);
    if (st == STATUS_OK)
        st = place_workers(config, plan, err);
    if (st == STATUS_OK) {
        *common = common_load(config, plan);
        st = media_plan_limits(config, checkpoint_config(plan->checkpoint), &common->limits, err);
    }
    if (st == STATUS_OK) {
        st = plan_memory(config, plan, common, err);
    }
    if (st == STATUS_OK) {
        cache_folders_set(config->weights_cache, plan->model_dir, plan->memory.weight_bytes,
                          common);
        st = make_loads(plan, common, err);
    }
    free(common);
    if (st != STATUS_OK) {
        serving_plan_destroy(plan);
        return st;
    }
    *out = plan;
    return STATUS_OK;
}

void serving_plan_destroy(struct serving_plan *plan)
{
    if (!plan)
        return;
    checkpoint_destroy(plan->checkpoint);
    free(plan->model_dir);
    free(plan->model_name);
    free(plan->placements);
    free(plan->loads);
    free(plan);
}

static const char *compute_name(enum compute compute)
{
    return compute == COMPUTE_BF16 ? "bf16" : "f32";
}

static const char *weights_name(enum weights_format weights)
{
    static const char *const names[] = {"auto", "bf16", "int8", "int4"};
    return names[weights];
}

void serving_plan_write(const struct serving_plan *plan, struct text_buffer *out)
{
    text_buffer_append_format(out, "model \"%s\" in %s\n", plan->model_name, plan->model_dir);
    text_buffer_append_format(out, "compute %s, weights %s, kernels %s\n",
                              compute_name(plan->compute), weights_name(plan->weights),
                              kernels_variant_name(kernels_best_variant()));
    for (uint32_t rank = 0; rank < plan->world_size; rank++) {
        topology_describe(&plan->placements[rank], rank, out);
        text_buffer_append_text(out, "\n");
    }
    model_plan_write(&plan->memory, out);
}

void serving_plan_log(const struct serving_plan *plan)
{
    const struct model_plan *memory = &plan->memory;
    log_info("model", "name=%s dir=%s compute=%s weights=%s kernels=%s", plan->model_name,
             plan->model_dir, compute_name(plan->compute), weights_name(plan->weights),
             kernels_variant_name(kernels_best_variant()));
    for (uint32_t rank = 0; rank < plan->world_size; rank++) {
        struct text_buffer line = {0};
        topology_describe(&plan->placements[rank], rank, &line);
        log_info("placement", "%s", line.data);
        text_buffer_finish(&line);
    }
    log_info("memory_plan",
             "weight_bytes=%zu activation_bytes=%zu encoder_bytes=%zu kv_bytes=%zu other_bytes=%zu "
             "budget_bytes=%zu "
             "mapped_bytes=%zu max_context_tokens=%u (each of %u ranks)",
             memory->weight_bytes, memory->activation_bytes, memory->encoder_bytes,
             memory->kv_bytes, memory->other_bytes, memory->budget_bytes, memory->mapped_bytes,
             memory->max_context, plan->world_size);
    const struct kv_params *kv = &memory->layout.params;
    for (uint32_t g = 0; g < kv->n_groups; g++)
        log_info("kv_group", "group=%u layers=%u window_tokens=%u pages=%u page_tokens=%u", g,
                 kv->groups[g].n_layers, kv->groups[g].window, kv->n_pages[g], kv->page_tokens);
}
