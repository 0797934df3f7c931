/* tests/fuzz/fuzz_tokenizer.c - any bytes as tokenizer.json; what is accepted must encode any text,
 * the file's own among it, into ids it has, the same ids again from the word cache, and decode to
 * well-formed text. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/detokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_text(const struct tokenizer *tokenizer, const char *text, size_t n, bool special)
{
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    uint32_t *ids = NULL;
    size_t capacity = 0;
    size_t n_ids = 0;
    tokenizer_encode(encoder, text, n, special, &ids, &n_ids, &capacity);
    size_t n_once = n_ids;
    tokenizer_encode(encoder, text, n, special, &ids, &n_ids, &capacity);
    CHECK(n_ids == 2 * n_once);
    CHECK(n_once == 0 || memcmp(ids, ids + n_once, n_once * sizeof *ids) == 0);
    struct detokenizer detokenizer;
    detokenizer_init(&detokenizer, tokenizer, false);
    struct text_buffer decoded = {0};
    for (size_t i = 0; i < n_ids; i++) {
        CHECK(ids[i] < tokenizer_n_tokens(tokenizer));
        detokenizer_push(&detokenizer, ids[i], &decoded);
    }
    detokenizer_flush(&detokenizer, &decoded);
    CHECK(utf8_valid(decoded.data, decoded.length, NULL));
    text_buffer_finish(&decoded);
    free(ids);
    tokenizer_encoder_destroy(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char sample[] = "a b  ab\n\n\t<eos> \xE2\x96\x81\xF0\x9F\x98\x80<0x41>";
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    const char *text = (const char *)data;
    if (tokenizer_parse(text, n, "fuzz", &tokenizer, &err) != STATUS_OK) {
        CHECK(!tokenizer && err.status == STATUS_INVALID_ARGUMENT && err.message[0]);
        return 0;
    }
    for (int special = 0; special < 2; special++) {
        check_text(tokenizer, sample, sizeof sample - 1, special);
        check_text(tokenizer, text, n, special); // accepted, so it is well-formed UTF-8
    }
    tokenizer_destroy(tokenizer);
    return 0;
}
