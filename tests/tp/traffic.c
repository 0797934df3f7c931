/* tests/tp/traffic.c - the expected sum is made by recursion over volatile floats: the tree as
 * defined, in code that shares nothing with tp/tree_sum.c and that no compiler may reorder. */
#include "tests/test.h"

#include "tests/tp/traffic.h"
#include "tp/comm_shared.h"

// Signs, zeros of both signs, subnormals, and exponents far enough apart that order matters.
static float random_float(uint64_t *state)
{
    uint64_t random = test_random(state);
    uint32_t sign = (uint32_t)(random & 1) << 31, mantissa = (uint32_t)(random >> 8) & 0x7FFFFF;
    uint32_t exponent = 112 + (uint32_t)(random >> 32) % 32;
    if ((random >> 40 & 15) == 0)
        exponent = 0;
    if ((random >> 44 & 15) == 0)
        exponent = mantissa = 0;
    uint32_t bits = sign | exponent << 23 | mantissa;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t contents_seed(const struct traffic *traffic, uint64_t call, uint32_t rank)
{
    return traffic->seed * 1000003 + call * 8 + rank;
}

static void fill_floats(float *out, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        out[i] = random_float(&seed);
}

static void fill_bytes(unsigned char *out, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)test_random(&seed);
}

static float tree(const volatile float *leaves, uint32_t n)
{
    if (n == 1)
        return leaves[0];
    volatile float left = tree(leaves, n / 2), right = tree(leaves + n / 2, n / 2);
    return left + right;
}

struct call {
    uint64_t number;
    size_t n;
    uint32_t root;
    unsigned char *sent;     /* room for the largest call of one rank */
    unsigned char *received; /* and for that of all ranks, with a guard behind */
};

#define GUARD_BYTES 64

static bool guard_is_whole(const unsigned char *end)
{
    for (int i = 0; i < GUARD_BYTES; i++)
        if (end[i] != 0xA5)
            return false;
    return true;
}

enum algorithm { CHOSEN, ONE_SHOT, TWO_SHOT };

static enum status reduce_by(struct tp_comm *comm, enum algorithm algorithm, float *data, size_t n,
                             struct error *err)
{
    if (algorithm == CHOSEN)
        return tp_all_reduce(comm, data, n, err);
    enum status st = comm_begin(comm, COLLECTIVE_ALL_REDUCE, 0, n * sizeof *data, err);
    if (st != STATUS_OK)
        return st;
    return algorithm == ONE_SHOT ? comm_all_reduce_one_shot(comm, data, n, err)
                                 : comm_all_reduce_two_shot(comm, data, n, err);
}

static bool run_all_reduce(struct tp_comm *comm, const struct traffic *traffic,
                           const struct call *call, enum algorithm algorithm)
{
    struct error err = {0};
    float *data = (float *)call->received;
    uint64_t seeds[WORLD_MAX_RANKS];
    for (uint32_t r = 0; r < tp_world_size(comm); r++)
        seeds[r] = contents_seed(traffic, call->number, r);
    fill_floats(data, call->n, seeds[tp_rank(comm)]);
    memset(data + call->n, 0xA5, GUARD_BYTES);
    RANK_OK(comm, reduce_by(comm, algorithm, data, call->n, &err), err);
    for (size_t i = 0; i < call->n; i++) {
        float leaves[WORLD_MAX_RANKS];
        for (uint32_t r = 0; r < tp_world_size(comm); r++)
            leaves[r] = random_float(&seeds[r]);
        float want = tree(leaves, tp_world_size(comm));
        if (memcmp(&data[i], &want, sizeof want) != 0)
            RANK_FAIL(comm, "all_reduce #%" PRIu64 " (algorithm %d): [%zu] of %zu is %a, want %a",
                      call->number, algorithm, i, call->n, (double)data[i], (double)want);
    }
    RANK_ASSERT(comm, guard_is_whole((unsigned char *)(data + call->n)));
    return true;
}

// Rows of odd widths, some without any column on some ranks; every third call of the root hands in
// its own part where it belongs.
static bool run_gather(struct tp_comm *comm, const struct traffic *traffic, const struct call *call)
{
    struct error err = {0};
    uint32_t world = tp_world_size(comm), rank = tp_rank(comm), columns[WORLD_MAX_RANKS + 1] = {0};
    size_t widest = call->n / sizeof(float) / (1 + call->number % 3);
    for (uint32_t r = 0; r < world; r++)
        columns[r + 1] = columns[r] + (uint32_t)(widest * ((r + call->number) % 4 + 1) / 4);
    size_t stride = columns[world] + 1, width = columns[rank + 1] - columns[rank];
    size_t n_rows = widest ? call->n / sizeof(float) / widest : 3;
    while (n_rows > 0 && n_rows * stride > call->n / sizeof(float) * world)
        n_rows--;
    float *out = (float *)call->received, *in = (float *)call->sent;
    bool in_place = rank == call->root && call->number % 3 == 0;
    size_t in_stride = in_place ? stride : width;
    if (in_place)
        in = out + columns[rank];
    for (size_t row = 0; row < n_rows; row++)
        fill_floats(in + row * in_stride, width,
                    contents_seed(traffic, call->number, rank) + row * 977);
    memset(out + n_rows * stride, 0xA5, GUARD_BYTES);
    RANK_OK(comm,
            tp_gather_columns(comm, call->root, in, in_stride, n_rows, columns,
                              rank == call->root ? out : NULL, stride, &err),
            err);
    RANK_ASSERT(comm, guard_is_whole((unsigned char *)(out + n_rows * stride)));
    for (size_t i = 0; rank == call->root && i < n_rows * world; i++) {
        uint32_t r = (uint32_t)(i % world);
        size_t row = i / world;
        uint64_t seed = contents_seed(traffic, call->number, r) + row * 977;
        for (uint32_t c = columns[r]; c < columns[r + 1]; c++) {
            float want = random_float(&seed);
            if (memcmp(&out[row * stride + c], &want, sizeof want) != 0)
                RANK_FAIL(comm, "gather #%" PRIu64 " of %zu rows: row %zu, column %u is wrong",
                          call->number, n_rows, row, c);
        }
    }
    return true;
}

static bool run_broadcast(struct tp_comm *comm, const struct traffic *traffic,
                          const struct call *call)
{
    struct error err = {0};
    size_t n = call->n;
    fill_bytes(call->received, n, contents_seed(traffic, call->number, tp_rank(comm)));
    memset(call->received + n, 0xA5, GUARD_BYTES);
    RANK_OK(comm, tp_broadcast(comm, call->root, call->received, n, &err), err);
    fill_bytes(call->sent, n, contents_seed(traffic, call->number, call->root));
    if (n && memcmp(call->received, call->sent, n) != 0)
        RANK_FAIL(comm, "broadcast #%" PRIu64 " of %zu bytes from %u is wrong", call->number, n,
                  call->root);
    RANK_ASSERT(comm, guard_is_whole(call->received + n));
    return true;
}

// Parts of unlike lengths, some of them empty.
static bool run_all_gather(struct tp_comm *comm, const struct traffic *traffic,
                           const struct call *call)
{
    struct error err = {0};
    size_t offsets[9] = {0};
    for (uint32_t r = 0; r < tp_world_size(comm); r++)
        offsets[r + 1] = offsets[r] + (r == call->root ? 0 : call->n / (r + 1));
    size_t n = offsets[tp_world_size(comm)], begin = offsets[tp_rank(comm)];
    memset(call->received, 0x77, n);
    memset(call->received + n, 0xA5, GUARD_BYTES);
    fill_bytes(call->received + begin, offsets[tp_rank(comm) + 1] - begin,
               contents_seed(traffic, call->number, tp_rank(comm)));
    RANK_OK(comm, tp_all_gather(comm, call->received, offsets, &err), err);
    for (uint32_t r = 0; r < tp_world_size(comm); r++) {
        size_t part = offsets[r + 1] - offsets[r];
        fill_bytes(call->sent, part, contents_seed(traffic, call->number, r));
        if (part && memcmp(call->received + offsets[r], call->sent, part) != 0)
            RANK_FAIL(comm, "all_gather #%" PRIu64 ": rank %u's %zu bytes are wrong", call->number,
                      r, part);
    }
    RANK_ASSERT(comm, guard_is_whole(call->received + n));
    return true;
}

static struct call call_new(const struct tp_comm *comm, const struct traffic *traffic)
{
    size_t bytes = traffic->max_floats * sizeof(float);
    struct call call = {.sent = malloc(bytes + GUARD_BYTES),
                        .received = malloc(bytes * tp_world_size(comm) + GUARD_BYTES)};
    CHECK(call.sent && call.received);
    return call;
}

static void call_finish(struct call *call)
{
    free(call->sent);
    free(call->received);
}

// Mostly small, as in decoding; now and then around or over the size of a message buffer.
static size_t random_size(uint64_t *state, const struct world *world)
{
    static const size_t sizes[] = {0, 1, 2, 7, 15, 16, 17, 63, 64, 65, 255, 1000};
    const struct traffic *traffic = world->context;
    uint64_t choice = test_random_in(state, 0, 15);
    if (choice < 12)
        return sizes[choice] < traffic->max_floats ? sizes[choice] : traffic->max_floats;
    size_t piece = world->max_message_bytes / sizeof(float);
    size_t n = piece * test_random_in(state, 1, 3) - 2 + test_random_in(state, 0, 4);
    return choice < 14 && n < traffic->max_floats ? n
                                                  : test_random_in(state, 0, traffic->max_floats);
}

bool traffic_mixed(struct tp_comm *comm, const struct world *world)
{
    const struct traffic *traffic = world->context;
    uint64_t state = traffic->seed;
    struct call call = call_new(comm, traffic);
    bool right = true;
    for (call.number = 0; right && call.number < traffic->n_calls; call.number++) {
        call.n = random_size(&state, world);
        call.root = (uint32_t)test_random_in(&state, 0, world->world_size - 1);
        struct error err = {0};
        switch (test_random_in(&state, 0, 7)) {
        case 0:
            right = tp_barrier(comm, &err) == STATUS_OK;
            break;
        case 1:
            right = run_gather(comm, traffic, &call);
            break;
        case 2:
            right = run_broadcast(comm, traffic, &call);
            break;
        case 3:
            right = run_all_gather(comm, traffic, &call);
            break;
        default:
            right = run_all_reduce(comm, traffic, &call, CHOSEN);
        }
    }
    call_finish(&call);
    return right;
}

bool traffic_all_reduce(struct tp_comm *comm, const struct world *world)
{
    const struct traffic *traffic = world->context;
    static const size_t sizes[] = {0,  1,   2,   3,   7,   8,   15,   16,   17,   31,
                                   33, 127, 128, 129, 500, 999, 1000, 1023, 1024, SIZE_MAX};
    size_t piece = world->max_message_bytes / 64 * 64 / sizeof(float);
    struct call call = call_new(comm, traffic);
    bool right = true;
    for (size_t i = 0; right && i < sizeof sizes / sizeof *sizes; i++)
        for (enum algorithm algorithm = CHOSEN; right && algorithm <= TWO_SHOT; algorithm++) {
            call.n = sizes[i] < piece ? sizes[i] : piece; // SIZE_MAX: a whole piece
            call.number++;
            right = run_all_reduce(comm, traffic, &call, algorithm);
        }
    static const size_t more[] = {1, 0, 5};
    for (size_t i = 0; right && i < sizeof more / sizeof *more; i++) {
        call.n = (i + 1) * piece + more[i]; // several pieces, the last one odd
        call.number++;
        right = run_all_reduce(comm, traffic, &call, CHOSEN);
    }
    call_finish(&call);
    return right;
}
