/* engine/step.h - the step descriptor (coordinator to every worker) and the step result (rank 0 to
 * the coordinator): one batch through the model.
 *
 * A step is a flat message without pointers, read in place from the step ring (engine/ring.h):
 * struct step_header, then the arrays in the order of its counts. Block tables are sent as changes:
 * workers keep a table per (group, slot), so a step's size does not grow with context. A slot is a
 * sequence's place in the workers' tables; the coordinator reuses it only when no step in flight
 * reads it. Readers take messages only through step_open / step_result_open, which check every
 * count, index and length against the limits. */
#ifndef GEMMAD_ENGINE_STEP_H
#define GEMMAD_ENGINE_STEP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "engine/sampling.h"

#define STEP_MAX_SLOTS 4096
#define STEP_MAX_RANKS 8
#define STEP_MAX_ENCODE_PARTS 64
#define STEP_CACHE_PAGE_ROWS 16 /* the encoder cache is lent in pages of so many soft tokens */
#define STEP_MEDIA_ALIGNMENT 64 /* of parts in the media file, bytes */

struct step_limits {
    uint32_t max_slots;     /* sequences that run at once, 1..STEP_MAX_SLOTS */
    uint32_t max_rows;      /* tokens in a step */
    uint32_t max_positions; /* longest sequence, in tokens */
    uint32_t vocab_size;
    uint32_t n_groups;
    uint32_t page_tokens;
    uint32_t n_pages[4]; /* by group */
    uint32_t max_blob_bytes;
    /* Where media are served, else 0: soft tokens that the encoder cache holds, a multiple of
     * STEP_CACHE_PAGE_ROWS; parts of a job, of which all together have at most so many patches or
     * audio frames; bytes of the media file. */
    uint32_t n_cache_rows;
    uint32_t max_encode_parts; /* at most STEP_MAX_ENCODE_PARTS */
    uint32_t max_job_patches, max_job_frames;
    uint64_t media_bytes;
};

/* Work for the encoders in this step, before its rows (model/encoder.h). A job's first step names
 * its parts, its last one says where in the encoder cache the soft tokens go, so that the rows of
 * that step may have them. One job at a time. Such a step may have no sequences. */
struct step_encode {
    uint32_t
        n_units; /* of the job that is under way; 0: nothing to encode, and no parts or stores */
    uint32_t n_parts;  /* > 0: a new job begins with these */
    uint32_t n_stores; /* > 0: it ends */
    uint32_t reserved;
};

struct step_header {
    uint64_t step_id; /* from 1, without gaps */
    uint32_t n_starts;
    uint32_t n_page_updates;
    uint32_t n_seqs;
    uint32_t n_rows;
    uint32_t blob_bytes;
    uint32_t n_splices;
    struct step_encode encode;
};

/* A sequence takes a slot (first, or again after preemption): forget what the slot held. */
struct step_start {
    uint32_t slot;
    uint32_t n_stop_ids;  /* u32 ids in the blob at blob_offset: masked until min_tokens */
    uint32_t n_biases;    /* then {u32 id, f32 bias} pairs */
    uint32_t blob_offset; /* a multiple of 4 */
    struct sampling_params sampling;
};

/* block_table[group][slot][index] = page. */
struct step_page_update {
    uint32_t group;
    uint32_t slot;
    uint32_t index; /* position / page_tokens */
    uint32_t page;
};

enum step_seq_flags {
    STEP_SAMPLE = 1,          /* sample after the last row (prompt complete, or decode) */
    STEP_TOKEN_FROM_SLOT = 2, /* the (single) row's token is the one last sampled for the slot */
    STEP_PROMPT_LOGPROBS = 4, /* every row's logprob of the token that follows it */
    STEP_MASKED = 8, /* with STEP_SAMPLE: sampled from what the step's masks message allows */
};

struct step_seq {
    uint32_t slot;
    uint32_t first_position;
    uint32_t n_rows;
    uint32_t flags;
    uint32_t next_token; /* with STEP_PROMPT_LOGPROBS: the prompt's token after the last row, or
                            UINT32_MAX at the prompt's end */
};

/* One image, frame or clip of a job, as struct encoder_part; all of a job are of one kind. Its data
 * are in the media file, which the coordinator leaves alone until the job has ended. */
struct step_encode_part {
    uint32_t kind; /* enum encoder_kind */
    uint32_t is_frame;
    uint32_t grid_width, grid_height;
    uint32_t n_frames;
    uint32_t reserved;
    uint64_t data_offset; /* a multiple of STEP_MEDIA_ALIGNMENT */
    uint64_t data_bytes;  /* as the grid or the frames say (media/media.h) */
};

/* Rows of the encoder cache. As a store: soft tokens at .. at + n - 1 of the job go there. As a
 * splice: they are the embeddings of the step's rows at .. at + n - 1, which are of one sequence.
 */
struct step_cache_rows {
    uint32_t at;
    uint32_t n;
    uint32_t cache_row;
    uint32_t is_block; /* splice: image or frame; neighbouring block splices of a sequence make one
                          block, which a chunk holds whole where the model looks at it in both
                          directions */
};

/* INVALID_ARGUMENT: a value that no step may carry (not finite, too many logprobs). */
NODISCARD enum status step_check_sampling(const struct sampling_params *sampling,
                                          struct error *err);

/* A checked view into a message. */
struct step {
    const struct step_header *header;
    const struct step_encode_part *encode_parts; /* [encode.n_parts] */
    const struct step_start *starts;             /* [n_starts] */
    const struct step_page_update *page_updates; /* [n_page_updates] */
    const struct step_cache_rows *stores;        /* [encode.n_stores], from 0 on without gaps */
    const struct step_cache_rows *splices;       /* [n_splices], at ascending, none overlaps */
    const struct step_seq *seqs;                 /* [n_seqs] */
    const uint32_t *tokens;                      /* [n_rows], by sequence */
    const unsigned char *blob;                   /* [blob_bytes] */
};

/* The longest of a step and its masks; 0 (and for the result likewise): the limits make no sense.
 * Messages stand at multiples of 8. */
size_t step_max_bytes(const struct step_limits *limits);
size_t step_max_page_updates(const struct step_limits *limits);
uint32_t step_max_stores(const struct step_limits *limits);
uint32_t step_max_splices(const struct step_limits *limits);
/* INTERNAL: the message breaks a rule, which one. */
NODISCARD enum status step_open(const void *message, size_t n, const struct step_limits *limits,
                                struct step *out, struct error *err);

/* Behind a step with STEP_MASKED sequences, before the next step, the ring carries its masks: what
 * each of them may sample. They are a message apart because they depend on tokens that are not yet
 * known when the step is written; rank 0 takes them between the forward pass and sampling, the
 * other ranks skip them. struct step_masks_header, then its masks in the order of the step's masked
 * sequences, then words, of which each has some. */
enum step_mask_kind {
    STEP_MASK_ALL,   /* no words */
    STEP_MASK_ONE,   /* one word: the only token */
    STEP_MASK_NOT,   /* at most STEP_MASK_MAX_IDS words: all tokens but these */
    STEP_MASK_BITS,  /* step_mask_bits_words: bit id % 32 of word id / 32 */
    STEP_MASK_LATER, /* no words: nothing is sampled now, and the result has no token */
};

#define STEP_MASK_MAX_IDS 16

struct step_masks_header {
    uint64_t step_id;
    uint32_t n_masks;
    uint32_t n_words;
    uint32_t n_ids; /* ids from here on stand for no text: they are never allowed */
    uint32_t reserved;
};

struct step_mask {
    uint32_t slot;
    uint32_t kind;
    uint32_t first_word;
    uint32_t n_words;
};

struct step_masks {
    const struct step_masks_header *header;
    const struct step_mask *masks; /* [n_masks] */
    const uint32_t *words;         /* [n_words] */
};

uint32_t step_mask_bits_words(uint32_t vocab_size);
/* The place of the words. */
uint32_t *step_masks_words(void *message, uint32_t n_masks);
size_t step_masks_bytes(uint32_t n_masks, uint32_t n_words);
/* INTERNAL: the message breaks a rule, or is not for this step, which was opened with the same
 * limits. */
NODISCARD enum status step_masks_open(const void *message, size_t n, const struct step *step,
                                      const struct step_limits *limits, struct step_masks *out,
                                      struct error *err);

struct token_logprob {
    uint32_t token_id;
    float logprob;
};

struct step_result_header {
    uint64_t step_id;
    uint32_t n_seqs;
    uint32_t n_logprobs; /* entries in the array behind the sequences */
    uint64_t encode_ns;  /* where the step's time went */
    uint64_t forward_ns;
    uint64_t sample_ns;
    uint64_t mask_wait_ns; /* of sample_ns: rank 0 was ready before the masks were there */
    /* of the time above: each rank waiting for others in collectives (tp_get_waits) */
    uint64_t collective_wait_ns[STEP_MAX_RANKS];
};

enum step_result_flags {
    STEP_RESULT_TOKEN = 1,      /* token is a sampled one */
    STEP_RESULT_BAD_LOGITS = 2, /* NaN, or everything masked: this sequence fails, no other does */
};

/* In the order of the step's sequences. Its entries in the logprobs array, at logprobs_offset:
 * first, with a token and n_logprobs >= 0: the sampled token's, then n_top best ones; then, with
 * STEP_PROMPT_LOGPROBS, for each row with a following token: that token's, then n_prompt_top best.
 */
struct step_result_seq {
    uint32_t slot;
    uint32_t flags;
    uint32_t token;
    uint32_t n_top;
    uint32_t n_prompt_rows;
    uint32_t n_prompt_top;
    uint32_t logprobs_offset;
    uint32_t reserved;
};

struct step_result {
    const struct step_result_header *header;
    const struct step_result_seq *seqs;
    const struct token_logprob *logprobs;
};

size_t step_result_max_bytes(const struct step_limits *limits);
NODISCARD enum status step_result_open(const void *message, size_t n,
                                       const struct step_limits *limits, struct step_result *out,
                                       struct error *err);

#endif
