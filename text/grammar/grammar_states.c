/* text/grammar/grammar_states.c - steps. One byte: each item's expression is derived; one that may
 * end there leads on to the next node, and from it to all terminals that may begin (the closure).
 *
 * Rules that are called are entered in the order of their ranks, each once for all who call it.
 * That suffices as a called rule consumes something: nobody returns from it, and calls, at this
 * place. A call whose next node is the END takes its caller's frame: recursion to the right needs
 * no stack. */
#include "text/grammar/grammar_states.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/grammar_tables.h"

#define MAX_ITEMS 1024
#define MAX_VISITED 4096 /* places in one closure */
#define ROWS_IN_BLOCK 32
#define VISITED_SLOTS (MAX_VISITED * 2)
#define OUTSIDE UINT32_MAX    /* the frame behind the root's */
#define TOKENS_BIT (1U << 31) /* item.what: of a node of tokens, not an expression */

struct item {
    uint32_t what, next, frame;
};

struct place {
    uint32_t node, frame;
};

struct waiting { // a call in the closure
    uint32_t rule, next, frame;
};

struct state {
    uint32_t *row; // [256], NULL: no step was made yet
};

struct visited_slot {
    struct place place;
    uint32_t stamp;
};

struct grammar_states {
    struct graph *graph;
    struct list_table frames;     // pairs: node, frame
    struct list_table item_lists; // 1 if complete, then items; the id is the state's
    struct state *states;
    size_t n_states, states_capacity;
    uint32_t **row_blocks; // of ROWS_IN_BLOCK rows each
    size_t n_rows, row_blocks_capacity;
    uint32_t start;
    // One closure:
    struct place *places;
    size_t n_places, places_capacity;
    struct waiting *calls;
    size_t n_calls, calls_capacity;
    struct item *items;
    size_t n_items, items_capacity;
    struct visited_slot *visited; // [VISITED_SLOTS]
    uint32_t stamp, n_visited;
    bool complete;
};

static void add_place(struct grammar_states *s, uint32_t node, uint32_t frame)
{
    mem_reserve(&s->places, &s->places_capacity, s->n_places + 1, sizeof *s->places);
    s->places[s->n_places++] = (struct place){node, frame};
}

static void add_item(struct grammar_states *s, uint32_t what, uint32_t next, uint32_t frame)
{
    mem_reserve(&s->items, &s->items_capacity, s->n_items + 1, sizeof *s->items);
    s->items[s->n_items++] = (struct item){what, next, frame};
}

static void begin_closure(struct grammar_states *s)
{
    s->n_places = s->n_calls = s->n_items = 0;
    s->n_visited = 0;
    s->complete = false;
    if (++s->stamp == 0) {
        memset(s->visited, 0, VISITED_SLOTS * sizeof *s->visited);
        s->stamp = 1;
    }
}

static bool visit(struct grammar_states *s, struct place place)
{
    uint64_t hash = ((uint64_t)place.node << 32 | place.frame) * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(hash >> 40) & (VISITED_SLOTS - 1);
    for (; s->visited[at].stamp == s->stamp; at = (at + 1) & (VISITED_SLOTS - 1))
        if (s->visited[at].place.node == place.node && s->visited[at].place.frame == place.frame)
            return false;
    if (s->n_visited >= MAX_VISITED)
        return false;
    s->visited[at] = (struct visited_slot){place, s->stamp};
    s->n_visited++;
    return true;
}

static void leave_frame(struct grammar_states *s, uint32_t frame)
{
    size_t n;
    const uint32_t *pairs = list_table_get(&s->frames, frame, &n);
    for (size_t i = 0; i < n; i += 2) {
        if (pairs[i + 1] == OUTSIDE)
            s->complete = true;
        else
            add_place(s, pairs[i], pairs[i + 1]);
    }
}

static void expand(struct grammar_states *s, struct place place)
{
    const struct graph *graph = s->graph;
    struct node node = graph->nodes[place.node];
    switch (node.kind) {
    case NODE_END:
        leave_frame(s, place.frame);
        break;
    case NODE_TERM:
        add_item(s, node.a, node.next, place.frame);
        if (expression_is_nullable(graph->pool, node.a))
            add_place(s, node.next, place.frame);
        break;
    case NODE_TOKENS:
        add_item(s, place.node | TOKENS_BIT, node.next, place.frame);
        break;
    case NODE_CALL:
        mem_reserve(&s->calls, &s->calls_capacity, s->n_calls + 1, sizeof *s->calls);
        s->calls[s->n_calls++] = (struct waiting){node.a, node.next, place.frame};
        break;
    default: // NODE_ALT
        for (uint32_t i = 0; i < node.count; i++)
            add_place(s, graph->alternatives[node.a + i], place.frame);
        break;
    }
}

static int by_place(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    if (a->node != b->node)
        return a->node < b->node ? -1 : 1;
    return (a->frame > b->frame) - (a->frame < b->frame);
}

struct place_list {
    struct place *places;
    size_t n, capacity;
};

static void add_return(struct grammar_states *s, struct place_list *list,
                       const struct waiting *waiting)
{
    mem_reserve(&list->places, &list->capacity, list->n + 1, sizeof *list->places);
    if (waiting->next != END_NODE) {
        list->places[list->n++] = (struct place){waiting->next, waiting->frame};
        return;
    }
    size_t n;
    const uint32_t *pairs = list_table_get(&s->frames, waiting->frame, &n);
    mem_reserve(&list->places, &list->capacity, list->n + n / 2, sizeof *list->places);
    for (size_t i = 0; i < n; i += 2)
        list->places[list->n++] = (struct place){pairs[i], pairs[i + 1]};
}

static uint32_t intern_frame(struct grammar_states *s, struct place_list *list)
{
    qsort(list->places, list->n, sizeof *list->places, by_place);
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (n == 0 || by_place(&list->places[n - 1], &list->places[i]) != 0)
            list->places[n++] = list->places[i];
    return list_table_intern(&s->frames, (const uint32_t *)list->places, n * 2);
}

// Enters the lowest ranked of the rules that are waited for.
static void enter_rule(struct grammar_states *s)
{
    const struct rule *rules = s->graph->rules;
    uint32_t lowest = s->calls[0].rule;
    for (size_t i = 1; i < s->n_calls; i++)
        if (rules[s->calls[i].rule].rank < rules[lowest].rank)
            lowest = s->calls[i].rule;
    struct place_list returns = {0};
    size_t n = 0;
    for (size_t i = 0; i < s->n_calls; i++) {
        if (s->calls[i].rule == lowest)
            add_return(s, &returns, &s->calls[i]);
        else
            s->calls[n++] = s->calls[i];
    }
    s->n_calls = n;
    add_place(s, rules[lowest].start, intern_frame(s, &returns));
    free(returns.places);
}

static int by_continuation(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    if (a->next != b->next)
        return a->next < b->next ? -1 : 1;
    if (a->frame != b->frame)
        return a->frame < b->frame ? -1 : 1;
    return (a->what > b->what) - (a->what < b->what);
}

// Items that go on alike become one, whose expression is either's.
static void unite_items(struct grammar_states *s)
{
    struct expression_pool *pool = s->graph->pool;
    if (s->n_items > 1)
        qsort(s->items, s->n_items, sizeof *s->items, by_continuation);
    size_t n = 0;
    for (size_t i = 0, end; i < s->n_items; i = end) {
        struct item item = s->items[i];
        size_t from = pool->n_scratch;
        for (end = i;
             end < s->n_items && s->items[end].next == item.next &&
             s->items[end].frame == item.frame && !((s->items[end].what | item.what) & TOKENS_BIT);
             end++)
            expression_scratch_push(pool, s->items[end].what);
        if (end - i > 1)
            item.what = expression_any_of_scratch(pool, from);
        pool->n_scratch = from;
        if (end == i)
            end++; // of tokens
        if (n == 0 || memcmp(&s->items[n - 1], &item, sizeof item) != 0)
            s->items[n++] = item;
    }
    s->n_items = n;
}

static uint32_t intern_state(struct grammar_states *s)
{
    unite_items(s);
    if (s->n_items == 0 && !s->complete)
        return STATE_DEAD;
    size_t n_words = 1 + s->n_items * 3;
    uint32_t *words = mem_zeroed(n_words, sizeof *words);
    words[0] = s->complete;
    if (s->n_items > 0)
        memcpy(words + 1, s->items, s->n_items * sizeof *s->items);
    uint32_t id = list_table_intern(&s->item_lists, words, n_words);
    free(words);
    if (id == s->n_states) {
        mem_reserve(&s->states, &s->states_capacity, s->n_states + 1, sizeof *s->states);
        s->states[s->n_states++] = (struct state){0};
    }
    return id;
}

static uint32_t finish_closure(struct grammar_states *s)
{
    while (s->n_places > 0 || s->n_calls > 0) {
        if (s->n_places == 0) {
            enter_rule(s);
            continue;
        }
        struct place place = s->places[--s->n_places];
        if (visit(s, place))
            expand(s, place);
    }
    if (s->n_items > MAX_ITEMS || s->n_visited >= MAX_VISITED ||
        expression_pool_overflowed(s->graph->pool))
        return STATE_FAILED;
    return intern_state(s);
}

struct grammar_states *grammar_states_create(struct grammar *grammar)
{
    struct grammar_states *s = mem_zeroed(1, sizeof *s);
    s->graph = &grammar->graph;
    s->visited = mem_zeroed(VISITED_SLOTS, sizeof *s->visited);
    for (uint32_t id = STATE_DEAD; id <= STATE_FAILED; id++) // lists that no state can have
        list_table_intern(&s->item_lists, (uint32_t[]){0, id}, 2);
    mem_reserve(&s->states, &s->states_capacity, 16, sizeof *s->states);
    s->n_states = 2;
    memset(s->states, 0, 2 * sizeof *s->states);
    begin_closure(s);
    uint32_t root = list_table_intern(&s->frames, (uint32_t[]){END_NODE, OUTSIDE}, 2);
    add_place(s, s->graph->start, root);
    s->start = finish_closure(s);
    return s;
}

static void drop_rows(struct grammar_states *s)
{
    for (size_t i = 0; i * ROWS_IN_BLOCK < s->n_rows; i++)
        free(s->row_blocks[i]);
    s->n_rows = 0;
}

void grammar_states_destroy(struct grammar_states *s)
{
    if (!s)
        return;
    list_table_finish(&s->frames);
    list_table_finish(&s->item_lists);
    free(s->states);
    drop_rows(s);
    free(s->row_blocks);
    free(s->places);
    free(s->calls);
    free(s->items);
    free(s->visited);
    free(s);
}

size_t grammar_states_n_bytes(const struct grammar_states *s)
{
    if (!s)
        return 0;
    return sizeof *s + list_table_n_bytes(&s->frames) + list_table_n_bytes(&s->item_lists) +
           s->states_capacity * sizeof *s->states + s->n_rows * 256 * sizeof(uint32_t) +
           VISITED_SLOTS * sizeof *s->visited;
}

uint32_t grammar_states_start(const struct grammar_states *s)
{
    return s->start;
}

// Valid until the next state is made.
static const struct item *items_of(const struct grammar_states *s, uint32_t state, size_t *out_n)
{
    size_t n_words;
    const uint32_t *words = list_table_get(&s->item_lists, state, &n_words);
    *out_n = n_words / 3;
    return (const struct item *)(words + 1);
}

bool grammar_state_is_complete(const struct grammar_states *s, uint32_t state)
{
    size_t n_words;
    return list_table_get(&s->item_lists, state, &n_words)[0] == 1;
}

uint32_t grammar_states_n(const struct grammar_states *s)
{
    return (uint32_t)s->n_states;
}

static bool is_kept(const struct grammar_states *s, const bool *keep, uint32_t state)
{
    return state <= STATE_FAILED || state == s->start || keep[state];
}

// Keeps the frames that kept states have, and those that these return to: they are older.
static uint32_t *renumber_frames(struct grammar_states *s, const bool *keep)
{
    uint32_t *new_frames = mem_zeroed(s->frames.n, sizeof *new_frames); // first: 1 to be kept
    size_t n;
    new_frames[0] = 1; // the root
    for (uint32_t state = STATE_FAILED + 1; state < s->n_states; state++) {
        const struct item *items = items_of(s, state, &n);
        for (size_t i = 0; is_kept(s, keep, state) && i < n; i++)
            new_frames[items[i].frame] = 1;
    }
    for (uint32_t frame = (uint32_t)s->frames.n; frame-- > 0;) {
        const uint32_t *pairs = list_table_get(&s->frames, frame, &n);
        for (size_t i = 1; new_frames[frame] && i < n; i += 2)
            if (pairs[i] != OUTSIDE)
                new_frames[pairs[i]] = 1;
    }
    struct list_table kept = {0};
    for (uint32_t frame = 0; frame < s->frames.n; frame++) {
        uint32_t *pairs = s->frames.words + (frame ? s->frames.ends[frame - 1] : 0);
        list_table_get(&s->frames, frame, &n);
        for (size_t i = 1; new_frames[frame] && i < n; i += 2)
            pairs[i] = pairs[i] == OUTSIDE ? OUTSIDE : new_frames[pairs[i]];
        if (new_frames[frame])
            new_frames[frame] = list_table_intern(&kept, pairs, n);
    }
    list_table_finish(&s->frames);
    s->frames = kept;
    return new_frames;
}

void grammar_states_shrink(struct grammar_states *s, const bool *keep, uint32_t *new_ids)
{
    uint32_t *new_frames = renumber_frames(s, keep);
    struct list_table kept = {0};
    uint32_t start = s->start;
    for (uint32_t state = 0; state < s->n_states; state++) {
        if (!is_kept(s, keep, state))
            continue;
        size_t n_words;
        list_table_get(&s->item_lists, state, &n_words);
        uint32_t *words = s->item_lists.words + (state ? s->item_lists.ends[state - 1] : 0);
        for (size_t i = 3; state > STATE_FAILED && i < n_words; i += 3)
            words[i] = new_frames[words[i]];
        new_ids[state] = list_table_intern(&kept, words, n_words);
        if (state == start)
            s->start = new_ids[state];
    }
    free(new_frames);
    list_table_finish(&s->item_lists);
    s->item_lists = kept;
    drop_rows(s);
    s->n_states = kept.n;
    memset(s->states, 0, s->n_states * sizeof *s->states);
}

static uint32_t make_step(struct grammar_states *s, uint32_t state, uint8_t byte,
                          struct byte_set *out_class)
{
    struct expression_pool *pool = s->graph->pool;
    memset(out_class, 0xFF, sizeof *out_class);
    begin_closure(s);
    size_t n;
    const struct item *items = items_of(s, state, &n);
    for (size_t i = 0; i < n; i++) {
        struct item item = items[i];
        if (item.what & TOKENS_BIT)
            continue;
        struct byte_set class;
        uint32_t derived =
            expression_checked(pool, expression_derive_class(pool, item.what, byte, &class));
        byte_set_keep(out_class, &class);
        if (derived == EXPRESSION_NOTHING)
            continue;
        if (derived != EXPRESSION_EMPTY)
            add_item(s, derived, item.next, item.frame);
        if (expression_is_nullable(pool, derived))
            add_place(s, item.next, item.frame);
    }
    return finish_closure(s);
}

static uint32_t *add_row(struct grammar_states *s)
{
    size_t block = s->n_rows / ROWS_IN_BLOCK, at = s->n_rows % ROWS_IN_BLOCK * 256;
    if (at == 0) {
        mem_reserve(&s->row_blocks, &s->row_blocks_capacity, block + 1, sizeof *s->row_blocks);
        s->row_blocks[block] = mem_resized(NULL, (size_t)ROWS_IN_BLOCK * 256, sizeof(uint32_t));
    }
    s->n_rows++;
    return memset(s->row_blocks[block] + at, 0xFF, 256 * sizeof(uint32_t));
}

const uint32_t *grammar_states_row(struct grammar_states *s, uint32_t state)
{
    if (!s->states[state].row)
        s->states[state].row = add_row(s);
    return s->states[state].row;
}

uint32_t grammar_states_step(struct grammar_states *s, uint32_t state, uint8_t byte)
{
    if (state <= STATE_FAILED)
        return state;
    uint32_t known = grammar_states_row(s, state)[byte];
    if (known != STATE_UNKNOWN)
        return known;
    struct byte_set class;
    uint32_t target = make_step(s, state, byte, &class);
    uint32_t *row = s->states[state].row;
    for (unsigned i = 0; i < 256; i++)
        if (byte_set_has(&class, (uint8_t)i))
            row[i] = target;
    return target;
}

static bool has_token(const struct graph *graph, const struct node *node, uint32_t token)
{
    for (uint32_t i = 0; i < node->count; i++)
        if (graph->token_ids[node->a + i] == token)
            return true;
    return false;
}

uint32_t grammar_states_step_token(struct grammar_states *s, uint32_t state, uint32_t token)
{
    if (state <= STATE_FAILED)
        return state;
    begin_closure(s);
    size_t n;
    const struct item *items = items_of(s, state, &n);
    for (size_t i = 0; i < n; i++)
        if ((items[i].what & TOKENS_BIT) &&
            has_token(s->graph, &s->graph->nodes[items[i].what & ~TOKENS_BIT], token))
            add_place(s, items[i].next, items[i].frame);
    return finish_closure(s);
}

struct byte_set grammar_state_first(const struct grammar_states *s, uint32_t state)
{
    struct byte_set first = {{0}};
    size_t n = 0;
    const struct item *items = state > STATE_FAILED ? items_of(s, state, &n) : NULL;
    for (size_t i = 0; i < n; i++)
        if (!(items[i].what & TOKENS_BIT))
            byte_set_unite(&first, expression_first(s->graph->pool, items[i].what));
    return first;
}

size_t grammar_state_n_items(const struct grammar_states *s, uint32_t state)
{
    size_t n = 0;
    if (state > STATE_FAILED)
        items_of(s, state, &n);
    return n;
}

uint32_t grammar_state_expression(const struct grammar_states *s, uint32_t state, size_t item)
{
    size_t n;
    uint32_t what = items_of(s, state, &n)[item].what;
    return what & TOKENS_BIT ? EXPRESSION_NOTHING : what;
}

struct expression_pool *grammar_states_pool(const struct grammar_states *s)
{
    return s->graph->pool;
}

bool grammar_state_has_tokens(const struct grammar_states *s, uint32_t state)
{
    size_t n = 0;
    const struct item *items = state > STATE_FAILED ? items_of(s, state, &n) : NULL;
    for (size_t i = 0; i < n; i++)
        if (items[i].what & TOKENS_BIT)
            return true;
    return false;
}

void grammar_state_tokens(const struct grammar_states *s, uint32_t state, uint32_t **ids,
                          size_t *n_ids, size_t *capacity)
{
    size_t n = 0;
    const struct item *items = state > STATE_FAILED ? items_of(s, state, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        if (!(items[i].what & TOKENS_BIT))
            continue;
        const struct node *node = &s->graph->nodes[items[i].what & ~TOKENS_BIT];
        mem_reserve(ids, capacity, *n_ids + node->count, sizeof **ids);
        memcpy(*ids + *n_ids, s->graph->token_ids + node->a, node->count * sizeof **ids);
        *n_ids += node->count;
    }
}
