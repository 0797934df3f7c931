/* gateway/media_prompt.c - a placeholder behind its begin token is a run that somebody expanded,
 * and must be exactly as long as its soft tokens; any other one is bare. */
#include "gateway/media_prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define N_KINDS (MEDIA_AUDIO + 1)

struct kind_ids {
    uint32_t begin, soft, end;
};

static struct kind_ids ids_of(const struct gateway_model *model, enum media_kind kind)
{
    const struct media_token_ids *t = &model->media_token_ids;
    switch (kind) {
    case MEDIA_IMAGE:
        return (struct kind_ids){t->boi_token_id, t->image_token_id, t->eoi_token_id};
    case MEDIA_VIDEO:
        return (struct kind_ids){t->boi_token_id, t->video_token_id, t->eoi_token_id};
    case MEDIA_AUDIO:
        break;
    }
    return (struct kind_ids){t->boa_token_id, t->audio_token_id, t->eoa_token_id};
}

static bool is_soft(const struct gateway_model *model, uint32_t id, enum media_kind *out)
{
    for (enum media_kind kind = MEDIA_IMAGE; kind <= MEDIA_AUDIO && id != TOKEN_NONE; kind++)
        if (id == ids_of(model, kind).soft) {
            *out = kind;
            return true;
        }
    return false;
}

static enum status wrong_count(enum media_kind kind, size_t n_prompt, size_t n_media,
                               struct error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "prompt: it has %zu places for %s, but the request brings %zu", n_prompt,
                     media_kind_name(kind), n_media);
}

// An added token of a rendered text that the server wrote.
struct text_token {
    size_t start, length;
    uint32_t id;
};

// Goes through them.
struct text_scan {
    const struct gateway_model *model;
    const struct template_output *rendered;
    size_t span, span_start, at;
};

static bool next_token(struct text_scan *scan, struct text_token *out)
{
    for (; scan->span < scan->rendered->n_spans; scan->span++) {
        const struct template_span *span = &scan->rendered->spans[scan->span];
        size_t end = scan->span_start + span->length;
        if (!span->from_client &&
            tokenizer_find_added(scan->model->tokenizer, scan->rendered->text, end, scan->at,
                                 &out->start, &out->length, &out->id)) {
            scan->at = out->start + out->length;
            return true;
        }
        scan->span_start = scan->at = end;
    }
    return false;
}

enum status media_prompt_check(const struct gateway_model *model,
                               const struct template_output *rendered,
                               const struct media_sources *sources, struct error *err)
{
    size_t n_places[N_KINDS] = {0};
    size_t n_sources[N_KINDS] = {0};
    struct text_scan scan = {.model = model, .rendered = rendered};
    struct text_token token;
    enum media_kind kind;
    while (next_token(&scan, &token))
        if (is_soft(model, token.id, &kind))
            n_places[kind]++;
    for (size_t i = 0; i < sources->n; i++)
        n_sources[sources->items[i].kind]++;
    for (kind = MEDIA_IMAGE; kind < N_KINDS; kind++)
        if (n_places[kind] != n_sources[kind])
            return wrong_count(kind, n_places[kind], n_sources[kind], err);
    return STATUS_OK;
}

// The i-th medium of a kind from *next on, which is then the one behind it; NULL: none is left.
static struct media *take_medium(const struct media_list *media, enum media_kind kind, size_t *next)
{
    while (*next < media->n && media->items[*next]->kind != kind)
        ++*next;
    return *next < media->n ? media->items[(*next)++] : NULL;
}

static void append_time(struct text_buffer *out, const struct media *video, uint32_t frame)
{
    uint32_t s = video->parts[frame].timestamp_s;
    text_buffer_append_format(out, "%s%02u:%02u ", frame ? " " : "", s / 60, s % 60);
}

static void append_token(struct text_buffer *out, const struct gateway_model *model, uint32_t id)
{
    size_t n;
    bool is_byte;
    const char *bytes = tokenizer_token_bytes(model->tokenizer, id, &n, &is_byte);
    text_buffer_append(out, bytes, n);
}

static void append_frames(struct text_buffer *out, const struct gateway_model *model,
                          const struct media *video)
{
    struct kind_ids ids = ids_of(model, MEDIA_VIDEO);
    for (uint32_t i = 0; i < video->n_parts; i++) {
        append_time(out, video, i);
        append_token(out, model, ids.begin);
        for (uint32_t k = 0; k < video->parts[i].n_tokens; k++)
            append_token(out, model, ids.soft);
        append_token(out, model, ids.end);
    }
}

void media_prompt_write_videos(const struct gateway_model *model, const struct media_list *media,
                               struct template_output *rendered)
{
    struct kind_ids ids = ids_of(model, MEDIA_VIDEO);
    struct text_scan scan = {.model = model, .rendered = rendered};
    struct text_token token, last = {.id = TOKEN_NONE};
    struct text_buffer out = {0};
    size_t *n_grown = mem_zeroed(rendered->n_spans, sizeof *n_grown);
    size_t next = 0, copied = 0;
    bool in_run = false; // last is of a frame that is expanded already
    for (; next_token(&scan, &token); last = token) {
        in_run = last.start + last.length == token.start &&
                 (last.id == ids.begin || (in_run && last.id == ids.soft));
        if (token.id != ids.soft || in_run)
            continue;
        const struct media *video = take_medium(media, MEDIA_VIDEO, &next);
        if (!video)
            continue;
        text_buffer_append(&out, rendered->text + copied, token.start - copied);
        size_t n_before = out.length;
        append_frames(&out, model, video);
        n_grown[scan.span] += out.length - n_before - token.length;
        copied = token.start + token.length;
    }
    text_buffer_append(&out, rendered->text + copied, rendered->length - copied);
    for (size_t i = 0; i < rendered->n_spans; i++)
        rendered->spans[i].length += n_grown[i]; // wraps round where it became shorter
    free(n_grown);
    free(rendered->text);
    rendered->length = out.length;
    rendered->text = text_buffer_release(&out);
}

// Puts the parts of media into ids.
struct placer {
    const struct gateway_model *model;
    struct tokenizer_encoder *encoder;
    const struct media_list *media;
    const uint32_t *ids; // [n]
    size_t n;
    struct token_list *list;
    struct request_part *parts; // [n_parts]
    size_t n_parts, parts_capacity;
    size_t next[N_KINDS];     // take_medium's
    struct media *video;      // of which frames are taken one by one, or NULL
    uint32_t frame;           // the next of them
    size_t n_places[N_KINDS]; // so far; frames that stand by themselves are counted by their video
    struct error *err;
};

static void add_ids(struct placer *p, uint32_t id, size_t n)
{
    struct token_list *list = p->list;
    mem_reserve(&list->ids, &list->capacity, list->n + n, sizeof *list->ids);
    for (size_t i = 0; i < n; i++)
        list->ids[list->n++] = id;
}

static void add_part(struct placer *p, struct media *medium, uint32_t part, uint32_t soft_id)
{
    mem_reserve(&p->parts, &p->parts_capacity, p->n_parts + 1, sizeof *p->parts);
    p->parts[p->n_parts++] =
        (struct request_part){.media = medium, .part = part, .first = (uint32_t)p->list->n};
    add_ids(p, soft_id, medium->parts[part].n_tokens);
}

static size_t count_media(const struct placer *p, enum media_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < p->media->n; i++)
        n += p->media->items[i]->kind == kind;
    return n;
}

static enum status wrong_frame(struct placer *p, size_t at)
{
    return error_set(p->err, STATUS_INVALID_ARGUMENT,
                     "prompt: token %zu: %u of a video's %u frames stand before it", at, p->frame,
                     p->video->n_parts);
}

// A bare placeholder at ids[at].
static enum status place_bare(struct placer *p, enum media_kind kind, size_t at)
{
    struct kind_ids ids = ids_of(p->model, kind);
    if (kind == MEDIA_VIDEO && p->video)
        return wrong_frame(p, at);
    struct media *medium = take_medium(p->media, kind, &p->next[kind]);
    for (uint32_t i = 0; medium && i < medium->n_parts; i++) {
        struct text_buffer time = {0};
        if (kind == MEDIA_VIDEO) {
            append_time(&time, medium, i);
            tokenizer_encode(p->encoder, time.data, time.length, false, &p->list->ids, &p->list->n,
                             &p->list->capacity);
        }
        text_buffer_finish(&time);
        add_ids(p, ids.begin, 1);
        add_part(p, medium, i, ids.soft);
        add_ids(p, ids.end, 1);
    }
    p->n_places[kind]++;
    return STATUS_OK;
}

// The medium and the part that an expanded run stands for; NULL: too many.
static struct media *take_part(struct placer *p, enum media_kind kind, uint32_t *part)
{
    *part = 0;
    if (kind != MEDIA_VIDEO) {
        p->n_places[kind]++;
        return take_medium(p->media, kind, &p->next[kind]);
    }
    if (!p->video) {
        p->n_places[kind]++;
        p->video = take_medium(p->media, kind, &p->next[kind]);
        p->frame = 0;
    }
    struct media *video = p->video;
    if (video) {
        *part = p->frame++;
        if (p->frame == video->n_parts)
            p->video = NULL;
    }
    return video;
}

// ids[*at] and those behind it, behind a begin token.
static enum status place_run(struct placer *p, enum media_kind kind, size_t *at)
{
    struct kind_ids ids = ids_of(p->model, kind);
    size_t n = 0;
    while (*at + n < p->n && p->ids[*at + n] == ids.soft)
        n++;
    uint32_t part;
    struct media *medium = take_part(p, kind, &part);
    size_t wanted = medium ? medium->parts[part].n_tokens : n;
    if (n != wanted)
        return error_set(p->err, STATUS_INVALID_ARGUMENT,
                         "prompt: token %zu: %zu tokens for %s, which takes %zu", *at, n,
                         media_kind_name(kind), wanted);
    if (*at + n == p->n || p->ids[*at + n] != ids.end)
        return error_set(p->err, STATUS_INVALID_ARGUMENT,
                         "prompt: token %zu must be %u, the end of %s", *at + n, ids.end,
                         media_kind_name(kind));
    if (medium)
        add_part(p, medium, part, ids.soft);
    *at += n;
    return STATUS_OK;
}

static enum status place_all(struct placer *p)
{
    enum status st = STATUS_OK;
    for (size_t i = 0; i < p->n && st == STATUS_OK;) {
        enum media_kind kind;
        if (!is_soft(p->model, p->ids[i], &kind)) {
            add_ids(p, p->ids[i++], 1);
        } else if (i > 0 && p->ids[i - 1] == ids_of(p->model, kind).begin) {
            st = place_run(p, kind, &i);
        } else {
            st = place_bare(p, kind, i);
            i++;
        }
    }
    for (enum media_kind kind = MEDIA_IMAGE; kind < N_KINDS && st == STATUS_OK; kind++)
        if (p->n_places[kind] != count_media(p, kind))
            st = wrong_count(kind, p->n_places[kind], count_media(p, kind), p->err);
    if (st == STATUS_OK && p->video)
        st = wrong_frame(p, p->n);
    return st;
}

enum status media_prompt_place(const struct gateway_model *model, struct tokenizer_encoder *encoder,
                               const struct media_list *media, const uint32_t *ids, size_t n,
                               struct token_list *list, struct request_part **out_parts,
                               size_t *out_n_parts, struct error *err)
{
    struct placer p = {.model = model,
                       .encoder = encoder,
                       .media = media,
                       .ids = ids,
                       .n = n,
                       .list = list,
                       .err = err};
    enum status st = place_all(&p);
    if (st != STATUS_OK) {
        free(p.parts);
        return st;
    }
    *out_parts = p.parts;
    *out_n_parts = p.n_parts;
    return STATUS_OK;
}
