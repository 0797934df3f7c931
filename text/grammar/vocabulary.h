/* text/grammar/vocabulary.h - the tokens of a tokenizer as a byte trie, with the parts of token
 * masks that depend on no grammar: made once at start, then read-only. gemma4-text.md section 5.
 *
 * Special tokens and unused ids are not in the trie. */
#ifndef GEMMAD_TEXT_GRAMMAR_VOCABULARY_H
#define GEMMAD_TEXT_GRAMMAR_VOCABULARY_H

#include "text/tokenizer.h"

struct vocabulary;

/* n_ids: of the model's head, at least the tokenizer's; what is beyond is never allowed. */
struct vocabulary *vocabulary_create(const struct tokenizer *tokenizer, uint32_t n_ids);
void vocabulary_destroy(struct vocabulary *vocabulary);
uint32_t vocabulary_n_ids(const struct vocabulary *vocabulary);
const struct tokenizer *vocabulary_tokenizer(const struct vocabulary *vocabulary);
/* Is there a token of more than n bytes that begins with bytes[0..n)? Then what is known to follow
 * may yet become another token. */
bool vocabulary_has_longer(const struct vocabulary *vocabulary, const char *bytes, size_t n);

#endif
