/* tests/daemon/test_cache_folders.c - where packed weights are looked for, by option and
 * environment. */
#include "daemon/cache_folders.h"
#include "tests/test.h"

static const struct worker_load *folders_of(const char *choice, const char *model_dir)
{
    static struct worker_load load;
    cache_folders_set(choice, model_dir, CACHE_MIN_BYTES, &load);
    return &load;
}

static void set_environment(const char *service, const char *user, const char *home)
{
    ASSERT_EQ(setenv("CACHE_DIRECTORY", service, 1), 0);
    ASSERT_EQ(setenv("XDG_CACHE_HOME", user, 1), 0);
    ASSERT_EQ(setenv("HOME", home, 1), 0);
}

static void expect_user_folder(const char *begin)
{
    const struct worker_load *load = folders_of("auto", "/srv/gemma");
    ASSERT_EQ(load->n_cache_folders, 2);
    ASSERT_STR_EQ(load->cache_folders[0], "/srv/gemma/.gemmad");
    ASSERT_CONTAINS(load->cache_folders[1], begin);
    ASSERT_EQ(load->cache_folders[1][0], '/');
    ASSERT_EQ(strlen(load->cache_folders[1]), strlen(begin) + 16);
}

TEST(auto_is_beside_the_model_then_the_services_or_the_users_folder)
{
    set_environment("/var/cache/gemmad:/other", "/home/u/.c", "/home/u");
    expect_user_folder("/var/cache/gemmad/gemma-");
    set_environment("", "/home/u/.c", "/home/u");
    expect_user_folder("/home/u/.c/gemmad/gemma-");
    set_environment("", "relative", "/home/u");
    expect_user_folder("/home/u/.cache/gemmad/gemma-");
    set_environment("", "", "");
    ASSERT_EQ(folders_of("auto", "/srv/gemma")->n_cache_folders, 1);
}

TEST(models_of_one_name_in_two_places_have_folders_of_their_own)
{
    char first[4096];
    strcpy(first, folders_of("/cache", "/a/gemma")->cache_folders[0]);
    ASSERT_CONTAINS(first, "/cache/gemma-");
    ASSERT_EQ(folders_of("/cache", "/b/gemma")->n_cache_folders, 1);
    ASSERT(strcmp(first, folders_of("/cache", "/b/gemma")->cache_folders[0]) != 0);
    ASSERT_STR_EQ(folders_of("/cache", "/a/gemma")->cache_folders[0], first);
}

TEST(nothing_is_kept_when_off_or_when_auto_has_little_to_keep)
{
    set_environment("", "", "/home/u");
    static struct worker_load load;
    ASSERT_EQ(folders_of("off", "/srv/gemma")->n_cache_folders, 0);
    cache_folders_set("auto", "/srv/gemma", CACHE_MIN_BYTES - 1, &load);
    ASSERT_EQ(load.n_cache_folders, 0);
    cache_folders_set("/cache", "/srv/gemma", 1, &load);
    ASSERT_EQ(load.n_cache_folders, 1);
}

TEST(a_path_that_is_too_long_is_left_out)
{
    char path[4096];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[4090] = '\0';
    set_environment("", "", "/home/u");
    const struct worker_load *load = folders_of("auto", path);
    ASSERT_EQ(load->n_cache_folders, 1);
    ASSERT_CONTAINS(load->cache_folders[0], "/home/u/.cache/gemmad/xxx");
}
