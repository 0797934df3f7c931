/* tests/fuzz/grammar_walk.h - writes a text that a grammar allows, as the input chooses, with a
 * tokenizer of the 256 bytes and a few specials; masks and matchers must agree on the way. */
#ifndef GEMMAD_TESTS_FUZZ_GRAMMAR_WALK_H
#define GEMMAD_TESTS_FUZZ_GRAMMAR_WALK_H

#include <stdlib.h>

#include "base/text_buffer.h"
#include "text/grammar/matcher.h"

#define WALK_MAX_TOKENS 64
#define WALK_N_IDS 320 /* a few beyond the tokenizer's */

/* Ids 0 to 255 are the bytes, 256 "ab", 257 "\":", 258 <|tool_call>, 259 <tool_call|>, 260 <|"|>.
 */
static inline struct tokenizer *walk_tokenizer(void)
{
    struct text_buffer json = {0};
    struct tokenizer *tokenizer = NULL;
    text_buffer_append_text(
        &json, "{\"added_tokens\":["
               "{\"id\":258,\"content\":\"<|tool_call>\",\"special\":true},"
               "{\"id\":259,\"content\":\"<tool_call|>\",\"special\":true},"
               "{\"id\":260,\"content\":\"<|\\\"|>\",\"special\":true}],"
               "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"
               "\"\xE2\x96\x81\"},\"pre_tokenizer\":null,\"post_processor\":null,\"decoder\":"
               "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
               "\"String\":\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},"
               "{\"type\":\"Fuse\"}]},\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,"
               "\"vocab\":{\"ab\":256,\"\\\":\":257,\"<|tool_call>\":258,\"<tool_call|>\":259,"
               "\"<|\\\"|>\":260");
    for (unsigned byte = 0; byte < 256; byte++)
        text_buffer_append_format(&json, ",\"<0x%02X>\":%u", byte, byte);
    text_buffer_append_text(&json, "},\"merges\":[]}}");
    CHECK(tokenizer_parse(json.data, json.length, "bytes", &tokenizer, NULL) == STATUS_OK);
    text_buffer_finish(&json);
    return tokenizer;
}

/* The id that choice picks of the n_set bits. */
static inline uint32_t walk_pick(const uint32_t *bits, uint32_t n_set, uint32_t choice)
{
    uint32_t left = choice % n_set;
    for (uint32_t id = 0; id < WALK_N_IDS; id++)
        if (bits[id / 32] >> (id % 32) & 1 && left-- == 0)
            return id;
    CHECK(false);
    return 0;
}

/* Appends the text to out (may be NULL: specials stand in it by name). True: it may end there. */
static inline bool walk_grammar(struct grammar *grammar, const struct tokenizer *tokenizer,
                                const struct vocabulary *vocabulary, const uint8_t *choices,
                                size_t n, struct text_buffer *out)
{
    struct matcher *matcher = matcher_create(grammar, vocabulary);
    uint32_t n_accepted = 0;
    for (size_t i = 0; i < n && i < WALK_MAX_TOKENS; i++) {
        uint32_t bits[WALK_N_IDS / 32] = {0};
        uint32_t n_set = matcher_mask(matcher, bits);
        if (n_set == 0)
            break;
        uint32_t id = walk_pick(bits, n_set, choices[i]);
        uint32_t other = choices[i];
        CHECK(matcher_failed(matcher) ||
              matcher_allows(matcher, other) == (bits[other / 32] >> (other % 32) & 1));
        if (!matcher_accept(matcher, id)) {
            CHECK(matcher_failed(matcher));
            break;
        }
        if (++n_accepted == 5) { // there and back again
            matcher_rollback(matcher, 1);
            CHECK(matcher_accept(matcher, id) || matcher_failed(matcher));
        }
        size_t length;
        bool is_byte;
        const char *bytes = tokenizer_token_bytes(tokenizer, id, &length, &is_byte);
        if (out)
            text_buffer_append(out, bytes, length);
    }
    bool complete = !matcher_failed(matcher) && matcher_is_complete(matcher);
    matcher_destroy(matcher);
    return complete;
}

#endif
