/* engine/sampler.c - one row of logits, in as few passes over the vocabulary as the parameters
 * allow: greedy takes one; top_k alone a bounded heap; top_p without top_k sorts only tokens that
 * can be in the nucleus. Sums are f64 in a fixed order.
 * A slot's history (which tokens were seen, how often generated) is dense over the vocabulary and
 * is only kept while a penalty is on; it is cleared through the list of touched tokens. */
#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/random.h"

#define N_LANES 16
#define SEEN_IN_PROMPT UINT32_C(0x80000000)

struct slot {
    struct sampling_params params;
    uint32_t *stop_ids;
    uint32_t n_stop_ids;
    struct token_logprob *biases; // id, bias
    uint32_t n_biases;
    bool penalized;
    uint32_t n_known;  // positions 0..n_known-1 were observed
    uint32_t *counts;  // [vocab_size]: times generated | SEEN_IN_PROMPT
    uint32_t *touched; // [n_touched] tokens with a count
    uint32_t n_touched;
    size_t stop_capacity, bias_capacity;
};

struct candidate {
    float logit;
    uint32_t id;
};

struct sampler {
    uint32_t vocab_size;
    uint32_t max_slots;
    uint32_t max_touched;
    uint32_t n_threads;
    struct slot *slots;
    struct candidate *candidates; // [n_threads, vocab_size]
    float *copies;                // [n_threads, vocab_size]: logits that a request changes
};

struct sampler *sampler_create(uint32_t vocab_size, uint32_t max_slots, uint32_t max_positions,
                               uint32_t n_threads)
{
    struct sampler *sampler = mem_zeroed(1, sizeof *sampler);
    sampler->vocab_size = vocab_size;
    sampler->max_slots = max_slots;
    sampler->max_touched = max_positions < vocab_size ? max_positions : vocab_size;
    sampler->n_threads = n_threads;
    sampler->slots = mem_zeroed(max_slots, sizeof *sampler->slots);
    sampler->candidates = mem_zeroed((size_t)n_threads * vocab_size, sizeof *sampler->candidates);
    sampler->copies = mem_zeroed((size_t)n_threads * vocab_size, sizeof *sampler->copies);
    return sampler;
}

void sampler_destroy(struct sampler *sampler)
{
    if (!sampler)
        return;
    for (uint32_t i = 0; i < sampler->max_slots; i++) {
        free(sampler->slots[i].stop_ids);
        free(sampler->slots[i].biases);
        free(sampler->slots[i].counts);
        free(sampler->slots[i].touched);
    }
    free(sampler->slots);
    free(sampler->candidates);
    free(sampler->copies);
    free(sampler);
}

static void forget_history(struct sampler *sampler, struct slot *slot)
{
    for (uint32_t i = 0; i < slot->n_touched; i++)
        slot->counts[slot->touched[i]] = 0;
    slot->n_touched = 0;
    slot->n_known = 0;
    if (slot->penalized && !slot->counts) {
        slot->counts = mem_zeroed(sampler->vocab_size, sizeof *slot->counts);
        slot->touched = mem_zeroed(sampler->max_touched, sizeof *slot->touched);
    }
}

void sampler_start(struct sampler *sampler, const struct step_start *start,
                   const unsigned char *blob)
{
    struct slot *slot = &sampler->slots[start->slot];
    const struct sampling_params *p = &start->sampling;
    slot->params = *p;
    slot->penalized = p->repetition_penalty != 1.0F || p->frequency_penalty != 0.0F ||
                      p->presence_penalty != 0.0F;
    forget_history(sampler, slot);
    slot->n_stop_ids = start->n_stop_ids;
    slot->n_biases = start->n_biases;
    mem_reserve(&slot->stop_ids, &slot->stop_capacity, start->n_stop_ids, sizeof(uint32_t));
    mem_reserve(&slot->biases, &slot->bias_capacity, start->n_biases, sizeof *slot->biases);
    const unsigned char *at = blob + start->blob_offset;
    size_t stop_bytes = start->n_stop_ids * sizeof(uint32_t);
    if (stop_bytes)
        memcpy(slot->stop_ids, at, stop_bytes);
    if (start->n_biases)
        memcpy(slot->biases, at + stop_bytes, start->n_biases * sizeof *slot->biases);
}

void sampler_observe(struct sampler *sampler, uint32_t slot_id, uint32_t first_position,
                     const uint32_t *tokens, uint32_t n)
{
    struct slot *slot = &sampler->slots[slot_id];
    if (!slot->penalized)
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t position = first_position + i;
        if (position != slot->n_known || tokens[i] >= sampler->vocab_size)
            continue;
        slot->n_known++;
        uint32_t *count = &slot->counts[tokens[i]];
        if (*count == 0 && slot->n_touched < sampler->max_touched)
            slot->touched[slot->n_touched++] = tokens[i];
        if (position < slot->params.n_prompt_tokens)
            *count |= SEEN_IN_PROMPT;
        else
            *count += 1;
    }
}

static void apply_penalties(const struct slot *slot, float *logits)
{
    const struct sampling_params *p = &slot->params;
    for (uint32_t i = 0; i < slot->n_touched; i++) {
        uint32_t id = slot->touched[i];
        uint32_t generated = slot->counts[id] & ~SEEN_IN_PROMPT;
        float l = logits[id];
        l = l > 0 ? l / p->repetition_penalty : l * p->repetition_penalty;
        if (generated)
            l -= p->frequency_penalty * (float)generated + p->presence_penalty;
        logits[id] = l;
    }
}

static bool stops_are_masked(const struct slot *slot, uint32_t position)
{
    return position - slot->params.n_prompt_tokens < slot->params.min_tokens && slot->n_stop_ids;
}

static bool is_processed(const struct slot *slot, uint32_t position,
                         const struct sampler_mask *mask, uint32_t vocab_size)
{
    bool all = !mask || (mask->kind == STEP_MASK_ALL && mask->n_ids == vocab_size);
    return !all || slot->n_biases || slot->penalized || stops_are_masked(slot, position);
}

static void forbid(float *logits, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        logits[i] = -INFINITY;
}

// The logits that the bits allow. Most words are all or nothing, or nearly so.
static void copy_allowed(const float *logits, const uint32_t *words, uint32_t n, float *out)
{
    for (uint32_t first = 0; first < n; first += 32) {
        uint32_t word = words[first / 32];
        uint32_t end = n - first < 32 ? n : first + 32;
        if (word == UINT32_MAX) {
            memcpy(out + first, logits + first, (end - first) * sizeof *out);
            continue;
        }
        forbid(out, first, end);
        for (; word != 0; word &= word - 1) {
            uint32_t i = first + (uint32_t)__builtin_ctz(word);
            if (i < end)
                out[i] = logits[i];
        }
    }
}

// A mask of one token needs no logits (sampler_sample).
static void copy_logits(const float *logits, uint32_t n, const struct sampler_mask *mask,
                        float *out)
{
    if (!mask) {
        memcpy(out, logits, n * sizeof *out);
        return;
    }
    forbid(out, mask->n_ids, n);
    if (mask->kind == STEP_MASK_BITS) {
        copy_allowed(logits, mask->words, mask->n_ids, out);
        return;
    }
    memcpy(out, logits, mask->n_ids * sizeof *out);
    for (uint32_t i = 0; i < mask->n_words; i++) // STEP_MASK_NOT
        out[mask->words[i]] = -INFINITY;
}

// Biases and penalties. What is masked stays -inf.
static void process(const struct slot *slot, uint32_t vocab_size, float *logits)
{
    for (uint32_t i = 0; i < slot->n_biases; i++)
        if (slot->biases[i].token_id < vocab_size)
            logits[slot->biases[i].token_id] += slot->biases[i].logprob;
    if (slot->penalized)
        apply_penalties(slot, logits);
}

static void forbid_stops(const struct slot *slot, uint32_t vocab_size, float *logits)
{
    for (uint32_t i = 0; i < slot->n_stop_ids; i++)
        if (slot->stop_ids[i] < vocab_size)
            logits[slot->stop_ids[i]] = -INFINITY;
}

// The highest logit (lowest id on ties); false on NaN, +inf or nothing but -inf. In lanes, which
// vector units take side by side.
static bool best_of(const float *logits, uint32_t n, uint32_t *out)
{
    float highest[N_LANES];
    uint32_t unsound[N_LANES] = {0};
    for (uint32_t k = 0; k < N_LANES; k++)
        highest[k] = -INFINITY;
    uint32_t n_whole = n - n % N_LANES;
    for (uint32_t i = 0; i < n_whole; i += N_LANES) {
        for (uint32_t k = 0; k < N_LANES; k++) {
            float l = logits[i + k];
            unsound[k] |= !(l < INFINITY); // for NaN as well
            highest[k] = l > highest[k] ? l : highest[k];
        }
    }
    for (uint32_t i = n_whole; i < n; i++) {
        unsound[0] |= !(logits[i] < INFINITY);
        highest[0] = logits[i] > highest[0] ? logits[i] : highest[0];
    }
    for (uint32_t k = 1; k < N_LANES; k++) {
        unsound[0] |= unsound[k];
        highest[0] = highest[k] > highest[0] ? highest[k] : highest[0];
    }
    if (unsound[0] || !(highest[0] > -INFINITY))
        return false;
    uint32_t best = 0;
    while (logits[best] != highest[0])
        best++;
    *out = best;
    return true;
}

static bool ranks_before(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static int by_rank(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    return ranks_before(*x, *y) ? -1 : 1;
}

// Lets heap[0], the one that ranks last, sink to its place.
static void sink(struct candidate *heap, uint32_t n)
{
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= n)
            return;
        if (child + 1 < n && ranks_before(heap[child], heap[child + 1]))
            child++;
        if (!ranks_before(heap[at], heap[child]))
            return;
        struct candidate moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

// The k candidates that rank first, in order. A heap keeps the last of them on top, so that most
// of the vocabulary costs one comparison.
static uint32_t select_top_k(const float *logits, uint32_t n, uint32_t k, struct candidate *out)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct candidate c = {logits[i], i};
        if (n_kept < k) {
            uint32_t at = n_kept++;
            while (at > 0 && ranks_before(out[(at - 1) / 2], c)) {
                out[at] = out[(at - 1) / 2];
                at = (at - 1) / 2;
            }
            out[at] = c;
        } else if (c.logit > out[0].logit) { // a later id never wins a tie
            out[0] = c;
            sink(out, k);
        }
    }
    qsort(out, n_kept, sizeof *out, by_rank);
    return n_kept;
}

static double weight_of(float logit, float best, float temperature)
{
    return exp(((double)logit - (double)best) / (double)temperature);
}

// All tokens that could be in the nucleus, in order: the others, below (1 - top_p) / n of the mass
// each, sum up to less than 1 - top_p.
static uint32_t select_nucleus(const float *logits, uint32_t n, float best,
                               const struct sampling_params *p, double total, struct candidate *out)
{
    double cut = -INFINITY;
    if (p->top_p < 1.0F)
        cut = log((1.0 - (double)p->top_p) * total / n) * (double)p->temperature + (double)best;
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if ((double)logits[i] >= cut && logits[i] > -INFINITY)
            out[n_kept++] = (struct candidate){logits[i], i};
    qsort(out, n_kept, sizeof *out, by_rank);
    return n_kept;
}

// Candidates in order of rank: cuts by top_p (a share of the mass total) and min_p, then draws one
// by u in [0, 1).
static uint32_t draw(const struct candidate *c, uint32_t n, const struct sampling_params *p,
                     double total, double u)
{
    double mass = 0;
    uint32_t n_left = 0;
    for (; n_left < n; n_left++) {
        double w = weight_of(c[n_left].logit, c[0].logit, p->temperature);
        bool nucleus_full = p->top_p < 1.0F && mass >= (double)p->top_p * total;
        if (n_left > 0 && (nucleus_full || w < (double)p->min_p))
            break;
        mass += w;
    }
    double target = u * mass;
    double sum = 0;
    for (uint32_t i = 0; i < n_left; i++) {
        sum += weight_of(c[i].logit, c[0].logit, p->temperature);
        if (target < sum)
            return c[i].id;
    }
    return c[n_left - 1].id;
}

// No filter is on: in order of ids.
static uint32_t draw_from_all(const float *logits, uint32_t n, float best, float temperature,
                              double u)
{
    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += weight_of(logits[i], best, temperature);
    double target = u * total;
    double sum = 0;
    uint32_t last = 0;
    for (uint32_t i = 0; i < n; i++) {
        double w = weight_of(logits[i], best, temperature);
        if (w == 0)
            continue;
        last = i;
        sum += w;
        if (target < sum)
            return i;
    }
    return last;
}

static uint32_t choose(struct sampler *sampler, uint32_t thread, const struct sampling_params *p,
                       uint32_t position, const float *logits, uint32_t best)
{
    uint32_t n = sampler->vocab_size;
    double u = random_uniform(p->seed, position);
    struct candidate *c = sampler->candidates + (size_t)thread * n;
    double total = 0;
    uint32_t n_candidates;
    if (p->top_k > 0 && p->top_k < n) {
        n_candidates = select_top_k(logits, n, p->top_k, c);
        for (uint32_t i = 0; i < n_candidates; i++) // top_p is a share of what top_k left
            total += weight_of(c[i].logit, logits[best], p->temperature);
    } else if (p->top_p < 1.0F || p->min_p > 0.0F) {
        for (uint32_t i = 0; i < n; i++)
            total += weight_of(logits[i], logits[best], p->temperature);
        n_candidates = select_nucleus(logits, n, logits[best], p, total, c);
    } else {
        return draw_from_all(logits, n, logits[best], p->temperature, u);
    }
    return draw(c, n_candidates, p, total, u);
}

// The logits that are sampled from, and the best of them. False: as for best_of.
static bool prepare(struct sampler *sampler, uint32_t thread, const struct slot *slot,
                    uint32_t position, const float *logits, const struct sampler_mask *mask,
                    const float **out, uint32_t *out_best)
{
    uint32_t n = sampler->vocab_size;
    *out = logits;
    if (!is_processed(slot, position, mask, n))
        return best_of(logits, n, out_best);
    float *copy = sampler->copies + (size_t)thread * n;
    *out = copy;
    copy_logits(logits, n, mask, copy);
    process(slot, n, copy);
    if (stops_are_masked(slot, position)) {
        forbid_stops(slot, n, copy);
        if (best_of(copy, n, out_best))
            return true;
        if (!mask)
            return false;
        copy_logits(logits, n, mask, copy); // nothing but the end may follow
        process(slot, n, copy);
    }
    return best_of(copy, n, out_best);
}

bool sampler_sample(struct sampler *sampler, uint32_t thread, uint32_t slot_id, uint32_t position,
                    const float *logits, const struct sampler_mask *mask, uint32_t *out_token,
                    struct token_logprob *out_logprobs, uint32_t *out_n)
{
    const struct slot *slot = &sampler->slots[slot_id];
    const struct sampling_params *p = &slot->params;
    const float *prepared;
    uint32_t best;
    *out_n = 0;
    if (mask && mask->kind == STEP_MASK_ONE) {
        best = mask->words[0];
        if (!(logits[best] < INFINITY))
            return false;
        *out_token = best;
    } else {
        if (!prepare(sampler, thread, slot, position, logits, mask, &prepared, &best))
            return false;
        bool greedy = p->temperature == 0.0F || p->top_p == 0.0F;
        *out_token = greedy ? best : choose(sampler, thread, p, position, prepared, best);
    }
    if (p->n_logprobs < 0)
        return true;
    *out_n = 1 + (uint32_t)p->n_logprobs;
    return sampler_logprobs(logits, sampler->vocab_size, *out_token, (uint32_t)p->n_logprobs,
                            out_logprobs);
}

bool sampler_logprobs(const float *logits, uint32_t n, uint32_t token, uint32_t n_best,
                      struct token_logprob *out)
{
    uint32_t best;
    if (token >= n || n_best > n || n_best > SAMPLING_MAX_TOP_LOGPROBS ||
        !best_of(logits, n, &best))
        return false;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - (double)logits[best]);
    double log_sum = log(sum) + (double)logits[best];
    struct candidate top[SAMPLING_MAX_TOP_LOGPROBS];
    uint32_t n_top = n_best ? select_top_k(logits, n, n_best, top) : 0;
    out[0] = (struct token_logprob){token, (float)((double)logits[token] - log_sum)};
    for (uint32_t i = 0; i < n_top; i++)
        out[1 + i] = (struct token_logprob){top[i].id, (float)((double)top[i].logit - log_sum)};
    return true;
}
