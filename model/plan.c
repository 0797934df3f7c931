/* model/plan.c - see plan.h. Ranks hold equally many heads and so pages of equal size; what differs
 * among them is a row of the vocabulary or an expert, and the rank with the most is planned for. */
#include "model/plan.h"

#include "model/text.h"
#include "model/weights_plan.h"

#define MIB (1024.0 * 1024.0)

struct page_planner {
    struct kv_params *params;
    const struct model_plan_limits *limits;
    uint32_t context;
    size_t page_bytes[KV_MAX_GROUPS];
};

static bool is_window(const struct page_planner *p, uint32_t group)
{
    return p->params->groups[group].window > 0;
}

// Pages of a group, with the padding page, for n_windows sequences in a sliding group and for one
// sequence in the others.
static uint64_t pages_for(const struct page_planner *p, uint32_t group, uint32_t n_windows)
{
    uint64_t alone = kv_sequence_pages(p->params, group, p->context, p->limits->max_rows);
    if (!is_window(p, group))
        return 1 + alone;
    // Each holds its window, and all together at most a step's new rows.
    uint64_t each = kv_sequence_pages(p->params, group, p->context, 1);
    uint64_t step = p->limits->max_rows / p->params->page_tokens + 1;
    uint64_t together = n_windows > 1 ? n_windows * each + step : alone;
    return 1 + (together > alone ? together : alone);
}

// Sums that stop at SIZE_MAX: a config may ask for more than can be counted.
static void add_pages(size_t *bytes, uint64_t n_pages, size_t page_bytes)
{
    size_t more;
    if (__builtin_mul_overflow(n_pages, page_bytes, &more) ||
        __builtin_add_overflow(*bytes, more, bytes))
        *bytes = SIZE_MAX;
}

// Of one sequence, and of n_windows in the sliding groups.
static size_t bytes_for(const struct page_planner *p, uint32_t n_windows)
{
    size_t bytes = 0;
    for (uint32_t g = 0; g < p->params->n_groups; g++)
        add_pages(&bytes, pages_for(p, g, n_windows), p->page_bytes[g]);
    return bytes;
}

static size_t window_bytes(const struct page_planner *p, uint32_t n_windows)
{
    size_t bytes = 0;
    for (uint32_t g = 0; g < p->params->n_groups; g++)
        if (is_window(p, g))
            add_pages(&bytes, pages_for(p, g, n_windows), p->page_bytes[g]);
    return bytes;
}

static uint32_t clamp_pages(const struct page_planner *p, uint64_t n)
{
    uint64_t most = UINT32_MAX / p->params->page_tokens; // slots are numbered in 32 bits
    return (uint32_t)(n < most ? n : most);
}

// Windows for every slot, or as many as leave the larger half to groups that keep everything.
static uint32_t count_windows(const struct page_planner *p, size_t bytes)
{
    uint32_t n_windows = p->limits->max_slots;
    while (n_windows > 1 && window_bytes(p, n_windows) > bytes / 2)
        n_windows--;
    return n_windows;
}

// Divides bytes (at least bytes_for(p, 1)) over the groups.
static void set_pages(struct page_planner *p, size_t bytes)
{
    uint32_t n_windows = count_windows(p, bytes);
    while (n_windows > 1 && bytes_for(p, n_windows) > bytes)
        n_windows--;
    size_t rest = bytes - window_bytes(p, n_windows), per_page = 0;
    for (uint32_t g = 0; g < p->params->n_groups; g++)
        per_page += is_window(p, g) ? 0 : p->page_bytes[g];
    CHECK(per_page > 0); // a model's last layer is full, and so is its source
    for (uint32_t g = 0; g < p->params->n_groups; g++) {
        uint64_t n = pages_for(p, g, n_windows);
        if (!is_window(p, g)) {
            uint64_t most = 1 + (n - 1) * p->limits->max_slots;
            n = rest / per_page; // a page of each such group holds the same tokens
            n = n < most ? n : most;
        }
        p->params->n_pages[g] = clamp_pages(p, n);
    }
}

// The longest context of which one sequence fits beside all the windows, by halving: more tokens
// never need fewer pages.
static uint32_t longest_context(struct page_planner p, uint32_t most, size_t bytes)
{
    p.context = most;
    uint32_t n_windows = count_windows(&p, bytes), low = 1, high = most;
    while (low < high) {
        p.context = low + (high - low + 1) / 2;
        if (bytes_for(&p, n_windows) <= bytes)
            low = p.context;
        else
            high = p.context - 1;
    }
    return low;
}

size_t model_plan_fixed_bytes(const struct model_plan *plan)
{
    return plan->weight_bytes + plan->activation_bytes + plan->encoder_bytes + plan->other_bytes;
}

static enum status does_not_fit(const struct model_plan *plan, const struct page_planner *p,
                                struct error *err)
{
    return error_set(
        err, STATUS_RESOURCE_EXHAUSTED,
        "the model does not fit: a rank (of %u) needs %.1f MiB of weights + %.1f MiB of "
        "activations + %.1f MiB for images and audio + %.1f MiB for collectives + %.1f MiB of keys "
        "and values of one sequence of %u tokens = "
        "%.1f MiB, and may have %.1f MiB",
        plan->world_size, (double)plan->weight_bytes / MIB, (double)plan->activation_bytes / MIB,
        (double)plan->encoder_bytes / MIB, (double)plan->other_bytes / MIB,
        (double)bytes_for(p, 1) / MIB, p->context,
        ((double)model_plan_fixed_bytes(plan) + (double)bytes_for(p, 1)) / MIB,
        (double)plan->budget_bytes / MIB);
}

static enum status plan_pages(const struct model_config *config,
                              const struct model_plan_limits *limits, struct model_plan *plan,
                              struct error *err)
{
    struct page_planner p = {.params = &plan->layout.params, .limits = limits};
    uint32_t heads[KV_MAX_GROUPS];
    enum status st = kv_layout_rank_heads(&plan->layout, 0, limits->world_size, heads, err);
    if (st != STATUS_OK)
        return st;
    for (uint32_t g = 0; g < p.params->n_groups; g++)
        p.page_bytes[g] = kv_page_bytes(p.params, g, heads[g]); // all ranks hold as many heads
    size_t fixed = model_plan_fixed_bytes(plan);
    size_t left = plan->budget_bytes > fixed ? plan->budget_bytes - fixed : 0;
    p.context = limits->max_context;
    if (p.context == 0)
        p.context = longest_context(p, config->max_position_embeddings, left);
    if (bytes_for(&p, 1) > left)
        return does_not_fit(plan, &p, err);
    set_pages(&p, left);
    plan->max_context = p.context;
    for (uint32_t g = 0; g < p.params->n_groups; g++)
        plan->kv_bytes += p.params->n_pages[g] * p.page_bytes[g];
    return STATUS_OK;
}

static enum status plan_weights(const struct checkpoint *checkpoint,
                                const struct model_plan_limits *limits, struct model_plan *plan,
                                struct error *err)
{
    for (uint32_t rank = 0; rank < limits->world_size; rank++) {
        struct weights_plan *weights = NULL;
        const struct weights_plan_config config = {rank, limits->world_size, limits->compute,
                                                   limits->weights};
        enum status st = weights_plan_create(checkpoint, &config, &weights, err);
        if (st != STATUS_OK)
            return st;
        if (weights->bytes > plan->weight_bytes)
            plan->weight_bytes = weights->bytes;
        plan->mapped_bytes = weights->mapped_bytes;
        weights_plan_destroy(weights);
    }
    return STATUS_OK;
}

static enum status check_limits(const struct model_config *config,
                                const struct model_plan_limits *limits, struct error *err)
{
    if (limits->world_size == 0 || N_LEAVES % limits->world_size != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "world size %u: 1, 2, 4 and 8 are served",
                         limits->world_size);
    if (limits->max_rows == 0 || limits->max_slots == 0 || limits->max_logits_rows == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "max_rows=%u max_slots=%u max_logits_rows=%u: none may be 0",
                         limits->max_rows, limits->max_slots, limits->max_logits_rows);
    if (limits->max_context > config->max_position_embeddings)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "a context of %u tokens: max_position_embeddings is %u",
                         limits->max_context, config->max_position_embeddings);
    return STATUS_OK;
}

enum status model_plan_create(const struct checkpoint *checkpoint,
                              const struct model_plan_limits *limits, struct model_plan *out,
                              struct error *err)
{
    const struct model_config *config = checkpoint_config(checkpoint);
    struct model_plan plan = {.world_size = limits->world_size,
                              .encoder_bytes = limits->encoder_bytes,
                              .other_bytes = limits->other_bytes};
    enum status st = check_limits(config, limits, err);
    if (st == STATUS_OK)
        st = kv_layout_init(config, limits->page_tokens, limits->compute, &plan.layout, err);
    if (st == STATUS_OK)
        st = plan_weights(checkpoint, limits, &plan, err);
    if (st != STATUS_OK)
        return st;
    plan.budget_bytes = limits->budget_bytes / limits->world_size;
    plan.activation_bytes = text_model_activation_bytes(
        config, limits->world_size, limits->max_rows, limits->max_logits_rows, limits->max_slots);
    st = plan_pages(config, limits, &plan, err);
    if (st == STATUS_OK)
        *out = plan;
    return st;
}

static void write_line(struct text_buffer *out, const char *what, size_t n_bytes)
{
    text_buffer_append_format(out, "%-34s %12.1f MiB\n", what, (double)n_bytes / MIB);
}

void model_plan_write(const struct model_plan *plan, struct text_buffer *out)
{
    const struct kv_params *kv = &plan->layout.params;
    write_line(out, "weights of a rank", plan->weight_bytes);
    write_line(out, "activations", plan->activation_bytes);
    if (plan->encoder_bytes > 0)
        write_line(out, "images and audio", plan->encoder_bytes);
    write_line(out, "collectives", plan->other_bytes);
    write_line(out, "keys and values", plan->kv_bytes);
    for (uint32_t g = 0; g < kv->n_groups; g++)
        text_buffer_append_format(out, "  group %u: %u layers, window %u, %u pages of %u tokens\n",
                                  g, kv->groups[g].n_layers, kv->groups[g].window, kv->n_pages[g],
                                  kv->page_tokens);
    write_line(out, "together", model_plan_fixed_bytes(plan) + plan->kv_bytes);
    write_line(out, "a rank may have", plan->budget_bytes);
    text_buffer_append_format(out, "%-34s %12u\n", "ranks", plan->world_size);
    text_buffer_append_format(out, "%-34s %12u tokens\n", "longest sequence", plan->max_context);
    if (plan->mapped_bytes > 0)
        write_line(out, "read in the files (page cache)", plan->mapped_bytes);
}
