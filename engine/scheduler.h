/* engine/scheduler.h - which rows go into the next step. A pure state machine: no thread, no clock
 * of its own, no input or output but the messages that it writes and reads.
 *
 * Sequences wait by (priority, arrival, index), get a slot and pages, run, and end when their owner
 * removes them. Each step takes a row of every decoding sequence first and gives the rest of its
 * rows to prefills in the same order. When pages run out, the sequence that ranks last gives up its
 * slot and pages and waits again; what it has generated is prefilled with its prompt, so it goes on
 * as if nothing had happened. The first in rank can take the pages of all others and was refused
 * when it did not fit alone, so there is always progress.
 * Several steps may be in flight: a row whose token is not known yet takes it from its slot.
 * Sequences that are masked get a mask for each token that is sampled, once all tokens before it
 * are known: in a message behind the step's, without which no further step is prepared. A mask of
 * one token may bring more tokens that must follow it; they are taken as known without being
 * sampled, so the next step computes them together. Parts of media are encoded before their rows
 * (scheduler_media.c). Cost per step: rows and changes, never context.
 * Memory: none per step. Thread: the engine's. */
#ifndef GEMMAD_ENGINE_SCHEDULER_H
#define GEMMAD_ENGINE_SCHEDULER_H

#include <stdbool.h>

#include "engine/encoder_cache.h"
#include "engine/request.h"
#include "engine/step.h"
#include "kvcache/params.h"
#include "model/encoder.h"

#define SCHEDULER_MAX_STEPS_IN_FLIGHT 4

struct scheduler;
struct sequence;

/* What must be known of the model's encoders: encoder_n_tokens and encoder_count_units of
 * model/encoder.h, or a test's. */
struct scheduler_encoders {
    const struct model_config *model;
    uint32_t (*n_tokens)(const struct model_config *model, const struct encoder_part *part);
    uint32_t (*count_units)(const struct model_config *model, const struct encoder_part *parts,
                            uint32_t n_parts);
    bool
        bidirectional_images; /* neighbouring images and frames are a block, computed in one step */
};

struct scheduler_config {
    struct step_limits limits; /* n_pages, page_tokens and n_groups as in kv */
    uint32_t n_text_ids;       /* ids from here on are never allowed by a mask; 0: vocab_size */
    struct kv_params kv;
    uint32_t max_chunk_rows; /* prefill rows of one sequence in a step, unless a block has more;
                                0: max_rows */
    struct scheduler_encoders encoders; /* with limits.n_cache_rows > 0 */
};

/* INVALID_ARGUMENT: the limits or the parameters make no sense or disagree. */
NODISCARD enum status scheduler_create(const struct scheduler_config *config,
                                       struct scheduler **out, struct error *err);
void scheduler_destroy(struct scheduler *scheduler); /* its sequences too; NULL is fine */

/* What one sequence is. Pointers stay valid until scheduler_remove. */
struct sequence_config {
    const uint32_t *prompt; /* [n_prompt], ids below vocab_size */
    uint32_t n_prompt;
    uint32_t max_tokens;
    struct sampling_params sampling; /* n_prompt_tokens is n_prompt, also after preemption */
    const uint32_t *stop_ids;        /* to be masked until min_tokens; ids below vocab_size */
    uint32_t n_stop_ids;
    const struct logit_bias *biases;
    uint32_t n_biases;
    const struct request_part *parts; /* as in struct request; the last token is of none */
    uint32_t n_parts;
    int32_t priority;
    uint64_t arrival;     /* unique for a request */
    uint32_t index;       /* among the request's sequences */
    bool masked;          /* its owner is asked for a mask of every token */
    uint64_t deadline_ns; /* UINT64_MAX: none */
    void *owner;          /* comes back with every output */
};

/* Whether such a sequence can ever run. Reads the config only, so any thread may ask.
 * INVALID_ARGUMENT: empty or too long; parts that are none, or not where they can be; a block of
 * images longer than a step. RESOURCE_EXHAUSTED: more pages than there are, or rows of the encoder
 * cache. UNIMPLEMENTED: parts where no media are served. */
NODISCARD enum status scheduler_can_run(const struct scheduler_config *config,
                                        const struct sequence_config *sequence, struct error *err);

/* The sequence waits. It passes scheduler_can_run. */
struct sequence *scheduler_add(struct scheduler *scheduler, const struct sequence_config *config);
/* Forgets it, at any moment: nothing of it comes back, its pages are free at once. */
void scheduler_remove(struct scheduler *scheduler, struct sequence *sequence);

/* Whether it ever had rows in a step. */
bool scheduler_has_run(const struct sequence *sequence);

/* How long what is not decoding may make a step. In a step with decode rows, prefill rows and units
 * of encoding together take at most shared_ns at the given costs, but a few go on unless it is 0;
 * without decode rows or such a limit, units take at most alone_ns. Whatever it says, the same
 * tokens come. */
struct scheduler_budget {
    uint64_t shared_ns;  /* UINT64_MAX: no limit */
    uint64_t alone_ns;   /* likewise */
    uint64_t row_ns;     /* 0, and the next likewise: not known */
    uint64_t unit_ns[2]; /* by enum encoder_kind */
};

/* Writes the next step to message (step_max_bytes); its length, or 0: nothing can run now. Copies
 * what it gives to the encoders to media ([limits.media_bytes], the same until a reset). */
size_t scheduler_prepare(struct scheduler *scheduler, const struct scheduler_budget *budget,
                         unsigned char *media, void *message);

/* What a sequence's owner says of its next token. LATER: it is asked again in the next step, which
 * computes the last row once more; so slow masks need not hold up the other sequences. */
struct sequence_mask {
    enum step_mask_kind kind;
    uint32_t ids[STEP_MASK_MAX_IDS]; /* ONE: the first; NOT: n_ids of them */
    uint32_t n_ids;
    const uint32_t *bits; /* BITS: [step_mask_bits_words(vocab_size)], copied */
    /* ONE: tokens that follow it whatever happens, [n_forced], copied; with it no more than
     * max_tokens leaves. */
    const uint32_t *forced;
    uint32_t n_forced;
};

/* Fills in out, which says ALL. May remove any sequence. */
typedef void scheduler_mask_fn(void *context, void *owner, struct sequence_mask *out);

/* Whether the step prepared last waits for masks that can be told now. */
bool scheduler_masks_are_due(const struct scheduler *scheduler);
/* Asks for them, those first that were put off last time, and writes them to message
 * (step_max_bytes); its length. */
size_t scheduler_write_masks(struct scheduler *scheduler, void *message, scheduler_mask_fn *mask,
                             void *context);

/* What a step brought for one sequence. Lives during the call. */
struct sequence_output {
    bool bad_logits; /* nothing else is set; remove the sequence */
    bool has_token;
    uint32_t token;
    uint32_t n_generated;   /* tokens generated, this one included */
    const uint32_t *forced; /* [n_forced] that follow it; gone with the sequence */
    uint32_t n_forced;
    const struct token_logprob *logprobs; /* [n_logprobs]; 0: none wanted */
    uint32_t n_logprobs;
    /* logprobs of the prompt's tokens first_prompt_token.., n_prompt_top + 1 entries each */
    uint32_t first_prompt_token;
    uint32_t n_prompt_rows;
    uint32_t n_prompt_top;
    const struct token_logprob *prompt_logprobs;
};

/* Called for every sequence that had rows in the step and was not removed meanwhile. May remove
 * any sequence; must remove one that has generated max_tokens. */
typedef void scheduler_output_fn(void *context, void *owner, const struct sequence_output *output);

/* What the oldest step in flight consists of, to learn from its times. */
struct scheduler_work {
    uint32_t n_decode_rows, n_prefill_rows;
    uint32_t n_units;
    enum encoder_kind kind; /* of the units */
};
/* False: none is in flight. */
bool scheduler_oldest_work(const struct scheduler *scheduler, struct scheduler_work *out);

/* Takes the result of the oldest step in flight. INTERNAL: it is not that; the workers are broken,
 * and the scheduler must be reset. */
NODISCARD enum status scheduler_complete(struct scheduler *scheduler,
                                         const struct step_result *result,
                                         scheduler_output_fn *on_output, void *context,
                                         struct error *err);

/* The workers and the steps in flight are gone: everything that ran waits again, and new workers
 * begin with step 1. */
void scheduler_reset(struct scheduler *scheduler);

/* A sequence whose deadline is not after now (its owner removes it), or NULL. */
void *scheduler_expired(const struct scheduler *scheduler, uint64_t now_ns);
uint64_t scheduler_next_deadline(const struct scheduler *scheduler); /* UINT64_MAX: none */

struct scheduler_counts {
    uint32_t n_waiting; /* sequences, preempted ones too */
    uint32_t n_running;
    uint32_t n_steps_in_flight;
    uint64_t n_preemptions;
    uint32_t n_free_pages[KV_MAX_GROUPS];
    uint64_t n_encoded_parts;
    struct encoder_cache_counts cache;
};
void scheduler_get_counts(const struct scheduler *scheduler, struct scheduler_counts *out);

/* Walks everything and checks the invariants of scheduler.c. For tests. */
bool scheduler_verify(const struct scheduler *scheduler);

#endif
