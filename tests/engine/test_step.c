/* tests/engine/test_step.c - a message is taken only if every count, index and length is sound. */
#include "tests/test.h"

#include "base/mem.h"
#include "engine/step_builder.h"
#include "media/media.h"
#include "model/encoder.h"

static const struct step_limits limits = {
    .max_slots = 4,
    .max_rows = 16,
    .max_positions = 100,
    .vocab_size = 50,
    .n_groups = 2,
    .page_tokens = 8,
    .n_pages = {10, 5},
    .max_blob_bytes = 64,
    .n_cache_rows = 64,
    .max_encode_parts = 3,
    .max_job_patches = 40,
    .max_job_frames = 8,
    .media_bytes = 65536,
};

// An image of two soft tokens and a frame of one begin a job and end it.
static void add_encode_work(struct step_builder *builder)
{
    builder->header.encode.n_units = 5;
    step_builder_add_encode_part(builder,
                                 &(struct step_encode_part){.kind = ENCODER_VISION,
                                                            .grid_width = 6,
                                                            .grid_height = 3,
                                                            .data_offset = 128,
                                                            .data_bytes = 18 * MEDIA_PATCH_BYTES});
    step_builder_add_encode_part(builder,
                                 &(struct step_encode_part){.kind = ENCODER_VISION,
                                                            .is_frame = 1,
                                                            .grid_width = 3,
                                                            .grid_height = 3,
                                                            .data_offset = 32768,
                                                            .data_bytes = 9 * MEDIA_PATCH_BYTES});
    step_builder_add_store(builder, &(struct step_cache_rows){.at = 0, .n = 2, .cache_row = 62});
    step_builder_add_store(builder, &(struct step_cache_rows){.at = 2, .n = 1, .cache_row = 0});
    step_builder_add_splice(
        builder, &(struct step_cache_rows){.at = 1, .n = 2, .cache_row = 62, .is_block = 1});
}

// A message with something in every array.
static size_t write_message(void *memory)
{
    struct step_builder builder;
    ASSERT_OK(step_builder_init(&builder, &limits, NULL));
    step_builder_begin(&builder, 7);
    struct sampling_params sampling = {.temperature = 1, .top_p = 1, .n_logprobs = 2};
    uint32_t stop_ids[] = {3, 49};
    struct logit_bias biases[] = {{.token_id = 5, .bias = -1.5F}};
    step_builder_add_start(&builder, 1, &sampling, stop_ids, 2, biases, 1);
    step_builder_add_start(&builder, 2, &sampling, NULL, 0, biases, 1);
    struct step_page_update update = {.group = 1, .slot = 1, .index = 12, .page = 4};
    step_builder_add_page(&builder, &update);
    add_encode_work(&builder);
    struct step_seq prefill = {.slot = 1,
                               .first_position = 97,
                               .n_rows = 3,
                               .flags = STEP_SAMPLE | STEP_PROMPT_LOGPROBS,
                               .next_token = UINT32_MAX};
    uint32_t *tokens = step_builder_add_seq(&builder, &prefill);
    for (uint32_t i = 0; i < 3; i++)
        tokens[i] = 40 + i;
    struct step_seq decode = {
        .slot = 3, .first_position = 9, .n_rows = 1, .flags = STEP_SAMPLE | STEP_TOKEN_FROM_SLOT};
    *step_builder_add_seq(&builder, &decode) = 0;
    size_t n = step_builder_write(&builder, memory);
    step_builder_finish(&builder);
    return n;
}

static void *new_message(size_t *out_n)
{
    void *memory = mem_zeroed(step_max_bytes(&limits), 1);
    *out_n = write_message(memory);
    return memory;
}

TEST(a_message_comes_back_as_it_was_built)
{
    size_t n;
    void *message = new_message(&n);
    struct step step;
    struct error err = {0};
    ASSERT_OK_ERR(step_open(message, n, &limits, &step, &err), err);
    ASSERT_EQ(step.header->step_id, 7);
    ASSERT_EQ(step.header->n_starts, 2);
    ASSERT_EQ(step.starts[1].blob_offset, 16);
    ASSERT_EQ(step.starts[0].sampling.n_logprobs, 2);
    ASSERT_EQ(step.page_updates[0].page, 4);
    ASSERT_EQ(step.seqs[1].slot, 3);
    ASSERT_EQ(step.tokens[2], 42);
    ASSERT_EQ(step.header->encode.n_units, 5);
    ASSERT_EQ(step.encode_parts[1].data_offset, 32768);
    ASSERT_EQ(step.stores[0].cache_row, 62);
    ASSERT_EQ(step.splices[0].at, 1);
    ASSERT_EQ(((const uint32_t *)step.blob)[1], 49);
    free(message);
}

TEST(limits_without_sense_have_no_message)
{
    struct step_limits bad = limits;
    bad.max_slots = STEP_MAX_SLOTS + 1;
    ASSERT_EQ(step_max_bytes(&bad), 0);
    ASSERT_EQ(step_result_max_bytes(&bad), 0);
    bad = limits;
    bad.n_groups = 5;
    ASSERT_EQ(step_max_bytes(&bad), 0);
    bad = limits;
    bad.n_cache_rows = 63; // no whole pages
    ASSERT_EQ(step_max_bytes(&bad), 0);
    bad.n_cache_rows = 0; // but parts
    ASSERT_EQ(step_max_bytes(&bad), 0);
    bad = limits;
    bad.max_encode_parts = 0; // but a cache
    ASSERT_EQ(step_max_bytes(&bad), 0);
    bad.max_encode_parts = STEP_MAX_ENCODE_PARTS + 1;
    ASSERT_EQ(step_max_bytes(&bad), 0);
    struct step_builder builder;
    ASSERT_EQ(step_builder_init(&builder, &bad, NULL), STATUS_INVALID_ARGUMENT);
    struct step step;
    struct step_header header = {0};
    ASSERT_EQ(step_open(&header, sizeof header, &bad, &step, NULL), STATUS_INTERNAL);
}

// Where each field stands in the message above.
#define AT_PART(i) (sizeof(struct step_header) + (i) * sizeof(struct step_encode_part))
#define AT_START(i) (AT_PART(2) + (i) * sizeof(struct step_start))
#define AT_UPDATE (AT_START(2))
#define AT_STORE(i) \
    (AT_UPDATE + sizeof(struct step_page_update) + (i) * sizeof(struct step_cache_rows))
#define AT_SPLICE AT_STORE(2)
#define AT_SEQ(i) (AT_STORE(3) + (i) * sizeof(struct step_seq))
#define AT_TOKEN(i) (AT_SEQ(2) + (i)*4)
#define AT_BLOB (AT_TOKEN(4))

static const struct {
    const char *what;
    size_t at;
    uint32_t value;
} corruptions[] = {
    {"no step id", 0, 0},
    {"a start too many", offsetof(struct step_header, n_starts), 3},
    {"counts beyond all limits", offsetof(struct step_header, n_starts), UINT32_MAX},
    {"updates beyond the limits", offsetof(struct step_header, n_page_updates), UINT32_MAX},
    {"a sequence less", offsetof(struct step_header, n_seqs), 1},
    {"rows beyond the limits", offsetof(struct step_header, n_rows), 17},
    {"a row less", offsetof(struct step_header, n_rows), 3},
    {"a blob beyond the limits", offsetof(struct step_header, blob_bytes), UINT32_MAX},
    {"splices beyond the limits", offsetof(struct step_header, n_splices), 17},
    {"parts beyond the limits", offsetof(struct step_header, encode.n_parts), 4},
    {"stores beyond the limits", offsetof(struct step_header, encode.n_stores), 5},
    {"parts and no units", offsetof(struct step_header, encode.n_units), 0},
    {"an unknown kind of part", AT_PART(0) + offsetof(struct step_encode_part, kind), 2},
    {"parts of two kinds", AT_PART(1) + offsetof(struct step_encode_part, kind), ENCODER_AUDIO},
    {"neither image nor frame", AT_PART(0) + offsetof(struct step_encode_part, is_frame), 2},
    {"an image without width", AT_PART(0) + offsetof(struct step_encode_part, grid_width), 0},
    {"a side of no whole tokens", AT_PART(0) + offsetof(struct step_encode_part, grid_height), 4},
    {"a side that overflows", AT_PART(0) + offsetof(struct step_encode_part, grid_width),
     0xFFFFFFFC},
    {"a grid of other data", AT_PART(0) + offsetof(struct step_encode_part, grid_width), 9},
    {"an image with frames", AT_PART(0) + offsetof(struct step_encode_part, n_frames), 1},
    {"data at an odd place", AT_PART(0) + offsetof(struct step_encode_part, data_offset), 8},
    {"data behind the file", AT_PART(1) + offsetof(struct step_encode_part, data_offset), 65536},
    {"data far behind the file", AT_PART(1) + offsetof(struct step_encode_part, data_offset) + 4,
     UINT32_MAX},
    {"data of another length", AT_PART(1) + offsetof(struct step_encode_part, data_bytes), 6911},
    {"a store that begins late", AT_STORE(0), 1},
    {"stores with a gap", AT_STORE(1), 3},
    {"stores that overlap", AT_STORE(1), 1},
    {"a store of nothing", AT_STORE(1) + offsetof(struct step_cache_rows, n), 0},
    {"a store behind the cache", AT_STORE(0) + offsetof(struct step_cache_rows, cache_row), 63},
    {"a store that overflows", AT_STORE(1) + offsetof(struct step_cache_rows, n), UINT32_MAX},
    {"a splice behind its sequence", AT_SPLICE, 2},
    {"a splice of a token from its slot", AT_SPLICE, 3},
    {"a splice behind the rows", AT_SPLICE, UINT32_MAX},
    {"a splice of nothing", AT_SPLICE + offsetof(struct step_cache_rows, n), 0},
    {"a splice from behind the cache", AT_SPLICE + offsetof(struct step_cache_rows, cache_row), 63},
    {"a block that is no bool", AT_SPLICE + offsetof(struct step_cache_rows, is_block), 2},
    {"a start in no slot", AT_START(0) + offsetof(struct step_start, slot), 4},
    {"stop ids behind the blob", AT_START(0) + offsetof(struct step_start, n_stop_ids), 6},
    {"a number of stop ids that overflows", AT_START(0) + offsetof(struct step_start, n_stop_ids),
     0x40000000},
    {"biases behind the blob", AT_START(1) + offsetof(struct step_start, n_biases), 0x20000001},
    {"an odd blob offset", AT_START(1) + offsetof(struct step_start, blob_offset), 15},
    {"a blob offset behind the blob", AT_START(1) + offsetof(struct step_start, blob_offset), 24},
    {"a temperature that is NaN", AT_START(0) + offsetof(struct step_start, sampling), 0x7FC00000},
    {"too many logprobs",
     AT_START(0) + offsetof(struct step_start, sampling) +
         offsetof(struct sampling_params, n_logprobs),
     21},
    {"prompt logprobs below -1",
     AT_START(1) + offsetof(struct step_start, sampling) +
         offsetof(struct sampling_params, n_prompt_logprobs),
     (uint32_t)-2},
    {"a group that is not", AT_UPDATE, 2},
    {"a page's slot that is not", AT_UPDATE + 4, 4},
    {"an index behind the longest sequence", AT_UPDATE + 8, 13},
    {"a page that is not", AT_UPDATE + 12, 5},
    {"the padding page", AT_UPDATE + 12, 0},
    {"a sequence's slot that is not", AT_SEQ(0), 4},
    {"a slot twice", AT_SEQ(1), 1},
    {"positions behind the longest sequence", AT_SEQ(0) + 4, 98},
    {"positions that overflow", AT_SEQ(0) + 4, UINT32_MAX},
    {"a sequence without rows", AT_SEQ(1) + 8, 0},
    {"rows that overflow", AT_SEQ(1) + 8, UINT32_MAX},
    {"unknown flags", AT_SEQ(1) + 12, 16 | STEP_SAMPLE},
    {"a mask of nothing", AT_SEQ(1) + 12, STEP_MASKED},
    {"several rows from a slot", AT_SEQ(0) + 12, STEP_TOKEN_FROM_SLOT},
    {"prompt logprobs of a decode", AT_SEQ(1) + 12, STEP_TOKEN_FROM_SLOT | STEP_PROMPT_LOGPROBS},
    {"a next token that is not", AT_SEQ(0) + 16, 50},
    {"a token that is not", AT_TOKEN(1), 50},
    {"a stop id that is not", AT_BLOB + 4, 50},
    {"a biased id that is not", AT_BLOB + 8, 50},
    {"an infinite bias", AT_BLOB + 20, 0x7F800000},
};

TEST(every_broken_rule_is_noticed_and_named)
{
    for (size_t i = 0; i < sizeof corruptions / sizeof *corruptions; i++) {
        size_t n;
        unsigned char *message = new_message(&n);
        ASSERT(corruptions[i].at + 4 <= n);
        memcpy(message + corruptions[i].at, &corruptions[i].value, 4);
        struct step step;
        struct error err = {0};
        enum status st = step_open(message, n, &limits, &step, &err);
        if (st == STATUS_OK || err.message[0] == '\0')
            test_fail(__FILE__, __LINE__, "not noticed: %s", corruptions[i].what);
        free(message);
    }
}

static enum status open_job(const struct step_encode_part *parts, uint32_t n_parts,
                            struct error *err)
{
    struct step_builder builder;
    ASSERT_OK(step_builder_init(&builder, &limits, NULL));
    step_builder_begin(&builder, 1);
    builder.header.encode.n_units = 1;
    for (uint32_t i = 0; i < n_parts; i++)
        step_builder_add_encode_part(&builder, &parts[i]);
    void *message = mem_zeroed(step_max_bytes(&limits), 1);
    size_t n = step_builder_write(&builder, message);
    step_builder_finish(&builder);
    struct step step;
    enum status st = step_open(message, n, &limits, &step, err);
    free(message);
    return st;
}

TEST(a_job_is_taken_up_to_its_limits_and_without_sequences)
{
    struct error err = {0};
    struct step_encode_part image = {.kind = ENCODER_VISION,
                                     .grid_width = 3,
                                     .grid_height = 6,
                                     .data_bytes = 18 * MEDIA_PATCH_BYTES};
    struct step_encode_part parts[3] = {image, image, image};
    ASSERT_OK_ERR(open_job(parts, 2, &err), err);
    ASSERT_EQ(open_job(parts, 3, &err), STATUS_INTERNAL); // 54 patches
    struct step_encode_part mel = {
        .kind = ENCODER_AUDIO, .n_frames = 3, .data_bytes = 3 * MEDIA_MEL_BINS * sizeof(float)};
    struct step_encode_part raw = mel;
    raw.data_bytes = 3 * MEDIA_RAW_FRAME_SAMPLES * sizeof(float);
    struct step_encode_part clips[3] = {mel, raw, mel};
    ASSERT_OK_ERR(open_job(clips, 2, &err), err);
    ASSERT_EQ(open_job(clips, 3, &err), STATUS_INTERNAL); // 9 frames
    clips[0].data_bytes += 4;
    ASSERT_EQ(open_job(clips, 1, &err), STATUS_INTERNAL);
    clips[0] = mel;
    clips[0].grid_width = 3;
    ASSERT_EQ(open_job(clips, 1, &err), STATUS_INTERNAL);
    clips[0] = mel;
    clips[0].n_frames = 0;
    clips[0].data_bytes = 0;
    ASSERT_EQ(open_job(clips, 1, &err), STATUS_INTERNAL);
    ASSERT_OK_ERR(open_job(NULL, 0, &err), err); // goes on with one
}

TEST(without_media_there_is_no_encode_work)
{
    struct step_limits text = limits;
    text.n_cache_rows = 0;
    text.max_encode_parts = 0;
    struct {
        struct step_header header;
    } message = {.header = {.step_id = 1}};
    struct step step;
    ASSERT_OK(step_open(&message, sizeof message, &text, &step, NULL));
    message.header.encode.n_units = 1;
    ASSERT_EQ(step_open(&message, sizeof message, &text, &step, NULL), STATUS_INTERNAL);
    ASSERT_EQ(step_max_splices(&text), 0);
    ASSERT_EQ(step_max_stores(&text), 0);
}

TEST(a_message_of_another_length_or_place_is_refused)
{
    size_t n;
    unsigned char *message = new_message(&n);
    struct step step;
    for (size_t length = 0; length <= n + 8; length++)
        if (length != n)
            ASSERT_EQ(step_open(message, length, &limits, &step, NULL), STATUS_INTERNAL);
    memmove(message + 4, message, n);
    ASSERT_EQ(step_open(message + 4, n, &limits, &step, NULL), STATUS_INTERNAL);
    free(message);
}

// In memory of exactly its size, so that the address sanitizer sees any read outside.
TEST(random_bytes_in_a_message_lead_nowhere_else)
{
    uint64_t random = 11;
    size_t n;
    unsigned char *message = new_message(&n);
    int n_taken = 0;
    for (int i = 0; i < 20000; i++) {
        unsigned char *copy = mem_zeroed(n, 1);
        memcpy(copy, message, n);
        for (uint64_t k = test_random_in(&random, 1, 4); k > 0; k--)
            copy[test_random_in(&random, 0, n - 1)] = (unsigned char)test_random(&random);
        struct step step;
        n_taken += step_open(copy, n, &limits, &step, NULL) == STATUS_OK;
        free(copy);
    }
    ASSERT(n_taken > 0 && n_taken < 20000);
    free(message);
}

// The message above with both sequences masked, and one more.
static struct step masked_step(void **out_message)
{
    struct step_builder builder;
    ASSERT_OK(step_builder_init(&builder, &limits, NULL));
    step_builder_begin(&builder, 7);
    for (uint32_t slot = 0; slot < 4; slot++) {
        struct step_seq seq = {
            .slot = slot, .n_rows = 1, .flags = STEP_SAMPLE | (slot == 1 ? 0 : STEP_MASKED)};
        *step_builder_add_seq(&builder, &seq) = 0;
    }
    *out_message = mem_zeroed(step_max_bytes(&limits), 1);
    size_t n = step_builder_write(&builder, *out_message);
    step_builder_finish(&builder);
    struct step step;
    ASSERT_OK(step_open(*out_message, n, &limits, &step, NULL));
    return step;
}

struct masks_message {
    struct step_masks_header header;
    struct step_mask masks[3];
    uint32_t words[1 + 2 + 2]; // one token, all but two, bits of 50 ids
};

static struct masks_message good_masks(void)
{
    return (struct masks_message){
        .header = {.step_id = 7, .n_masks = 3, .n_words = 5, .n_ids = 48},
        .masks = {{0, STEP_MASK_ONE, 0, 1}, {2, STEP_MASK_NOT, 1, 2}, {3, STEP_MASK_BITS, 3, 2}},
        .words = {47, 3, 4, UINT32_MAX, UINT32_MAX},
    };
}

TEST(masks_are_taken_only_if_they_are_sound_and_the_steps)
{
    void *message;
    struct step step = masked_step(&message);
    struct step_masks masks;
    struct error err = {0};
    struct masks_message m = good_masks();
    const size_t bytes = step_masks_bytes(3, 5);
    ASSERT_OK_ERR(step_masks_open(&m, bytes, &step, &limits, &masks, &err), err);
    ASSERT(masks.words == m.words && masks.words == step_masks_words(&m, 3));
    ASSERT_EQ(masks.masks[2].slot, 3);
#define REFUSES_MASKS(change)                                                                 \
    do {                                                                                      \
        m = good_masks();                                                                     \
        change;                                                                               \
        ASSERT_EQ(step_masks_open(&m, bytes, &step, &limits, &masks, &err), STATUS_INTERNAL); \
    } while (0)
    REFUSES_MASKS(m.header.step_id = 8);
    REFUSES_MASKS(m.header.n_masks = 2);
    REFUSES_MASKS(m.header.n_masks = 4);
    REFUSES_MASKS(m.header.n_masks = UINT32_MAX);
    REFUSES_MASKS(m.header.n_words = 4);
    REFUSES_MASKS(m.header.n_words = UINT32_MAX);
    REFUSES_MASKS(m.header.n_ids = 51);
    REFUSES_MASKS(m.header.n_ids = 47);
    REFUSES_MASKS(m.masks[0].slot = 1);
    REFUSES_MASKS(m.masks[1].slot = 4);
    REFUSES_MASKS(m.masks[0].kind = 5);
    REFUSES_MASKS(m.masks[0].kind = STEP_MASK_LATER);
    REFUSES_MASKS(m.masks[0].first_word = 5);
    REFUSES_MASKS(m.masks[2].first_word = 4);
    REFUSES_MASKS(m.masks[2].first_word = UINT32_MAX);
    REFUSES_MASKS(m.masks[0].kind = STEP_MASK_ALL);
    REFUSES_MASKS(m.masks[0].kind = STEP_MASK_BITS);
    REFUSES_MASKS(m.masks[0].n_words = 0);
    REFUSES_MASKS(m.masks[1].n_words = 17);
    REFUSES_MASKS(m.masks[1].n_words = UINT32_MAX);
    REFUSES_MASKS(m.masks[2].n_words = 1);
    REFUSES_MASKS(m.words[0] = 48);
    REFUSES_MASKS(m.words[2] = UINT32_MAX);
    m = good_masks();
    for (size_t n = 0; n < bytes; n++)
        ASSERT_EQ(step_masks_open(&m, n, &step, &limits, &masks, NULL), STATUS_INTERNAL);
    free(message);
}

TEST(random_bytes_in_masks_lead_nowhere_else)
{
    uint64_t random = 12;
    void *message;
    struct step step = masked_step(&message);
    const struct masks_message good = good_masks();
    const size_t n = step_masks_bytes(3, 5);
    int n_taken = 0;
    for (int i = 0; i < 20000; i++) {
        unsigned char *copy = mem_zeroed(n, 1);
        memcpy(copy, &good, n);
        for (uint64_t k = test_random_in(&random, 1, 4); k > 0; k--)
            copy[test_random_in(&random, 0, n - 1)] = (unsigned char)test_random(&random);
        struct step_masks masks;
        n_taken += step_masks_open(copy, n, &step, &limits, &masks, NULL) == STATUS_OK;
        free(copy);
    }
    ASSERT(n_taken > 0 && n_taken < 20000);
    free(message);
}

struct result_message {
    struct step_result_header header;
    struct step_result_seq seqs[2];
    struct token_logprob logprobs[9];
};

// Sequence 0: a token with its best 2, and two prompt rows with their best 1; sequence 1: a token
// with its best 1.
static struct result_message good_result(void)
{
    struct result_message m = {
        .header = {.step_id = 3, .n_seqs = 2, .n_logprobs = 9},
        .seqs = {{.slot = 1,
                  .flags = STEP_RESULT_TOKEN,
                  .token = 4,
                  .n_top = 2,
                  .n_prompt_rows = 2,
                  .n_prompt_top = 1},
                 {.slot = 3,
                  .flags = STEP_RESULT_TOKEN,
                  .token = 49,
                  .n_top = 1,
                  .logprobs_offset = 7}},
    };
    for (uint32_t i = 0; i < 9; i++)
        m.logprobs[i].token_id = i;
    return m;
}

TEST(a_result_is_taken_only_if_it_is_sound)
{
    struct step_result result;
    struct error err = {0};
    struct result_message m = good_result();
    ASSERT_OK_ERR(step_result_open(&m, sizeof m, &limits, &result, &err), err);
    ASSERT(result.logprobs == m.logprobs);
#define REFUSES(change)                                                                     \
    do {                                                                                    \
        m = good_result();                                                                  \
        change;                                                                             \
        ASSERT_EQ(step_result_open(&m, sizeof m, &limits, &result, &err), STATUS_INTERNAL); \
    } while (0)
    REFUSES(m.header.n_seqs = 3);
    REFUSES(m.header.n_seqs = UINT32_MAX);
    REFUSES(m.header.n_logprobs = 8);
    REFUSES(m.header.n_logprobs = UINT32_MAX);
    REFUSES(m.seqs[0].slot = 4);
    REFUSES(m.seqs[0].flags = 4);
    REFUSES(m.seqs[1].token = 50);
    REFUSES(m.seqs[0].n_top = 21);
    REFUSES(m.seqs[0].n_top = 3);
    REFUSES(m.seqs[0].n_prompt_top = 21);
    REFUSES(m.seqs[0].n_prompt_rows = 3);
    REFUSES(m.seqs[0].n_prompt_rows = UINT32_MAX);
    REFUSES(m.seqs[0].logprobs_offset = UINT32_MAX);
    REFUSES(m.seqs[1].logprobs_offset = 10);
    REFUSES(m.seqs[1].logprobs_offset = 6);
    REFUSES(m.logprobs[8].token_id = 50);
    m = good_result();
    for (size_t n = 0; n < sizeof m; n++)
        ASSERT_EQ(step_result_open(&m, n, &limits, &result, NULL), STATUS_INTERNAL);
}

TEST(entries_of_bad_logits_are_not_looked_at)
{
    struct step_result result;
    struct result_message m = good_result();
    m.seqs[1].flags = STEP_RESULT_BAD_LOGITS;
    m.logprobs[8].token_id = UINT32_MAX;
    ASSERT_OK(step_result_open(&m, sizeof m, &limits, &result, NULL));
}
