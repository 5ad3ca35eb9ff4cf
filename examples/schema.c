/* SPDX-License-Identifier: Apache-2.0 */
/* A service whose state changes its form between releases. The first release keeps a visitor's name
 * and number of visits; the second one also wants to know the language. What the first one stored
 * is read by the second as if it had always been so. Usage: schema DIRECTORY RELEASE */
#include <cairn/cairn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cairn_field release_1[] = {
    {"name", CAIRN_STRING, NULL, 0},
    {"visits", CAIRN_INT64, NULL, 0},
};
static const cairn_field release_2[] = {
    {"name", CAIRN_STRING, NULL, 0},
    {"language", CAIRN_STRING, "unknown", 7}, /* of visitors that release 1 has met */
    {"visits", CAIRN_INT64, NULL, 0},
};

static int die(cairn_error *error)
{
    fprintf(stderr, "schema: %s\n", cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

/* One visit of one visitor. */
static int visit(cairn_task *task, cairn_value *visitors, cairn_struct *visitor, const char *who,
                 cairn_error **error)
{
    const void *data, *language = "-";
    size_t size, language_size = 1;
    int64_t visits;
    int visits_field = cairn_struct_field(visitor, "visits");
    int language_field = cairn_struct_field(visitor, "language");

    int found = cairn_task_set_key(task, who, strlen(who));
    if (found == 0)
        found = cairn_value_get(visitors, &data, &size, error);
    if (found < 0)
        return found;
    cairn_struct_reset(visitor);
    if (found > 0 && cairn_struct_decode(visitor, data, size, error) < 0)
        return -1;
    if (cairn_struct_get_int64(visitor, visits_field, &visits) < 0 ||
        cairn_struct_set_int64(visitor, visits_field, ++visits) < 0 ||
        cairn_struct_set_bytes(visitor, cairn_struct_field(visitor, "name"), who, strlen(who)) < 0)
        return -1;
    if (language_field >= 0 &&
        cairn_struct_get_bytes(visitor, language_field, &language, &language_size) < 0)
        return -1;
    printf("%s: %lld visits, language %.*s\n", who, (long long)visits, (int)language_size,
           (const char *)language);
    if (cairn_struct_encode(visitor, &data, &size, error) < 0)
        return -1;
    return cairn_value_put(visitors, data, size, error);
}

int main(int argc, char **argv)
{
    char store[512], local[512];
    if (argc != 3)
        return fprintf(stderr, "usage: schema DIRECTORY 1|2\n"), 2;
    int release = atoi(argv[2]);
    snprintf(store, sizeof store, "%s/snapshots", argv[1]);
    snprintf(local, sizeof local, "%s/local", argv[1]);

    cairn_error *error = NULL;
    cairn_serializer *serializer;
    cairn_struct *visitor;
    cairn_job *job;
    cairn_task *task;
    cairn_value *visitors;
    cairn_settings *settings;
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    cairn_state_options state = CAIRN_STATE_OPTIONS_INIT;
    options.store_uri = store;
    options.local_dir = local;
    if (cairn_struct_serializer("visitor", release == 1 ? release_1 : release_2,
                                release == 1 ? 2 : 3, &serializer, &error) < 0 ||
        cairn_struct_new(serializer, &visitor, &error) < 0)
        return die(error);
    state.serializer = serializer;
    if (cairn_settings_load(NULL, &settings, &error) < 0 ||
        cairn_settings_apply(settings, &options, &error) < 0 ||
        cairn_job_open("visitors", &options, &job, &error) < 0 ||
        cairn_task_open(job, "visits", NULL, &task, &error) < 0 ||
        cairn_value_state(task, "visitor", CAIRN_STRUCT, &state, &visitors, &error) < 0 ||
        cairn_job_start(job, &error) < 0)
        return die(error);
    cairn_settings_free(settings);
    cairn_serializer_release(serializer); /* the state and the struct hold it */

    if (visit(task, visitors, visitor, "ann", &error) < 0 ||
        visit(task, visitors, visitor, release == 1 ? "bob" : "eve", &error) < 0 ||
        cairn_task_checkpoint(task, NULL, NULL, &error) < 0)
        return die(error);
    cairn_struct_free(visitor);
    cairn_job_close(job);
    cairn_task_close(task);
    return 0;
}
