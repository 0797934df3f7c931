/* text/reasoning.h - which generated tokens are thinking, which are the answer: the state machine
 * of gemma4-text.md section 4.2 on token ids, and the channel's label in the text (`thought\n`).
 *
 * A reader of an answer, for each token that is no stop token: reasoning_push; unless it is
 * reasoning text, reasoning_label_end; if it is a delimiter and the state is now inside,
 * reasoning_label_begin (also at the start of an answer that begins inside). Reasoning text goes
 * through reasoning_label_push, but specials in it have no text at all (tokenizer_is_special), not
 * even the markers of tool calls. At the end of generation reasoning_label_end. Token by token, so
 * a result does not depend on how a stream is cut. Thread: plain values. */
#ifndef GEMMAD_TEXT_REASONING_H
#define GEMMAD_TEXT_REASONING_H

#include "base/text_buffer.h"
#include "text/tokenizer.h"

/* Ids of the tokens that matter, looked up once; TOKEN_NONE where a tokenizer lacks one. */
struct reasoning_tokens {
    uint32_t channel, channel_end;     /* <|channel>, <channel|> */
    uint32_t tool_call, tool_call_end; /* <|tool_call>, <tool_call|> */
    uint32_t tool_response, tool_response_end;
    uint32_t turn, turn_end;
    uint32_t think; /* <|think|> */
};
void reasoning_tokens_find(const struct tokenizer *tokenizer, struct reasoning_tokens *out);

/* Expect: thinking was asked for, and nothing was generated yet. */
enum reasoning_state { REASONING_OUTSIDE, REASONING_EXPECT, REASONING_INSIDE };
enum reasoning_kind { REASONING_CONTENT, REASONING_TEXT, REASONING_DELIMITER };

/* The state in which generation begins behind this prompt. */
enum reasoning_state reasoning_start(const struct reasoning_tokens *tokens, const uint32_t *prompt,
                                     size_t n);
/* Goes over one generated token that is no stop token. */
enum reasoning_kind reasoning_push(const struct reasoning_tokens *tokens,
                                   enum reasoning_state *state, uint32_t token);

/* Takes the label out of reasoning text. {0}: there is none to look for. */
struct reasoning_label {
    uint8_t n_held; /* bytes of "thought\n" matched so far */
    bool looking;
};
void reasoning_label_begin(struct reasoning_label *label);
/* Appends to out what of the text is no label (what is held back may come later). */
void reasoning_label_push(struct reasoning_label *label, const char *text, size_t n,
                          struct text_buffer *out);
/* The channel or the generation ends: releases what is held, unless it is `thought` alone. */
void reasoning_label_end(struct reasoning_label *label, struct text_buffer *out);

#endif
