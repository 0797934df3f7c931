/* tests/text/grammar/follow.h - does a text belong to a grammar? With a tokenizer of the 256 bytes
 * and the tokens of tool calls. */
#ifndef GEMMAD_TESTS_TEXT_GRAMMAR_FOLLOW_H
#define GEMMAD_TESTS_TEXT_GRAMMAR_FOLLOW_H

#include "tests/text/tokenizers.h"
#include "text/grammar/matcher.h"

/* <|tool_call> 256, <tool_call|> 257, <|"|> 258, <eos> 259, "ab" 260 */
static inline struct tokenizer *bytes_tokenizer(void)
{
    char *json = write_tokenizer(
        (const char *const[]){"<|tool_call>", "<tool_call|>", "<|\"|>", "<eos>", "ab"}, 5, "",
        "{\"id\":256,\"content\":\"<|tool_call>\",\"special\":true},"
        "{\"id\":257,\"content\":\"<tool_call|>\",\"special\":true},"
        "{\"id\":258,\"content\":\"<|\\\"|>\",\"special\":true},"
        "{\"id\":259,\"content\":\"<eos>\",\"special\":true}");
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "bytes", &tokenizer, &err), err);
    free(json);
    return tokenizer;
}

/* Specials in the text are their tokens. */
static inline bool grammar_takes(struct grammar *grammar, const struct tokenizer *tokenizer,
                                 const char *text)
{
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    struct vocabulary *vocabulary = vocabulary_create(tokenizer, tokenizer_n_tokens(tokenizer));
    struct matcher *matcher = matcher_create(grammar, vocabulary);
    struct id_list ids = {0};
    encode_with(encoder, text, strlen(text), true, &ids);
    bool fits = true;
    for (size_t i = 0; i < ids.n && fits; i++)
        fits = matcher_accept(matcher, ids.ids[i]);
    fits = fits && matcher_is_complete(matcher);
    free(ids.ids);
    matcher_destroy(matcher);
    vocabulary_destroy(vocabulary);
    tokenizer_encoder_destroy(encoder);
    return fits;
}

#endif
