/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log as a callback sees it, and pictures of a job that are taken again until they show what a
 * test waits for.
 */
#include "tests/support/status_kit.h"

#include "engine/status/fields.h"

#include <stdio.h>
#include <string.h>

#define LINES_MAX 400
static struct {
    pthread_mutex_t lock;
    size_t count;
    struct {
        cairn_log_level level;
        char message[600], fields[900]; /* "name=value name=value " */
        char event[40];
    } lines[LINES_MAX];
} book = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_known_field(const char *name)
{
    for (int i = 0; i < CRN_FIELD_COUNT; i++)
        if (strcmp(crn_field_name((enum crn_field)i), name) == 0)
            return true;
    return strcmp(name, "job") == 0;
}

static void write_down(void *context, const cairn_log_line *line)
{
    (void)context;
    pthread_mutex_lock(&book.lock);
    ck_assert_uint_lt(book.count, LINES_MAX);
    size_t at = 0, i = book.count++;
    book.lines[i].level = line->level;
    (void)snprintf(book.lines[i].message, sizeof book.lines[i].message, "%s", line->message);
    for (size_t k = 0; k < line->field_count; k++) {
        const cairn_log_field *field = &line->fields[k];
        at += (size_t)snprintf(book.lines[i].fields + at, sizeof book.lines[i].fields - at,
                               "%s=%s ", field->name, field->value);
        ck_assert_uint_lt(at, sizeof book.lines[i].fields);
        ck_assert_msg(is_known_field(field->name), "field '%s'", field->name);
        if (field->is_number)
            ck_assert_uint_eq(strspn(field->value, "0123456789"), strlen(field->value));
        if (strcmp(field->name, "event") == 0)
            (void)snprintf(book.lines[i].event, sizeof book.lines[i].event, "%s", field->value);
        for (size_t other = 0; other < k; other++)
            ck_assert_str_ne(line->fields[other].name, field->name);
    }
    ck_assert_msg(line->field_count > 0 && strcmp(line->fields[0].name, "job") == 0, "%s",
                  line->message);
    pthread_mutex_unlock(&book.lock);
}

/* The newest line of an event; fails the test if there is none. */
static size_t find_line(const char *event)
{
    for (size_t i = book.count; i-- > 0;)
        if (strcmp(book.lines[i].event, event) == 0)
            return i;
    ck_abort_msg("no line with event %s", event);
}

void check_line(const char *event, cairn_log_level level, const char *field)
{
    size_t i = find_line(event);
    char wanted[200];
    ck_assert_int_eq(book.lines[i].level, level);
    (void)snprintf(wanted, sizeof wanted, " %s ", field);
    ck_assert_msg(strstr(book.lines[i].fields, wanted) != NULL, "no '%s' in '%s'", field,
                  book.lines[i].fields);
}

void watch_fixture_init(struct fixture *f)
{
    fixture_init(f, false);
    book.count = 0;
    f->options.log = write_down;
    f->options.log_level = CAIRN_LOG_DEBUG;
    f->options.num_retained = 2;
}

struct crn_job_status *take_status(cairn_job *job)
{
    struct crn_job_status *status = NULL;
    ck_ok(crn_status_take(job, &status, reterr));
    ck_assert_ptr_nonnull(status);
    return status;
}

void poll_once(cairn_task *task, cairn_event_type expected)
{
    cairn_event event;
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, expected);
}

struct crn_job_status *take_when_idle(cairn_job *job)
{
    for (int i = 0; i < 2000; i++) {
        struct crn_job_status *status = take_status(job);
        if (status->in_flight_count == 0)
            return status;
        crn_status_free(status);
        crn_sleep_us(2000);
    }
    ck_abort_msg("something is in flight for ever");
}

struct crn_job_status *take_when_failed(cairn_job *job, uint64_t failed)
{
    for (int i = 0; i < 2000; i++) {
        struct crn_job_status *status = take_when_idle(job);
        if (status->counts.failed + status->counts.savepoints_failed == failed)
            return status;
        crn_status_free(status);
        crn_sleep_us(2000);
    }
    ck_abort_msg("it does not fail");
}

struct crn_job_status *take_in_phase(cairn_job *job, size_t i, enum crn_part_phase phase)
{
    for (int tries = 0; tries < 2000; tries++) {
        struct crn_job_status *status = take_status(job);
        if (status->in_flight_count == 1 && status->in_flight[0].parts[i].phase == phase)
            return status;
        crn_status_free(status);
        crn_sleep_us(2000);
    }
    ck_abort_msg("task %zu does not get to %s", i, crn_part_phase_word(phase));
}
