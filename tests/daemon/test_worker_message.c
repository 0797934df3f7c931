/* tests/daemon/test_worker_message.c - what goes over the control socket: whole, or refused. */
#include "daemon/worker_message.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/control.h"
#include "proto/worker.pb-c.h"
#include "tests/test.h"

static struct worker_message full_load(void)
{
    struct worker_message message = {.type = WORKER_LOAD};
    struct worker_load *load = &message.load;
    *load = (struct worker_load){
        .model_dir = "/srv/models/gemma",
        .rank = 3,
        .world_size = 8,
        .compute = COMPUTE_BF16,
        .weights = WEIGHTS_INT4,
        .n_cache_folders = 2,
        .cache_folders = {"/srv/models/gemma/.gemmad", "/var/cache/gemmad/gemma-0123"},
        .n_threads = WORKER_MAX_THREADS,
        .pinned = true,
        .limits = {.max_slots = 64,
                   .max_rows = 512,
                   .max_positions = 131072,
                   .vocab_size = 262144,
                   .n_groups = 2,
                   .page_tokens = 32,
                   .n_pages = {1000, 300},
                   .max_blob_bytes = 65536,
                   .n_cache_rows = 4096,
                   .max_encode_parts = 32,
                   .max_job_patches = 10080,
                   .max_job_frames = 3000,
                   .media_bytes = 32 << 20},
        .kv = {.page_tokens = 32, .element_bytes = 2, .n_groups = 2, .n_pages = {1000, 300}},
        .max_logits_rows = 16,
        .n_ring_slots = 4,
        .collective_bytes = 1 << 20,
        .collective_timeout_ns = 5000,
        .log_level = LOG_WARN,
    };
    load->kv.groups[0] = (struct kv_group_params){5, 16, 256, 256, 1024, false};
    load->kv.groups[1] = (struct kv_group_params){1, 4, 512, 128, 0, true};
    for (int i = 0; i < WORKER_MAX_THREADS; i++)
        load->cpus[i] = i * 7;
    return message;
}

TEST(a_load_comes_back_as_it_was_sent)
{
    struct worker_message sent = full_load();
    struct worker_message got;
    struct text_buffer packet = {0};
    struct error err = {0};
    worker_message_encode(&sent, &packet);
    ASSERT_OK_ERR(worker_message_decode(packet.data, packet.length, &got, &err), err);
    ASSERT_EQ(got.type, WORKER_LOAD);
    ASSERT_STR_EQ(got.load.model_dir, sent.load.model_dir);
    ASSERT_EQ(got.load.rank, 3);
    ASSERT_EQ(got.load.compute, COMPUTE_BF16);
    ASSERT_EQ(got.load.weights, WEIGHTS_INT4);
    ASSERT_EQ(got.load.n_cache_folders, 2);
    ASSERT_STR_EQ(got.load.cache_folders[0], "/srv/models/gemma/.gemmad");
    ASSERT_STR_EQ(got.load.cache_folders[1], "/var/cache/gemmad/gemma-0123");
    ASSERT(memcmp(got.load.cpus, sent.load.cpus, sizeof sent.load.cpus) == 0);
    ASSERT(memcmp(&got.load.limits, &sent.load.limits, sizeof sent.load.limits) == 0);
    ASSERT_EQ(got.load.kv.groups[1].k_dim, 128);
    ASSERT_EQ(got.load.kv.groups[1].k_from_v, true);
    ASSERT_EQ(got.load.kv.groups[0].window, 1024);
    ASSERT_EQ(got.load.kv.n_pages[1], 300);
    ASSERT_EQ(got.load.max_logits_rows, 16);
    ASSERT_EQ(got.load.collective_timeout_ns, 5000);
    ASSERT_EQ(got.load.log_level, LOG_WARN);
    text_buffer_finish(&packet);
}

// Decodes sent's packet with one field changed on the way, as a wrong peer would have it.
static void refuse(void (*spoil)(Gemmad__Worker__Load *load), const char *field)
{
    struct worker_message sent = full_load();
    struct worker_message got;
    struct text_buffer packet = {0};
    struct error err = {0};
    worker_message_encode(&sent, &packet);
    Gemmad__Worker__Message *open = gemmad__worker__message__unpack(NULL, packet.length,
                                                                    (const uint8_t *)packet.data);
    spoil(open->load);
    unsigned char bytes[WORKER_MESSAGE_MAX_BYTES];
    size_t n = gemmad__worker__message__pack(open, bytes);
    gemmad__worker__message__free_unpacked(open, NULL);
    ASSERT_EQ(worker_message_decode(bytes, n, &got, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, field);
    text_buffer_finish(&packet);
}

#define SPOIL(name, statement)                   \
    static void name(Gemmad__Worker__Load *load) \
    {                                            \
        statement;                               \
    }
SPOIL(rank_beyond_world, load->rank = 8)
SPOIL(world_of_three, load->world_size = 3; load->rank = 0)
SPOIL(no_world, load->world_size = 0; load->rank = 0)
SPOIL(too_many_threads, load->n_threads = 257)
SPOIL(fewer_cpus_than_threads, load->n_cpus = 3)
SPOIL(cpu_out_of_range, load->cpus[5] = 1U << 31)
SPOIL(no_slots, load->max_slots = 0)
SPOIL(too_many_parts, load->max_encode_parts = STEP_MAX_ENCODE_PARTS + 1)
SPOIL(odd_page, load->page_tokens = 33)
SPOIL(odd_element, load->element_bytes = 3)
SPOIL(no_pages, load->groups[1]->n_pages = 1)
SPOIL(k_wider_than_head, load->groups[1]->k_dim = 513)
SPOIL(endless_wait, load->collective_timeout_ns = UINT64_MAX)
SPOIL(unknown_compute, load->compute = 2)
SPOIL(unknown_weights, load->weights = 4)
SPOIL(no_cache_folder, load->cache_folders[1][0] = '\0')
SPOIL(empty_folder, load->model_dir[0] = '\0')
SPOIL(folder_no_text, load->model_dir[1] = '\xff')

TEST(a_load_with_a_field_out_of_range_is_refused_by_name)
{
    refuse(rank_beyond_world, "rank=8");
    refuse(world_of_three, "world_size=3");
    refuse(no_world, "world_size=0");
    refuse(too_many_threads, "n_threads=257");
    refuse(fewer_cpus_than_threads, "n_cpus=3");
    refuse(cpu_out_of_range, "cpus=2147483648");
    refuse(no_slots, "max_slots=0");
    refuse(too_many_parts, "max_encode_parts");
    refuse(odd_page, "page_tokens=33");
    refuse(odd_element, "element_bytes=3");
    refuse(no_pages, "group.n_pages=1");
    refuse(k_wider_than_head, "group.k_dim=513");
    refuse(endless_wait, "collective_timeout_ns=");
    refuse(unknown_compute, "compute=2");
    refuse(unknown_weights, "weights=4");
    refuse(no_cache_folder, "cache_folders");
    refuse(empty_folder, "model_dir");
    refuse(folder_no_text, "model_dir");
}

TEST(no_mutation_of_a_packet_gets_past_the_checks_with_a_value_out_of_range)
{
    struct worker_message sent = full_load();
    struct worker_message got;
    struct text_buffer packet = {0};
    uint64_t seed = 1;
    uint32_t n_refused = 0;
    worker_message_encode(&sent, &packet);
    for (int i = 0; i < 20000; i++) {
        char *bytes = malloc(packet.length); // exactly so large, for the sanitizer
        memcpy(bytes, packet.data, packet.length);
        size_t n = test_random_in(&seed, 1, packet.length);
        for (uint64_t left = test_random_in(&seed, 1, 4); left; left--)
            bytes[test_random_in(&seed, 0, n - 1)] = (char)test_random(&seed);
        if (worker_message_decode(bytes, n, &got, NULL) != STATUS_OK)
            n_refused++;
        else if (got.type == WORKER_LOAD)
            ASSERT(got.load.rank < got.load.world_size && got.load.n_threads <= WORKER_MAX_THREADS);
        free(bytes);
    }
    ASSERT(n_refused > 10000);
    text_buffer_finish(&packet);
}

TEST(a_socket_says_when_there_is_nothing_and_when_the_peer_is_gone)
{
    int ends[2];
    struct worker_message message = {.type = WORKER_REPORT};
    struct error err = {0};
    ASSERT_OK(control_pair(ends, NULL));
    ASSERT_EQ(control_receive(ends[0], &message, NULL, &err), STATUS_DEADLINE_EXCEEDED);
    ASSERT_OK(control_send(ends[1], &message, NULL, NULL));
    message.type = WORKER_STOP;
    ASSERT_OK(control_receive(ends[0], &message, NULL, NULL));
    ASSERT_EQ(message.type, WORKER_REPORT);
    close(ends[1]);
    ASSERT_EQ(control_receive(ends[0], &message, NULL, &err), STATUS_UNAVAILABLE);
    ASSERT_EQ(control_send(ends[0], &message, NULL, &err), STATUS_UNAVAILABLE);
    close(ends[0]);
}

TEST(memory_files_arrive_with_a_load_and_are_closed_where_none_belong)
{
    int ends[2];
    int files[CONTROL_N_FILES];
    int got_files[CONTROL_N_FILES];
    struct worker_message load = full_load();
    struct worker_message got;
    struct error err = {0};
    ASSERT_OK(control_pair(ends, NULL));
    for (int i = 0; i < CONTROL_N_FILES; i++)
        ASSERT_OK(control_create_file("test", 4096U * (unsigned)(i + 1), &files[i], NULL));
    int next = dup(0); // the lowest free number
    close(next);
    ASSERT_OK(control_send(ends[0], &load, files, NULL));
    ASSERT_OK(control_receive(ends[1], &got, got_files, NULL));
    for (int i = 0; i < CONTROL_N_FILES; i++) {
        ASSERT_OK(control_check_file(got_files[i], 4096U * (unsigned)(i + 1), NULL));
        close(got_files[i]);
    }
    ASSERT_OK(control_send(ends[0], &load, files, NULL));
    ASSERT_EQ(control_receive(ends[1], &got, NULL, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(fcntl(next, F_GETFD), -1); // what came along was closed
    for (int i = 0; i < CONTROL_N_FILES; i++)
        close(files[i]);
    close(ends[0]);
    close(ends[1]);
}
