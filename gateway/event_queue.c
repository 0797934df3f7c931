/* gateway/event_queue.c - order is kept where a client can see it: within a sequence. A delta may
 * be merged into one of its sequence that waits before other sequences' events, because sequences
 * are independent; a finish closes its sequence's delta.
 * Invariant: n_bytes is the sum over the events that wait. */
#include "gateway/event_queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A message that is merged grows to about this and no further: clients have limits too. */
#define MAX_MERGED_BYTES ((size_t)1 << 20)

void event_queue_init(struct event_queue *queue, uint32_t n_sequences, size_t max_bytes)
{
    *queue = (struct event_queue){.n_sequences = n_sequences, .max_bytes = max_bytes};
    queue->last = &queue->first;
    queue->open = mem_zeroed(n_sequences, sizeof(struct queued_event *));
}

void queued_event_destroy(struct queued_event *event)
{
    if (!event)
        return;
    text_buffer_finish(&event->text);
    free(event->token_ids);
    free(event->n_entries);
    free(event->entries);
    free(event);
}

void event_queue_finish(struct event_queue *queue)
{
    struct queued_event *event;
    while ((event = event_queue_pop(queue)))
        queued_event_destroy(event);
    free(queue->open);
    queue->open = NULL;
}

static size_t event_bytes(const struct engine_event *event)
{
    size_t n = event->text_length + event->n_token_ids * sizeof *event->token_ids;
    for (size_t i = 0; i < event->n_logprobs; i++)
        n += sizeof(uint32_t) + event->logprobs[i].n * sizeof(struct token_logprob);
    return n;
}

static void append(struct queued_event *to, const struct engine_event *from)
{
    if (from->text_length > 0)
        text_buffer_append(&to->text, from->text, from->text_length);
    size_t n_ids = to->event.n_token_ids + from->n_token_ids;
    mem_reserve(&to->token_ids, &to->token_ids_capacity, n_ids, sizeof *to->token_ids);
    if (from->n_token_ids > 0)
        memcpy(to->token_ids + to->event.n_token_ids, from->token_ids,
               from->n_token_ids * sizeof *to->token_ids);
    to->event.n_token_ids = n_ids;
    for (size_t i = 0; i < from->n_logprobs; i++) {
        const struct token_logprobs *token = &from->logprobs[i];
        mem_reserve(&to->n_entries, &to->n_entries_capacity, to->event.n_logprobs + 1,
                    sizeof *to->n_entries);
        mem_reserve(&to->entries, &to->entries_capacity, to->n_all_entries + token->n,
                    sizeof *to->entries);
        to->n_entries[to->event.n_logprobs++] = token->n;
        if (token->n > 0)
            memcpy(to->entries + to->n_all_entries, token->entries, token->n * sizeof *to->entries);
        to->n_all_entries += token->n;
    }
}

static struct queued_event *add(struct event_queue *queue, const struct engine_event *event)
{
    struct queued_event *added = mem_zeroed(1, sizeof *added);
    added->event = *event;
    added->event.token_ids = NULL;
    added->event.n_token_ids = 0;
    added->event.logprobs = NULL;
    added->event.n_logprobs = 0;
    added->event.text = NULL;
    *queue->last = added;
    queue->last = &added->next;
    return added;
}

bool event_queue_push(struct event_queue *queue, const struct engine_event *event)
{
    CHECK(event->index < queue->n_sequences);
    struct queued_event **open = &queue->open[event->index];
    bool is_delta = event->type == ENGINE_EVENT_DELTA;
    struct queued_event *to = is_delta ? *open : NULL;
    size_t n = event_bytes(event);
    if (to && (to->event.kind != event->kind || to->n_bytes + n > MAX_MERGED_BYTES))
        to = NULL;
    if (!to)
        n += sizeof *to;
    // As large as its request made it, once, with the first delta right behind it.
    if (event->type == ENGINE_EVENT_PROMPT)
        n = 0;
    if (queue->first && (n > queue->max_bytes || queue->n_bytes > queue->max_bytes - n))
        return false;
    if (!to)
        to = add(queue, event);
    if (event->type != ENGINE_EVENT_PROMPT)
        *open = is_delta ? to : NULL;
    append(to, event);
    to->n_bytes += n;
    queue->n_bytes += n;
    return true;
}

struct queued_event *event_queue_pop(struct event_queue *queue)
{
    struct queued_event *event = queue->first;
    if (!event)
        return NULL;
    queue->first = event->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->n_bytes -= event->n_bytes;
    if (queue->open[event->event.index] == event)
        queue->open[event->event.index] = NULL;
    return event;
}
