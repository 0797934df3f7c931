/* engine/delivery.c - a choice's deltas wait in its output until the prompt event has gone out;
 * then, and with each token, tell() sends what there is.
 * A callback may submit and abort, which only leaves mail, so nothing here changes under it. */
#include "engine/delivery.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

// For the masks of a step: hundreds of usual ones, a few of the slowest. All sequences of the step
// wait for them, once the model is done with it.
#define MASKS_BUDGET_NS (2 * NS_PER_MS)

static void send(const struct live_request *r, const struct engine_event *event)
{
    r->on_event(r->context, event);
}

static void send_prompt(struct live_request *r)
{
    struct engine_event event = {.type = ENGINE_EVENT_PROMPT, .prompt_tokens = r->n_prompt};
    if (r->want_prompt_ids) {
        event.token_ids = r->prompt;
        event.n_token_ids = r->n_prompt;
    }
    struct token_logprobs *views = NULL;
    if (r->sampling.n_prompt_logprobs >= 0) {
        uint32_t each = (uint32_t)r->sampling.n_prompt_logprobs + 1;
        views = mem_zeroed(r->n_prompt_logprobs, sizeof *views);
        for (uint32_t i = 0; i < r->n_prompt_logprobs; i++)
            views[i] = (struct token_logprobs){r->prompt_logprobs + (size_t)i * each, each};
        event.logprobs = views;
        event.n_logprobs = r->n_prompt_logprobs;
    }
    r->prompt_told = true;
    send(r, &event);
    free(views);
    free(r->prompt_logprobs);
    r->prompt_logprobs = NULL;
}

static void send_finish(struct delivery *d, struct choice *choice)
{
    struct live_request *r = choice->request;
    struct engine_event event = {
        .type = ENGINE_EVENT_FINISH,
        .index = choice->index,
        .reason = choice->reason,
        .matched_id = choice->matched_id,
        .stop_token_id = choice->stop_token_id,
        .stop_string = choice->stop_string,
        .prompt_tokens = r->n_prompt,
        .completion_tokens = choice->n_generated,
        .reasoning_tokens = choice->output.n_reasoning_tokens,
        .queue_ns = r->queue_ns,
    };
    choice->told = true;
    event.last = ++r->n_told == r->n_choices;
    if (event.last)
        d->on_over(d->context, r);
    send(r, &event);
    if (event.last)
        live_request_destroy(r);
}

// Sends what the choice has. The request may be gone afterwards.
static void tell(struct delivery *d, struct choice *choice)
{
    if (!choice->request->prompt_told || choice->told)
        return;
    struct engine_event delta = {.type = ENGINE_EVENT_DELTA, .index = choice->index};
    bool more = true;
    while (more && output_take(&choice->output, &delta)) {
        send(choice->request, &delta);
        more = choice->output.c.reasoning != NULL; // else all is of one kind
    }
    if (choice->ended)
        send_finish(d, choice);
}

// Everything that waited for the prompt event.
static void tell_prompt(struct delivery *d, struct live_request *r)
{
    send_prompt(r);
    bool last = false;
    for (uint32_t i = 0; !last && i < r->n_choices; i++) {
        struct choice *choice = &r->choices[i];
        last = choice->ended && !choice->told && r->n_told + 1 == r->n_choices;
        tell(d, choice);
    }
}

static void end(struct delivery *d, struct choice *choice, enum finish_reason reason)
{
    int32_t stop_string = output_end(&choice->output);
    choice->ended = true;
    choice->reason = reason;
    if (stop_string >= 0 && !choice->matched_id) {
        choice->stop_string = stop_string;
        choice->reason = FINISH_STOP;
    }
    if (choice->sequence)
        scheduler_remove(d->scheduler, choice->sequence);
    choice->sequence = NULL;
}

static void take_token(struct delivery *d, struct choice *choice, uint32_t token,
                       const struct token_logprob *logprobs, uint32_t n_logprobs)
{
    struct live_request *r = choice->request;
    choice->n_generated++;
    d->n_generated_tokens++;
    bool stop_id = live_request_is_stop_id(r, token);
    int32_t stop_string = -1;
    struct pushed_token pushed = {token, stop_id, logprobs, n_logprobs};
    if (!stop_id || r->include_stop)
        stop_string = output_push(&choice->output, &pushed);
    if (stop_id) {
        choice->matched_id = true;
        choice->stop_token_id = token;
        end(d, choice, FINISH_STOP);
    } else if (stop_string >= 0) {
        choice->stop_string = stop_string;
        end(d, choice, FINISH_STOP);
    } else if (choice->n_generated == r->max_tokens) {
        end(d, choice, FINISH_LENGTH);
    }
}

// Nothing else was possible: its logprob is 0, and there are no others.
static void take_forced_token(struct delivery *d, struct choice *choice, uint32_t token)
{
    struct token_logprob logprob = {.token_id = token};
    take_token(d, choice, token, &logprob, choice->output.c.n_logprobs > 0);
}

static void take_tokens(struct delivery *d, struct choice *choice,
                        const struct sequence_output *output)
{
    if (!choice->constraint || !choice_constraint_take(choice->constraint, output->token)) {
        take_token(d, choice, output->token, output->logprobs, output->n_logprobs);
        return;
    }
    take_forced_token(d, choice, output->token);
    for (uint32_t i = 0; !choice->ended && i < output->n_forced; i++)
        take_forced_token(d, choice, output->forced[i]);
}

static void take_prompt_logprobs(struct live_request *r, const struct sequence_output *output)
{
    size_t each = output->n_prompt_top + 1;
    if (!r->prompt_logprobs)
        r->prompt_logprobs = mem_zeroed((r->n_prompt - 1) * each, sizeof *r->prompt_logprobs);
    CHECK(output->first_prompt_token == r->n_prompt_logprobs + 1); // each once, in order
    memcpy(r->prompt_logprobs + r->n_prompt_logprobs * each, output->prompt_logprobs,
           output->n_prompt_rows * each * sizeof *r->prompt_logprobs);
    r->n_prompt_logprobs += output->n_prompt_rows;
}

void delivery_take_output(void *context, void *owner, const struct sequence_output *output)
{
    struct delivery *d = context;
    struct choice *choice = owner;
    struct live_request *r = choice->request;
    if (output->bad_logits) {
        struct error error = {0};
        error_set(&error, STATUS_INTERNAL,
                  "the model's scores for sequence %u after %u tokens are not finite, or every "
                  "token is masked",
                  choice->index, choice->n_generated);
        delivery_fail_request(d, r, &error);
        return;
    }
    if (!r->started) {
        r->started = true;
        if (d->step_began_ns > r->submitted_ns)
            r->queue_ns = d->step_began_ns - r->submitted_ns;
        d->on_started(d->context, r);
    }
    if (output->n_prompt_rows > 0)
        take_prompt_logprobs(r, output);
    if (!output->has_token)
        return;
    take_tokens(d, choice, output);
    if (!r->prompt_told && choice->index == 0) // its prompt is complete
        tell_prompt(d, r);
    else
        tell(d, choice);
}

void delivery_begin_masks(struct delivery *d, uint64_t now_ns)
{
    d->masks_until_ns = now_ns + MASKS_BUDGET_NS;
    d->n_masks = 0;
}

void delivery_take_mask(void *context, void *owner, struct sequence_mask *out)
{
    struct delivery *d = context;
    struct choice *choice = owner;
    struct live_request *r = choice->request;
    if (d->n_masks++ > 0 && clock_now_ns() > d->masks_until_ns) {
        out->kind = STEP_MASK_LATER;
        return;
    }
    enum choice_mask told = choice_constraint_mask(
        choice->constraint, d->encoder, r->max_tokens - choice->n_generated, d->mask_bits, out);
    if (told == CHOICE_MASK_TOLD)
        return;
    if (told == CHOICE_MASK_OVER && choice->n_generated > 0) {
        end(d, choice, FINISH_STOP);
        tell(d, choice);
        return;
    }
    struct error error = {0};
    error_set(
        &error, STATUS_INVALID_ARGUMENT,
        "the grammar allows no token after %u tokens of sequence %u, or is too ambiguous there",
        choice->n_generated, choice->index);
    delivery_fail_request(d, r, &error);
}

void delivery_end_request(struct delivery *d, struct live_request *r, enum finish_reason reason)
{
    r->prompt_told = true; // if it has not gone out, it never will
    bool last = false;
    for (uint32_t i = 0; !last && i < r->n_choices; i++) {
        struct choice *choice = &r->choices[i];
        if (choice->told)
            continue;
        last = r->n_told + 1 == r->n_choices;
        if (!choice->ended)
            end(d, choice, reason);
        tell(d, choice);
    }
}

void delivery_fail_request(struct delivery *d, struct live_request *r, const struct error *error)
{
    for (uint32_t i = 0; i < r->n_choices; i++)
        if (r->choices[i].sequence)
            scheduler_remove(d->scheduler, r->choices[i].sequence);
    d->on_over(d->context, r);
    send(r, &(struct engine_event){.type = ENGINE_EVENT_FAILED, .error = error});
    live_request_destroy(r);
}
