/* gateway/event_queue.h - what one client has not read yet of its request's events.
 *
 * Deltas of one sequence and kind that follow each other are merged while they wait, so a slow
 * client gets fewer and larger messages; the bound is on the bytes of all events but the prompt's.
 * Thread: the owner locks. */
#ifndef GEMMAD_GATEWAY_EVENT_QUEUE_H
#define GEMMAD_GATEWAY_EVENT_QUEUE_H

#include "base/text_buffer.h"
#include "engine/request.h"

/* A copy of an engine_event of type PROMPT, DELTA or FINISH. */
struct queued_event {
    struct queued_event *next;
    struct engine_event event; /* without what it pointed to, which follows */
    struct text_buffer text;
    uint32_t *token_ids; /* [event.n_token_ids] */
    size_t token_ids_capacity;
    uint32_t *n_entries; /* [event.n_logprobs]: entries of each token */
    size_t n_entries_capacity;
    struct token_logprob *entries; /* [n_all_entries], by token */
    size_t n_all_entries, entries_capacity;
    size_t n_bytes; /* that count */
};

struct event_queue {
    struct queued_event *first, **last;
    struct queued_event **open; /* [n_sequences]: the delta to merge into, or NULL */
    uint32_t n_sequences;
    size_t n_bytes, max_bytes;
};

void event_queue_init(struct event_queue *queue, uint32_t n_sequences, size_t max_bytes);
void event_queue_finish(struct event_queue *queue);

/* Copies the event. False: more than max_bytes would wait (one event alone always may). */
NODISCARD bool event_queue_push(struct event_queue *queue, const struct engine_event *event);
/* The next one, which the caller destroys; NULL: none. */
struct queued_event *event_queue_pop(struct event_queue *queue);
void queued_event_destroy(struct queued_event *event);

#endif
