/* SPDX-License-Identifier: Apache-2.0 */

/* cairn inspect: one checkpoint as a person reads it, from the job down to the file. */

#include "tools/cli/cli.h"
#include <string.h>

static const cairn_state_info *find_state(const cairn_snapshot *snapshot, size_t op,
                                          const char *name)
{
    const cairn_state_info *state;
    for (size_t i = 0; (state = cairn_snapshot_state(snapshot, op, i)); i++) {
        if (name && strcmp(state->name, name) == 0)
            return state;
    }
    return NULL;
}

static void print_hex(const uint8_t *data, size_t size)
{
    CLI_AUTO_FREE char *hex = cli_text_hex(data, size);
    printf("%s", hex + 2);
}

static void print_record(const cairn_snapshot *snapshot, const char *directory,
                         const cairn_log *log)
{
    const cairn_record_info *record = cairn_snapshot_record(snapshot);
    const char *job = cairn_snapshot_job(snapshot);
    CLI_AUTO_FREE char *safe_job = cli_text_quote(job, strlen(job));
    CLI_AUTO_FREE char *safe_directory = cli_text_quote(directory, strlen(directory));
    CLI_AUTO_FREE char *host = cli_text_safe(record->host);
    CLI_AUTO_FREE char *version = cli_text_safe(record->library_version);
    bool is_savepoint = record->kind == CAIRN_RECORD_SAVEPOINT;
    printf("%s%s%s %" PRIu64 " of job %s%s", cli_style_on(CLI_BOLD),
           is_savepoint ? cli_format_name(record->format) : "",
           is_savepoint ? " savepoint" : "checkpoint", record->id, safe_job,
           cli_style_off(CLI_BOLD));
    if (strcmp(job, directory) != 0)
        printf(" in directory %s", safe_directory);
    putchar('\n');
    printf("  taken     %s, %s\n", cli_time(record->trigger_time_ms).text,
           cli_age(record->trigger_time_ms).text);
    if (record->is_stop)
        puts("  stop      the job was stopped with it");
    printf("  took      %s, longest stall %s\n", cli_duration(record->duration_us).text,
           cli_duration(record->barrier_max_us).text);
    printf("  holds     %s in %s %s", cli_size(record->full_bytes).text,
           cli_count(record->file_count).text, cli_plural(record->file_count, "file", "files"));
    if (record->base_id)
        printf("; new since checkpoint %" PRIu64 ": %s in %s\n", record->base_id,
               cli_size(record->new_bytes).text, cli_count(record->new_file_count).text);
    else
        printf("; all of it new\n");
    if (record->requests > 0)
        printf("  cost      %s %s, %s sent\n", cli_count(record->requests).text,
               cli_plural(record->requests, "request", "requests"),
               cli_size(record->sent_bytes).text);
    printf("  manifest  %s, uuid ", cli_size(record->manifest_bytes).text);
    print_hex(record->uuid, sizeof(record->uuid));
    printf("\n  written   by host %s, process %" PRIu64 ", cairn %s, epoch %" PRIu64 "\n", host,
           record->pid, version, record->epoch);
    if (record->restored_id)
        printf("  restored  from checkpoint %" PRIu64 " when its process began\n",
               record->restored_id);
    if (*record->source_location) {
        CLI_AUTO_FREE char *location = cli_place_text(record->source_location);
        printf("  started   from %s (%s)\n", location, cli_claim_name(record->source_mode));
    }
    cli_print_claim(log, "  claimed   ");
}

static void print_states(const cairn_snapshot *snapshot, size_t op)
{
    static const struct cli_column columns[] = {
        {"STATE", false}, {"KIND", false}, {"VALUE", false}, {"MAP KEY", false}, {"EXPIRES", false},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    const cairn_state_info *state;
    for (size_t i = 0; (state = cairn_snapshot_state(snapshot, op, i)); i++) {
        CLI_AUTO_FREE char *name = cli_text_safe(state->name);
        uint64_t ttl_us = state->ttl_ms > UINT64_MAX / 1000 ? UINT64_MAX : state->ttl_ms * 1000;
        cli_table_cell(table, CLI_PLAIN, "%s", name);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_state_kind_name(state->kind));
        cli_table_cell(table, CLI_PLAIN, "%s", cli_type_name(state->value_type));
        cli_table_cell(table, CLI_PLAIN, "%s",
                       cli_state_has_map_key(state->kind) ? cli_type_name(state->map_key_type)
                                                          : "-");
        cli_table_cell(table, CLI_PLAIN, "%s", ttl_us ? cli_duration(ttl_us).text : "never");
    }
    cli_table_print(table, 2);
}

static void print_subtasks(const cairn_snapshot *snapshot, size_t op)
{
    static const struct cli_column columns[] = {
        {"SUBTASK", true}, {"KEY GROUPS", false}, {"SEQUENCE", true}, {"STALL", true},
        {"FLUSH", true},   {"CAPTURE", true},     {"UPLOAD", true},   {"FILES", true},
        {"FULL", true},    {"NEW", true},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    const cairn_subtask_info *s;
    for (size_t i = 0; (s = cairn_snapshot_subtask(snapshot, op, i)); i++) {
        cli_table_cell(table, CLI_PLAIN, "%u", s->index);
        cli_table_cell(table, CLI_PLAIN, "%u-%u", s->key_group_first, s->key_group_last);
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, s->sequence);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_duration(s->barrier_us).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_duration(s->flush_us).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_duration(s->capture_us).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_duration(s->upload_us).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_count(s->file_count).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_size(s->full_bytes).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_size(s->new_bytes).text);
    }
    cli_table_print(table, 2);
}

static void add_file(struct cli_table *table, const cairn_snapshot *snapshot, size_t op,
                     const cairn_file_info *file)
{
    CLI_AUTO_FREE char *name = cli_text_safe(file->name);
    CLI_AUTO_FREE char *object = cli_file_place(file);
    cli_table_cell(table, CLI_PLAIN, "%s", name);
    cli_table_cell(table, CLI_PLAIN, "%s", cli_size(file->size).text);
    cli_table_cell(table, CLI_PLAIN, "%" PRIu64, file->checkpoint_id);
    if (file->role == CAIRN_FILE_TABLE) {
        const cairn_operator_info *o = cairn_snapshot_operator(snapshot, op);
        const cairn_state_info *state = find_state(snapshot, op, file->state);
        CLI_AUTO_FREE char *state_name = cli_text_safe(file->state ? file->state : "-");
        CLI_AUTO_FREE char *first =
            cli_composite_text(o, state, file->smallest, file->smallest_size);
        CLI_AUTO_FREE char *last = cli_composite_text(o, state, file->largest, file->largest_size);
        cli_table_cell(table, CLI_PLAIN, "%u", file->level);
        cli_table_cell(table, CLI_PLAIN, "%s", state_name);
        cli_table_cell(table, CLI_PLAIN, "%s", first);
        cli_table_cell(table, CLI_PLAIN, "%s", last);
    } else {
        for (int i = 0; i < 4; i++)
            cli_table_cell(table, CLI_PLAIN, "-");
    }
    cli_table_cell(table, CLI_DIM, "%s", object);
}

static void print_files(const cairn_snapshot *snapshot, size_t op, size_t subtask, uint32_t index)
{
    static const struct cli_column columns[] = {
        {"FILE", false},  {"SIZE", true},       {"FROM", true},      {"LEVEL", true},
        {"STATE", false}, {"FIRST KEY", false}, {"LAST KEY", false}, {"OBJECT", false},
    };
    const cairn_file_info *file;
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    printf("\n  files of subtask %u\n", index);
    for (size_t i = 0; (file = cairn_snapshot_file(snapshot, op, subtask, i)); i++)
        add_file(table, snapshot, op, file);
    cli_table_print(table, 2);
}

static void print_operator(const struct cli_args *args, const cairn_snapshot *snapshot, size_t op)
{
    const cairn_operator_info *info = cairn_snapshot_operator(snapshot, op);
    const cairn_subtask_info *subtask;
    CLI_AUTO_FREE char *uid = cli_text_quote(info->uid, strlen(info->uid));
    CLI_AUTO_FREE char *name = cli_text_quote(info->name, strlen(info->name));
    printf("\n%soperator %s%s", cli_style_on(CLI_BOLD), uid, cli_style_off(CLI_BOLD));
    if (*info->name && strcmp(info->name, info->uid) != 0)
        printf(" (%s)", name);
    printf(": parallelism %u of %u, keys %s, namespaces %s\n", info->parallelism,
           info->max_parallelism, cli_type_name(info->key_type),
           cli_type_name(info->namespace_type));
    print_states(snapshot, op);
    putchar('\n');
    print_subtasks(snapshot, op);
    for (size_t i = 0; args->files && (subtask = cairn_snapshot_subtask(snapshot, op, i)); i++)
        print_files(snapshot, op, i, subtask->index);
}

static struct json_object *state_json(const cairn_state_info *state)
{
    struct json_object *o = cli_json_object();
    cli_json_fill_state(o, state);
    return o;
}

static struct json_object *subtask_json(const struct cli_args *args, const cairn_snapshot *snapshot,
                                        size_t op, size_t subtask)
{
    const cairn_subtask_info *s = cairn_snapshot_subtask(snapshot, op, subtask);
    const cairn_file_info *file;
    struct json_object *o = cli_json_object();
    cli_json_put_u64(o, "index", s->index);
    cli_json_put_u64(o, "key_group_first", s->key_group_first);
    cli_json_put_u64(o, "key_group_last", s->key_group_last);
    cli_json_put_text(o, "backend", s->backend);
    cli_json_put(o, "generation", cli_json_hex(s->generation, sizeof(s->generation)));
    cli_json_put_u64(o, "sequence", s->sequence);
    cli_json_put_u64(o, "barrier_us", s->barrier_us);
    cli_json_put_u64(o, "flush_us", s->flush_us);
    cli_json_put_u64(o, "capture_us", s->capture_us);
    cli_json_put_u64(o, "upload_us", s->upload_us);
    cli_json_put_u64(o, "full_bytes", s->full_bytes);
    cli_json_put_u64(o, "new_bytes", s->new_bytes);
    cli_json_put_u64(o, "file_count", s->file_count);
    cli_json_put_bool(o, "is_finished", s->is_finished);
    if (!args->files)
        return o;
    struct json_object *files = cli_json_array();
    for (size_t i = 0; (file = cairn_snapshot_file(snapshot, op, subtask, i)); i++)
        cli_json_push(files, cli_json_file(file, cairn_snapshot_operator(snapshot, op),
                                           find_state(snapshot, op, file->state)));
    cli_json_put(o, "files", files);
    return o;
}

static struct json_object *operator_json(const struct cli_args *args,
                                         const cairn_snapshot *snapshot, size_t op)
{
    const cairn_operator_info *info = cairn_snapshot_operator(snapshot, op);
    struct json_object *o = cli_json_object();
    cli_json_fill_operator(o, info);
    struct json_object *states = cli_json_array(), *subtasks = cli_json_array();
    for (size_t i = 0; i < info->state_count; i++)
        cli_json_push(states, state_json(cairn_snapshot_state(snapshot, op, i)));
    for (size_t i = 0; i < info->subtask_count; i++)
        cli_json_push(subtasks, subtask_json(args, snapshot, op, i));
    cli_json_put(o, "states", states);
    cli_json_put(o, "subtasks", subtasks);
    return o;
}

int cli_inspect(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    CLI_AUTO_LOG cairn_log *log = NULL;
    int r = cli_snapshot_open(args, &target, &snapshot, reterr);
    if (r == 0)
        r = cairn_log_open(target.store, target.job, &log, reterr);
    if (r < 0)
        return r;
    if (args->json) {
        struct json_object *document = cli_json_object(), *operators = cli_json_array();
        for (size_t i = 0; i < cairn_snapshot_operators(snapshot); i++)
            cli_json_push(operators, operator_json(args, snapshot, i));
        cli_json_put_text(document, "job", target.job);
        cli_json_put_text(document, "claimed_by", cairn_log_claimed_by(log));
        cli_json_put(document, "record", cli_json_record(cairn_snapshot_record(snapshot)));
        cli_json_put(document, "operators", operators);
        cli_json_print(document);
        return 0;
    }
    print_record(snapshot, target.job, log);
    for (size_t i = 0; i < cairn_snapshot_operators(snapshot); i++)
        print_operator(args, snapshot, i);
    return 0;
}
