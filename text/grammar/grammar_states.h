/* text/grammar/grammar_states.h - the states that matchers of one grammar have been in, and the
 * steps between them, made when first asked for: a deterministic automaton that grows with use.
 *
 * A state is a set of items: a place in the graph, how far its terminal has matched, and the frame
 * to return to. A frame is the set of all places that wait for one call, so that two ways into the
 * same rule are followed once; equal frames and states have equal ids, whatever text led to them.
 * The tables may be thrown away between steps (grammar_states_shrink): ids then change.
 * Thread: one at a time. */
#ifndef GEMMAD_TEXT_GRAMMAR_GRAMMAR_STATES_H
#define GEMMAD_TEXT_GRAMMAR_GRAMMAR_STATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/grammar/expression.h"
#include "text/grammar/list_table.h"

struct grammar;
struct grammar_states;

#define STATE_DEAD 0U   /* nothing may follow, and the text is not complete */
#define STATE_FAILED 1U /* a limit on items was reached: the match is lost */
#define STATE_UNKNOWN UINT32_MAX

struct grammar_states *grammar_states_create(struct grammar *grammar);
void grammar_states_destroy(struct grammar_states *states);         /* NULL is fine */
size_t grammar_states_n_bytes(const struct grammar_states *states); /* NULL: 0 */

/* States made so far, the first two included. */
uint32_t grammar_states_n(const struct grammar_states *states);
/* Forgets all states but the start and those of keep [n], all steps and all frames that no state
 * has; new_ids [n] are the numbers of those kept, from then on. keep [n] of bool, n as above. */
void grammar_states_shrink(struct grammar_states *states, const bool *keep, uint32_t *new_ids);

uint32_t grammar_states_start(const struct grammar_states *states);
uint32_t grammar_states_step(struct grammar_states *states, uint32_t state, uint8_t byte);
/* The steps of a state above STATE_FAILED by each byte, [256], as far as they were made; others are
 * STATE_UNKNOWN, and grammar_states_step makes them. Stays in place until the next shrink. */
const uint32_t *grammar_states_row(struct grammar_states *states, uint32_t state);
uint32_t grammar_states_step_token(struct grammar_states *states, uint32_t state, uint32_t token);
bool grammar_state_is_complete(const struct grammar_states *states, uint32_t state);
/* Bytes that may come next: no other can, not each of these must. */
struct byte_set grammar_state_first(const struct grammar_states *states, uint32_t state);
/* The expressions of a state's items; EXPRESSION_NOTHING for one that waits for a special token. */
size_t grammar_state_n_items(const struct grammar_states *states, uint32_t state);
uint32_t grammar_state_expression(const struct grammar_states *states, uint32_t state, size_t item);
struct expression_pool *grammar_states_pool(const struct grammar_states *states);
bool grammar_state_has_tokens(const struct grammar_states *states, uint32_t state);
/* The special tokens that may come next: appended to *ids (with repetitions). */
void grammar_state_tokens(const struct grammar_states *states, uint32_t state, uint32_t **ids,
                          size_t *n, size_t *capacity);

#endif
