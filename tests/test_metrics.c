/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is served as metrics is right by Prometheus' own rules (promtool, skipped where it is not
 * installed), by its text format (each name once, head first, each series once; histograms are
 * cumulative), and by docs/operations.md, which lists exactly the names that there are.
 * docs/alerts.yml uses no other names, and promtool takes it. Texts are made of pictures that the
 * test invents, hostile names included: the writer is pure.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "engine/status/status.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOSTILE "a\"b\\c\nd{}=, \xc3\xa9\xe2\x82\xac"
#define HOSTILE_ESCAPED "a\\\"b\\\\c\\nd{}=, \xc3\xa9\xe2\x82\xac"

static char hostile[] = HOSTILE, host[] = "node-1", plain[] = "plain", job_name[] = "orders \"2\"";

static void init_cluster(struct crn_job_status *status)
{
    static struct crn_status_worker workers[2];
    workers[0] = (struct crn_status_worker){
        .name = hostile, .host = host, .silent_us = 12500000, .is_lost = true};
    workers[1] = (struct crn_status_worker){.name = plain, .host = host, .index = 1};
    status->role = CAIRN_COORDINATOR;
    status->workers = workers;
    status->worker_count = 2;
    status->workers_wanted = 3;
    status->workers_lost = 1;
    status->worker_timeout_ms = 50000;
}

static void init_status(struct crn_job_status *status, struct crn_status_task *tasks,
                        struct crn_status_snapshot *in_flight)
{
    struct crn_status_histograms *h = &status->histograms;
    tasks[0] = (struct crn_status_task){
        .uid = hostile,
        .subtask = 1,
        .keys_set = 42,
        .is_finished = true,
        .events_waiting = 3,
        .stats = {.barriers = 7, .barrier_last_us = 121, .hold_us = 2500000},
        .has_gate = true,
        .gate = {.records = 1000, .alignment_max_us = 1},
    };
    tasks[1] = (struct crn_status_task){.uid = plain};
    tasks[2] = (struct crn_status_task){.uid = plain, .is_remote = true, .subtask = 9};
    in_flight[0] = (struct crn_status_snapshot){.kind = CAIRN_RECORD_SAVEPOINT, .age_us = 1500000};
    in_flight[1] = (struct crn_status_snapshot){.kind = CAIRN_RECORD_CHECKPOINT, .age_us = 10};
    *status = (struct crn_job_status){
        .job = job_name,
        .state = CAIRN_JOB_RUNNING,
        .epoch = 3,
        .start_time_ms = 1795158000123,
        .library_version = "0.1.0",
        .state_backend = "rocksdb",
        .checkpoint_interval_ms = 10000,
        .checkpoint_timeout_ms = 600000,
        .has_latest = true,
        .latest = {.id = 17,
                   .trigger_time_ms = 1795158000000,
                   .duration_us = 145000,
                   .full_bytes = UINT64_MAX},
        .tasks = tasks,
        .task_count = 3,
        .in_flight = in_flight,
        .in_flight_count = 2,
        .counts = {.completed = 5, .failed = 2},
    };
    init_cluster(status);
    crn_histogram_init(&h->duration_us, &crn_scale_duration_us);
    crn_histogram_init(&h->stall_us, &crn_scale_stall_us);
    crn_histogram_init(&h->align_us, &crn_scale_duration_us);
    crn_histogram_init(&h->capture_us, &crn_scale_duration_us);
    crn_histogram_init(&h->upload_us, &crn_scale_duration_us);
    crn_histogram_init(&h->commit_us, &crn_scale_duration_us);
    crn_histogram_init(&h->new_bytes, &crn_scale_bytes);
    crn_histogram_add(&h->duration_us, 145000);
    crn_histogram_add(&h->duration_us, 900);
    crn_histogram_add(&h->duration_us, UINT64_C(5000000000)); /* beyond the last bound */
    crn_histogram_add(&h->new_bytes, 4096);
}

/* Of a job that has everything; to be freed. */
static char *full_text(void)
{
    struct crn_job_status status;
    struct crn_status_task tasks[3];
    struct crn_status_snapshot in_flight[2];
    struct cairn_buffer out = {0};
    init_status(&status, tasks, in_flight);
    ck_assert_int_eq(crn_metrics_write(&status, &out), 0);
    return crn_buf_take_text(&out);
}

static char *read_doc(const char *name)
{
    char path[512];
    static char text[1 << 20];
    (void)snprintf(path, sizeof path, "%s/docs/%s", CRN_TEST_SOURCE_ROOT, name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    size_t n = fread(text, 1, sizeof text - 1, file);
    ck_assert_int_eq(fclose(file), 0);
    text[n] = '\0';
    return text;
}

/* Does the name stand there whole? */
static bool has_word(const char *text, const char *word, size_t n)
{
    for (const char *p = text; (p = strstr(p, "cairn_")) != NULL; p++)
        if (strncmp(p, word, n) == 0 && strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_") == n)
            return true;
    return false;
}

/* ------------------------------------------------------------------------------------------ *
 * The text format
 * ------------------------------------------------------------------------------------------ */

static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);
    for (const char *p = text; (p = strstr(p, line)) != NULL; p++)
        if ((p == text || p[-1] == '\n') && p[n] == '\n')
            return true;
    return false;
}

START_TEST(values_and_labels)
{
    CRN_AUTO_FREE char *text = full_text();
#define JOB "job_name=\"orders \\\"2\\\"\""
    static const char *const lines[] = {
        "cairn_job_info{" JOB ",version=\"0.1.0\",backend=\"rocksdb\"} 1",
        "cairn_job_state{" JOB ",state=\"running\"} 1",
        "cairn_job_state{" JOB ",state=\"fenced\"} 0",
        "cairn_job_start_time_seconds{" JOB "} 1795158000.123",
        "cairn_checkpoint_interval_seconds{" JOB "} 10",
        "cairn_checkpoint_timeout_seconds{" JOB "} 600",
        "cairn_checkpoints_completed_total{" JOB "} 5",
        "cairn_snapshots_in_flight{" JOB ",kind=\"savepoint\"} 1",
        "cairn_snapshot_oldest_age_seconds{" JOB "} 1.5",
        "cairn_checkpoint_last_duration_seconds{" JOB "} 0.145",
        "cairn_checkpoint_last_size_bytes{" JOB "} 18446744073709551615",
        "cairn_task_keys_total{" JOB ",operator=\"" HOSTILE_ESCAPED "\",subtask=\"1\"} 42",
        "cairn_task_keys_total{" JOB ",operator=\"plain\",subtask=\"0\"} 0",
        "cairn_task_finished{" JOB ",operator=\"" HOSTILE_ESCAPED "\",subtask=\"1\"} 1",
        "cairn_task_barrier_last_seconds{" JOB ",operator=\"" HOSTILE_ESCAPED
        "\",subtask=\"1\"} 0.000121",
        "cairn_task_hold_seconds_total{" JOB ",operator=\"" HOSTILE_ESCAPED "\",subtask=\"1\"} 2.5",
        "cairn_gate_alignment_max_seconds{" JOB ",operator=\"" HOSTILE_ESCAPED
        "\",subtask=\"1\"} 0.000001",
        "cairn_cluster_role{" JOB ",role=\"coordinator\"} 1",
        "cairn_cluster_role{" JOB ",role=\"worker\"} 0",
        "cairn_workers{" JOB "} 2",
        "cairn_workers_wanted{" JOB "} 3",
        "cairn_workers_lost{" JOB "} 1",
        "cairn_worker_timeout_seconds{" JOB "} 50",
        "cairn_worker_silent_seconds{" JOB ",worker=\"" HOSTILE_ESCAPED "\"} 12.5",
        "cairn_worker_silent_seconds{" JOB ",worker=\"plain\"} 0",
        "cairn_checkpoint_duration_seconds_bucket{" JOB ",le=\"0.001\"} 1",
        "cairn_checkpoint_duration_seconds_bucket{" JOB ",le=\"0.256\"} 2",
        "cairn_checkpoint_duration_seconds_bucket{" JOB ",le=\"1048.576\"} 2",
        "cairn_checkpoint_duration_seconds_bucket{" JOB ",le=\"+Inf\"} 3",
        "cairn_checkpoint_duration_seconds_sum{" JOB "} 5000.1459",
        "cairn_checkpoint_duration_seconds_count{" JOB "} 3",
        "cairn_checkpoint_new_bytes_bucket{" JOB ",le=\"4096\"} 1",
    };
#undef JOB
    for (size_t i = 0; i < CRN_COUNT(lines); i++)
        ck_assert_msg(has_line(text, lines[i]), "no line '%s' in\n%s", lines[i], text);
    ck_assert_ptr_null(strstr(text, "subtask=\"9\"")); /* its worker tells */
}
END_TEST

/* Every sample follows the head of its name, no name has two heads, no series is there twice. */
START_TEST(families_are_whole)
{
    CRN_AUTO_FREE char *text = full_text();
    char seen[200][80], family[80] = "";
    size_t families = 0, samples = 0;
    char *save = NULL;
    char *copy = strdup(text);
    for (char *line = strtok_r(copy, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            ck_assert_int_eq(sscanf(line + 7, "%79s", family), 1);
            for (size_t i = 0; i < families; i++)
                ck_assert_msg(strcmp(seen[i], family) != 0, "%s has two heads", family);
            memcpy(seen[families++], family, sizeof family);
            continue;
        }
        if (strncmp(line, "# TYPE ", 7) == 0) {
            ck_assert_msg(strncmp(line + 7, family, strlen(family)) == 0, "%s", line);
            continue;
        }
        samples++;
        ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "'%s' stands under %s", line,
                      family);
        char series[400];
        size_t n = (size_t)(strrchr(line, ' ') - line) + 1;
        ck_assert_uint_lt(n, sizeof series);
        memcpy(series, line, n);
        series[n] = '\0';
        const char *first = strstr(text, series);
        ck_assert_msg(first != NULL && strstr(first + 1, series) == NULL, "'%s' twice", series);
    }
    free(copy);
    ck_assert_uint_gt(families, 30);
    ck_assert_uint_gt(samples, families);
}
END_TEST

/* A job that has done nothing yet tells nothing of a last checkpoint or of gates. */
START_TEST(what_is_not_there_is_not_told)
{
    struct crn_job_status status;
    struct crn_status_task tasks[3];
    struct crn_status_snapshot in_flight[2];
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    init_status(&status, tasks, in_flight);
    status.has_latest = false;
    status.task_count = 0;
    status.in_flight_count = 0;
    status.role = CAIRN_WORKER;
    ck_assert_int_eq(crn_metrics_write(&status, &out), 0);
    const char *text = (const char *)out.data;
    ck_assert_ptr_null(strstr(text, "cairn_checkpoint_last"));
    ck_assert_ptr_null(strstr(text, "cairn_task_"));
    ck_assert_ptr_null(strstr(text, "cairn_gate_"));
    ck_assert_ptr_null(strstr(text, "cairn_worker"));
    ck_assert_ptr_nonnull(
        strstr(text, "cairn_snapshot_oldest_age_seconds{job_name=\"orders \\\"2\\\"\"} 0\n"));
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Prometheus' own opinion
 * ------------------------------------------------------------------------------------------ */

static bool has_promtool(void)
{
    bool has = system("command -v promtool >/dev/null 2>&1") == 0;
    if (!has)
        fprintf(stderr, "promtool (Debian: prometheus) is not installed: its checks are skipped\n");
    return has;
}

START_TEST(promtool_takes_the_metrics)
{
    if (!has_promtool())
        return;
    CRN_AUTO_FREE char *text = full_text();
    FILE *pipe = popen("promtool check metrics >&2", "w");
    ck_assert_ptr_nonnull(pipe);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), pipe), strlen(text));
    int status = pclose(pipe);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "promtool: status %d", status);
}
END_TEST

START_TEST(promtool_takes_the_alerts)
{
    if (!has_promtool())
        return;
    ck_assert_int_eq(system("promtool check rules '" CRN_TEST_SOURCE_ROOT "/docs/alerts.yml' >&2"),
                     0);
    ck_assert_int_eq(
        system("promtool test rules '" CRN_TEST_SOURCE_ROOT "/tests/support/alerts.yml' >&2"), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Documents
 * ------------------------------------------------------------------------------------------ */

START_TEST(the_handbook_lists_exactly_these)
{
    CRN_AUTO_FREE char *text = full_text();
    const char *doc = read_doc("operations.md");
    const char *begin = strstr(doc, "### Metrics");
    ck_assert_ptr_nonnull(begin);
    const char *end = strstr(begin + 1, "\n### ");
    ck_assert_ptr_nonnull(end);
    CRN_AUTO_FREE char *section = strndup(begin, (size_t)(end - begin));
    size_t count = 0;
    for (const char *p = text; (p = strstr(p, "# TYPE ")) != NULL; p++, count++) {
        char name[80], type[20], row[140];
        ck_assert_int_eq(sscanf(p, "# TYPE %79s %19s", name, type), 2);
        (void)snprintf(row, sizeof row, "| `%s` | %s |", name, type);
        ck_assert_msg(strstr(section, row) != NULL, "docs/operations.md has no row '%s'", row);
    }
    size_t rows = 0;
    for (const char *p = section; (p = strstr(p, "\n| `cairn_")) != NULL; p++)
        rows++;
    ck_assert_msg(rows == count, "docs/operations.md has %zu rows of metrics, there are %zu", rows,
                  count);
}
END_TEST

START_TEST(alerts_use_what_there_is)
{
    CRN_AUTO_FREE char *text = full_text();
    const char *alerts = read_doc("alerts.yml");
    size_t count = 0;
    for (const char *p = alerts; (p = strstr(p, "cairn_")) != NULL; p++, count++) {
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_");
        ck_assert_msg(has_word(text, p, n), "docs/alerts.yml uses '%.*s'", (int)n, p);
        p += n - 1;
    }
    ck_assert_uint_gt(count, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, values_and_labels);
    tcase_add_test(tcase, families_are_whole);
    tcase_add_test(tcase, what_is_not_there_is_not_told);
    tcase_add_test(tcase, promtool_takes_the_metrics);
    tcase_add_test(tcase, promtool_takes_the_alerts);
    tcase_add_test(tcase, the_handbook_lists_exactly_these);
    tcase_add_test(tcase, alerts_use_what_there_is);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
