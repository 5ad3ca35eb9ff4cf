/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a host that loses the network in the middle of a checkpoint, and is replaced, commits
 * nothing more when the network is back: it learns that it is fenced (P7); its heir loses nothing
 * (P1, P2), and one collection leaves nothing of either over (P6, P8). Method: a server and two
 * hosts as network namespaces; the cable of the first is pulled, or the server's answers to it are
 * lost, so that it is heard but hears nothing. Needs root.
 */
#include "tests/support/crash_run.h"
#include "tests/support/s3/real.h"

#include "cairn/inspect.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *network_name(void)
{
    const char *name = getenv("CAIRN_NETNS");
    ck_assert_msg(name != NULL, "CAIRN_NETNS is not set: run it by tests/support/s3/run.sh netns");
    return name;
}

/* In the server's network, where this process is. */
static void ip(const char *words)
{
    char command[256];
    (void)snprintf(command, sizeof command, "ip %s", words);
    ck_assert_msg(system(command) == 0, "%s", command); /* NOLINT(cert-env33-c) */
}

static void host_uri(char uri[256], const char *path, int host)
{
    (void)snprintf(uri, 256,
                   "s3://cairn/t/%s?endpoint=http://10.77.%d.1:%u&request_timeout_ms=3000&"
                   "retry_ms=9000",
                   path, host, real_port("CAIRN_TEST_S3"));
}

static const struct {
    const char *path, *cut, *mend;
} cuts[] = {
    {"pulled", "link set link1 down", "link set link1 up"},
    {"deaf", "route add blackhole 10.77.1.2/32", "route del blackhole 10.77.1.2/32"},
};

#define USUAL "--patient --interval-ms 150 --retained 3 --pace-us 2500 --blob-max 2000 --store "

START_TEST(a_host_that_was_cut_off_is_fenced)
{
    struct crash_place place;
    char host[64], first_uri[256], second_uri[256];
    CRN_AUTO_FREE char *uri = real_uri("CAIRN_TEST_S3", cuts[_i].path, "");
    crash_place_init(&place);
    struct crash_dir dir = crash_dir(&place, "job");
    host_uri(first_uri, cuts[_i].path, 1);
    host_uri(second_uri, cuts[_i].path, 2);
    (void)snprintf(host, sizeof host, "%s-1", network_name());
    crash_set_network(host);
    pid_t first = crash_spawn(dir.path, 5, 1000000, USUAL "%s", first_uri);
    crash_wait_for_complete(dir.path, 3, first);
    ip(cuts[_i].cut);
    crn_sleep_us(1500000);
    (void)snprintf(host, sizeof host, "%s-2", network_name());
    const uint64_t complete = crash_read_journal(dir.path).complete;
    pid_t heir = crash_spawn(dir.path, 5, 24000, USUAL "%s --local %s/heir", second_uri, dir.path);
    crash_wait_for_complete(dir.path, complete + 4, heir);
    ck_assert(!crash_has_ended(first)); /* it goes on: it cannot know */
    ip(cuts[_i].mend);
    int code = crash_wait(first, dir.path);
    if (code != CRASH_CHILD_FENCED)
        crash_fail(dir.path, "the first ended with %d", code);
    code = crash_wait(heir, dir.path);
    if (code != CRASH_CHILD_DONE)
        crash_fail(dir.path, "the heir ended with %d", code);
    ck_assert(!crash_read_journal(dir.path).overtaken);
    cairn_store *store = real_store("CAIRN_TEST_S3", cuts[_i].path, "");
    ck_assert_int_eq(cairn_gc(store, CRASH_JOB, NULL, NULL, NULL), 0);
    store->ops->close(store);
    crash_check_clean(dir.path, uri);
    /* the next incarnation agrees with what was promised */
    crash_expect(CRASH_CHILD_DONE, dir.path, 5, 24000, USUAL "%s", second_uri);
    crash_place_done(&place);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_netns");
    TCase *tcase = tcase_create("hosts");
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, a_host_that_was_cut_off_is_fenced, 0, CRN_COUNT(cuts));
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
