/* text/tokenizer.h - text to token ids, exactly as tokenizer.json says (BPE, byte fallback).
 *
 * Accepts the shape of Gemma's file: BPE with byte_fallback, normalizer Replace " " by U+2581, the
 * Split pre-tokenizer, added tokens matched exactly. Anything else in the file that would change
 * ids is refused by name; a post-processor's <bos>, truncation and padding are not applied.
 * Thread: read-only after load except the word cache, which each tokenizer_encoder owns; encoders
 * are one per thread. */
#ifndef GEMMAD_TEXT_TOKENIZER_H
#define GEMMAD_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tokenizer;
struct tokenizer_encoder; /* scratch and word cache of one thread */

#define TOKEN_NONE UINT32_MAX

/* INVALID_ARGUMENT / NOT_FOUND name the file and the place in it. */
NODISCARD enum status tokenizer_load(const char *path, struct tokenizer **out, struct error *err);
/* The same from memory; name stands for the path in messages. */
NODISCARD enum status tokenizer_parse(const char *json, size_t n, const char *name,
                                      struct tokenizer **out, struct error *err);
void tokenizer_destroy(struct tokenizer *tokenizer);

uint32_t tokenizer_n_tokens(const struct tokenizer *tokenizer); /* highest id + 1 */
/* The id of an entry by its exact string (added tokens first), or TOKEN_NONE. */
uint32_t tokenizer_id(const struct tokenizer *tokenizer, const char *entry, size_t n);
bool tokenizer_is_special(const struct tokenizer *tokenizer, uint32_t id);
/* Special, and not shown in an answer: all specials but the markers of tool calls (<|tool_call>,
 * <tool_call|> and the string quote <|"|>), without which a call cannot be read back. */
bool tokenizer_is_hidden(const struct tokenizer *tokenizer, uint32_t id);

/* The bytes that id stands for in decoded text: U+2581 already a space; a <0xNN> entry is its byte
 * (*out_is_byte true); special tokens give their own string. NULL with *out_n 0: an unused id. */
const char *tokenizer_token_bytes(const struct tokenizer *tokenizer, uint32_t id, size_t *out_n,
                                  bool *out_is_byte);

/* The first added token in text[from..n): leftmost, the longest there. False: there is none. */
bool tokenizer_find_added(const struct tokenizer *tokenizer, const char *text, size_t n,
                          size_t from, size_t *out_start, size_t *out_length, uint32_t *out_id);

struct tokenizer_encoder *tokenizer_encoder_create(const struct tokenizer *tokenizer);
void tokenizer_encoder_destroy(struct tokenizer_encoder *encoder);

/* Encodes well-formed UTF-8 and appends to *ids (grown with mem_reserve; *n_ids counts).
 * parse_special: added tokens in the text become their ids; else they are plain text.
 * Adds nothing of its own (no BOS). n is below 2^31. O(n log n). */
void tokenizer_encode(struct tokenizer_encoder *encoder, const char *text, size_t n,
                      bool parse_special, uint32_t **ids, size_t *n_ids, size_t *capacity);

#endif
