/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_TOOLS_CLI_CLI_H
#define CAIRN_TOOLS_CLI_CLI_H

#include "cairn/writer.h"
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * What the verbs of the `cairn` tool share. A verb is one function: it returns 0, or a negative
 * code of the library with *reterr filled, and main() tells the user and turns the code's class
 * into the exit status; a positive number is the exit status itself. Data goes to stdout,
 * everything else to stderr.
 *
 * Nothing that comes from a store or the command line is trusted: whatever is printed for people
 * goes through cli_text_*() first, so that no name can drive their terminal.
 */

#define CLI_CLEANUP(fn) __attribute__((cleanup(fn)))
#define CLI_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CLI_PRINTF(a, b) __attribute__((format(printf, a, b)))

/* --- args.c: the command line --- */

/* Sets of options: a bit for each. */
#define CLI_JOB (UINT64_C(1) << 0)
#define CLI_JSON (UINT64_C(1) << 1)
#define CLI_ALL (UINT64_C(1) << 2)
#define CLI_FILES (UINT64_C(1) << 3)
#define CLI_FULL (UINT64_C(1) << 4)
#define CLI_OPERATOR (UINT64_C(1) << 5)
#define CLI_STATE (UINT64_C(1) << 6)
#define CLI_KEY (UINT64_C(1) << 7)
#define CLI_LIMIT (UINT64_C(1) << 8)
#define CLI_DRY_RUN (UINT64_C(1) << 9)
#define CLI_KEEP_IN_FLIGHT (UINT64_C(1) << 10)
#define CLI_TO (UINT64_C(1) << 11)
#define CLI_LINK (UINT64_C(1) << 12)
#define CLI_THREADS (UINT64_C(1) << 13)
#define CLI_YES (UINT64_C(1) << 14)
#define CLI_FORCE (UINT64_C(1) << 15)
#define CLI_ENTRIES (UINT64_C(1) << 16)
#define CLI_OPERATORS (UINT64_C(1) << 17)
#define CLI_BACKEND (UINT64_C(1) << 18)
#define CLI_FORMAT (UINT64_C(1) << 19)
#define CLI_RENAME (UINT64_C(1) << 20)
#define CLI_DROP_OPERATOR (UINT64_C(1) << 21)
#define CLI_DROP_STATE (UINT64_C(1) << 22)
#define CLI_MAX_PARALLELISM (UINT64_C(1) << 23)
#define CLI_PARTIAL (UINT64_C(1) << 24)
#define CLI_DETACHED (UINT64_C(1) << 25)
#define CLI_TYPE (UINT64_C(1) << 26)
#define CLI_DRAIN (UINT64_C(1) << 27)
#define CLI_STATUS (UINT64_C(1) << 28)
#define CLI_RUN_DIR (UINT64_C(1) << 29)
#define CLI_TOKEN (UINT64_C(1) << 30)
#define CLI_SAVEPOINT (UINT64_C(1) << 31)
#define CLI_INTERVAL (UINT64_C(1) << 32)
#define CLI_ONCE (UINT64_C(1) << 33)
#define CLI_TIMEOUT (UINT64_C(1) << 34)
#define CLI_RUN (UINT64_C(1) << 35) /* all that only `run` has */

/* Of an option that may be given several times. */
#define CLI_MAX_TEXTS 64
struct cli_texts {
    const char *items[CLI_MAX_TEXTS];
    int count;
};

#define CLI_MAX_WORDS 3
struct cli_args {
    const char *words[CLI_MAX_WORDS]; /* PATH first; NULL beyond the last */
    int word_count;
    bool help, json, all, files, full, dry_run, keep_in_flight, link, yes, force, entries, partial;
    const char *job, *operator_uid, *state, *key, *to, *operators, *backend, *format;
    struct cli_texts rename, drop_operator, drop_state, max_parallelism;
    uint64_t limit; /* 0: none */
    uint32_t threads;
    /* Of running jobs. */
    bool detached, drain, savepoint, once;
    const char *type, *status, *run_dir, *token;
    uint64_t interval_ms, timeout_ms; /* 0: the default */
    /* Of `run`. */
    const char *store, *snapshot, *claim_mode, *restart, *delay, *max_delay, *backoff, *reset_after;
    bool allow_non_restored;
    /* Words after "--", of a verb that takes a command. */
    char **command;
    int command_count;
};

struct cli_verb {
    const char *name;
    const char *words; /* as in the usage line: "PATH [ID]" */
    int min_words, max_words;
    uint64_t options; /* which ones it takes */
    int (*run)(const struct cli_args *args, cairn_error **reterr);
    const char *summary;
    const char *details;
    bool takes_command; /* after "--" */
};

/* The verb's own arguments, argv[0] being its name. CAIRN_EINVAL says what is wrong. */
int cli_args_parse(const struct cli_verb *verb, int argc, char **argv, struct cli_args *ret,
                   cairn_error **reterr);
/* The options that a verb takes, one per line. */
void cli_args_print_options(const struct cli_verb *verb, FILE *to);
/* The i-th option that a verb takes; false: it has no more. */
struct cli_option {
    const char *name;  /* without "--" */
    char letter;       /* 0: none */
    const char *value; /* NULL: it takes none */
    const char *help;
};
bool cli_args_option(const struct cli_verb *verb, size_t i, struct cli_option *ret);
/* A checkpoint id: a number, "chk-7" or "MANIFEST-chk7" as it stands in a store, or "latest" (0).
 */
int cli_args_id(const char *word, uint64_t *ret_id, cairn_error **reterr);

/* --- verbs.c --- */
extern const struct cli_verb cli_verbs[];
extern const size_t cli_verb_count;
const struct cli_verb *cli_verb_find(const char *name);
void cli_help_all(FILE *to);
void cli_help_help(FILE *to);
void cli_help_settings(FILE *to); /* settings.c */
void cli_help_verb(const struct cli_verb *verb, FILE *to);

int cli_jobs(const struct cli_args *args, cairn_error **reterr);
int cli_ls(const struct cli_args *args, cairn_error **reterr);
int cli_inspect(const struct cli_args *args, cairn_error **reterr);
int cli_du(const struct cli_args *args, cairn_error **reterr);
int cli_diff(const struct cli_args *args, cairn_error **reterr);
int cli_verify(const struct cli_args *args, cairn_error **reterr);
int cli_explain(const struct cli_args *args, cairn_error **reterr);
int cli_cat(const struct cli_args *args, cairn_error **reterr);
int cli_gc(const struct cli_args *args, cairn_error **reterr);
int cli_restore(const struct cli_args *args, cairn_error **reterr);
int cli_check(const struct cli_args *args, cairn_error **reterr);
int cli_dispose(const struct cli_args *args, cairn_error **reterr);
int cli_export(const struct cli_args *args, cairn_error **reterr);
int cli_import(const struct cli_args *args, cairn_error **reterr);
int cli_edit(const struct cli_args *args, cairn_error **reterr);
int cli_convert(const struct cli_args *args, cairn_error **reterr);
int cli_list(const struct cli_args *args, cairn_error **reterr);
int cli_status(const struct cli_args *args, cairn_error **reterr);
int cli_store_test(const struct cli_args *args, cairn_error **reterr);
int cli_checkpoint(const struct cli_args *args, cairn_error **reterr);
int cli_savepoint(const struct cli_args *args, cairn_error **reterr);
int cli_stop(const struct cli_args *args, cairn_error **reterr);
int cli_cancel(const struct cli_args *args, cairn_error **reterr);
int cli_top(const struct cli_args *args, cairn_error **reterr);
int cli_run(const struct cli_args *args, cairn_error **reterr);
/* complete.c: `cairn __complete`, which no help names. Returns the exit status. */
int cli_complete(int count, char **words);
/* verb_diff_entries.c: `diff --entries` */
int cli_diff_entries(const struct cli_args *args, cairn_error **reterr);

/* --- report.c: errors, as the user sees them --- */

/* Raise an error of the tool's own; returns code. */
int cli_raise(cairn_error **reterr, int code, const char *format, ...) CLI_PRINTF(3, 4);
/* What to do next, in place of what the error's code suggests. A string that stays; PATH and OBJECT
 * in it are replaced by what they are. */
void cli_hint(const char *hint);
#define CLI_HINT_INSPECT "`cairn inspect PATH` shows operators and states"
/* Tell the user, with a hint. verb and args may be NULL. Returns the exit status. */
int cli_report(const struct cli_verb *verb, const struct cli_args *args, int code,
               const cairn_error *error);
static inline void cli_cleanup_error(cairn_error **error)
{
    cairn_error_free(*error);
}
#define CLI_AUTO_ERROR CLI_CLEANUP(cli_cleanup_error)

/* --- target.c: what PATH and --job mean --- */

struct cli_target {
    cairn_store *store;
    char *job;
    uint64_t id; /* PATH is the manifest of this checkpoint; 0: it is not one */
};
int cli_target_open(const struct cli_args *args, struct cli_target *ret, cairn_error **reterr);
/* The same for an object's name: if it begins with a job's name and '/', that one is meant. */
int cli_target_open_for(const struct cli_args *args, const char *object, struct cli_target *ret,
                        cairn_error **reterr);
/* Call fn for the job that PATH or --job names, or else for every job of the store, until it fails.
 * `several`: the store has more than this one. No job at all is CAIRN_ENOTFOUND. */
typedef int (*cli_job_fn)(void *context, const struct cli_target *target, bool several,
                          cairn_error **reterr);
int cli_each_job(const struct cli_args *args, cli_job_fn fn, void *context, cairn_error **reterr);
/* The line that tells who has claimed it, if anybody has; begins with the label. */
void cli_print_claim(const cairn_log *log, const char *label);
/* The line that separates one job's output from the next one's. */
void cli_print_job(const char *job, bool first);
int cli_raise_no_job(const char *path, cairn_error **reterr);
/* Which checkpoint is meant: word, which is as cli_args_id() has it, or the one that PATH names. 0:
 * the newest, or whatever the verb has for none. word may be NULL. CAIRN_EINVAL if the two
 * contradict. */
int cli_target_id(const struct cli_target *target, const char *word, uint64_t *ret_id,
                  cairn_error **reterr);
void cli_target_close(struct cli_target *target);
#define CLI_AUTO_TARGET CLI_CLEANUP(cli_target_close)

static inline void cli_cleanup_log(cairn_log **log)
{
    cairn_log_close(*log);
}
#define CLI_AUTO_LOG CLI_CLEANUP(cli_cleanup_log)
static inline void cli_cleanup_snapshot(cairn_snapshot **snapshot)
{
    cairn_snapshot_close(*snapshot);
}
#define CLI_AUTO_SNAPSHOT CLI_CLEANUP(cli_cleanup_snapshot)

/* The snapshot of a verb that takes PATH [ID], opened. */
int cli_snapshot_open(const struct cli_args *args, struct cli_target *ret_target,
                      cairn_snapshot **ret_snapshot, cairn_error **reterr);

/* --- destination.c: the savepoint that --to makes --- */

struct cli_destination {
    cairn_store *store; /* of the directory above; made when it is missing */
    char *name;         /* of the directory */
    cairn_savepoint_format format;
    uint64_t id;             /* of the savepoint; 0: that of what it is made from */
    const uint64_t *entries; /* how many were put in, if that is to be told; else NULL */
};
/* --to and --format. */
int cli_destination_open(const struct cli_args *args, const char *verb, struct cli_destination *ret,
                         cairn_error **reterr);
void cli_destination_close(struct cli_destination *destination);
#define CLI_AUTO_DESTINATION CLI_CLEANUP(cli_destination_close)
/* Commit, and tell where it is. */
int cli_destination_commit(const struct cli_args *args, cairn_writer *writer,
                           const struct cli_destination *destination, cairn_error **reterr);
static inline void cli_cleanup_writer(cairn_writer **writer)
{
    cairn_writer_close(*writer);
}
#define CLI_AUTO_WRITER CLI_CLEANUP(cli_cleanup_writer)

/* --- text.c: text for people. The tool ends with exit status 6 when memory does. --- */

_Noreturn void cli_out_of_memory(void);
char *cli_printf(const char *format, ...) CLI_PRINTF(1, 2); /* malloc'ed */
void *cli_alloc(size_t size);                               /* zeroed */
void *cli_grow(void *array, size_t count, size_t *capacity, size_t element_size);
void cli_cleanup_free(void *p);
#define CLI_AUTO_FREE CLI_CLEANUP(cli_cleanup_free)

/* UTF-8 as it is, but control and format characters, broken UTF-8 and backslashes as \xNN: safe for
 * a terminal and unambiguous. malloc'ed. */
char *cli_text_safe(const char *text);
/* The same in double quotes, with \" inside. */
char *cli_text_quote(const void *text, size_t size);
/* Well-formed UTF-8 without control and format characters. */
bool cli_text_is_plain(const void *text, size_t size);
bool cli_text_is_utf8(const void *text, size_t size);
/* Length of the UTF-8 character that text begins with; 0 if it is none. left > 0. */
size_t cli_text_character(const void *text, size_t left);
size_t cli_text_width(const char *text);           /* columns */
char *cli_text_hex(const void *data, size_t size); /* 0x... */

struct cli_short {
    char text[48];
};
struct cli_short cli_size(uint64_t bytes);  /* 3 significant digits: "1.20 MiB" */
struct cli_short cli_count(uint64_t n);     /* digits in groups: "1,234,567" */
struct cli_short cli_duration(uint64_t us); /* "120 us", "1.20 s", "3 min 20 s" */
struct cli_short cli_time(int64_t unix_ms); /* local, ISO 8601 with zone; "-" for 0 */
struct cli_short cli_age(int64_t unix_ms);  /* "3 min 20 s ago" */
const char *cli_plural(uint64_t n, const char *one, const char *many);

/* As a word of a command line for a shell: in single quotes, if anything in it means something
 * there. malloc'ed. NULL: it holds what is not safe for a terminal. */
char *cli_text_shell(const char *text);

/* --- place.c: paths and URIs, as people name places --- */

bool cli_place_is_bucket(const char *place);
bool cli_place_is_uri(const char *place);
/* Takes "/a/b" or "s3://a/b?c=d" apart: "/a" or "s3://a?c=d", and the name "b". false: it has no
 * last part that is a name. Both are malloc'ed. */
bool cli_place_split(const char *place, char **ret_parent, char **ret_name);
/* A name as part of a URI's path. malloc'ed. */
char *cli_place_encode(const char *name);
/* What `below`, a path or URI, is called from `place`. malloc'ed. NULL: it is not below. */
char *cli_place_below(const char *place, const char *below);
/* CAIRN_EINVAL if the --to of a verb that writes files is a URI. */
int cli_place_check_local(const char *verb, const char *place, cairn_error **reterr);
/* As it is shown, so that it can be copied into a shell. malloc'ed. */
char *cli_place_text(const char *place);

/* --- caveat.c: what the users of a store have to know --- */

struct cli_service;
/* Each warns on stderr, the first time that there is anything to say. */
void cli_caveat(const char *text); /* NULL or "": nothing */
void cli_caveat_store(cairn_store *store);
void cli_caveat_service(const struct cli_args *args, struct cli_service *service);
const char *cli_caveat_text(void); /* NULL: nothing was said */
/* As the first member of a JSON object that is printed piece by piece; or "". malloc'ed. */
char *cli_caveat_member(void);

/* --- table.c: columns --- */

enum cli_style { CLI_PLAIN, CLI_GOOD, CLI_WARN, CLI_BAD, CLI_DIM, CLI_BOLD };
void cli_style_init(void);
const char *cli_style_on(enum cli_style style); /* "" unless stdout shows colours */
const char *cli_style_off(enum cli_style style);

struct cli_column {
    const char *title;
    bool right;
};
struct cli_table;
struct cli_table *cli_table_new(const struct cli_column *columns, size_t count);
/* The next cell, left to right; what is in it must be safe already. */
void cli_table_cell(struct cli_table *table, enum cli_style style, const char *format, ...)
    CLI_PRINTF(3, 4);
/* Leave out columns from the right until the table is at most `width` wide: a number that is cut
 * off would be another number. */
void cli_table_fit(struct cli_table *table, size_t width);
/* Print with an indentation, unless it has no rows, and release. */
void cli_table_print(struct cli_table *table, int indent);

/* --- names.c: words for the library's numbers --- */

const char *cli_kind_name(cairn_record_kind kind);
const char *cli_record_state_name(cairn_record_state state);
const char *cli_format_name(cairn_savepoint_format format);
const char *cli_claim_name(cairn_claim_mode mode);
enum cli_style cli_record_state_style(cairn_record_state state);
const char *cli_state_kind_name(cairn_state_kind kind);
const char *cli_type_name(cairn_type type);
const char *cli_role_name(cairn_file_role role);
const char *cli_status_name(cairn_object_status status);
/* The object that a file is in, and where in it. To be freed. */
char *cli_file_place(const cairn_file_info *file);
/* The record itself was read; else it is known from the history that later ones carry. */
bool cli_record_is_stored(const cairn_record_info *record);
bool cli_state_is_operator_state(cairn_state_kind kind);
bool cli_state_has_map_key(cairn_state_kind kind);

/* --- typed.c: keys and values by their type --- */

char *cli_typed_text(cairn_type type, const void *data, size_t size);
struct json_object *cli_typed_json(cairn_type type, const void *data, size_t size);
/* What a person typed after --key, encoded. *ret_data is malloc'ed. */
int cli_typed_parse(cairn_type type, const char *text, uint8_t **ret_data, size_t *ret_size,
                    cairn_error **reterr);

/* The same from JSON, as cli_typed_json() writes it. */
int cli_typed_from_json(cairn_type type, struct json_object *value, uint8_t **ret_data,
                        size_t *ret_size, cairn_error **reterr);
/* Pairs of hexadecimal digits. *ret_data is malloc'ed. */
int cli_hex_parse(const char *digits, uint8_t **ret_data, size_t *ret_size, cairn_error **reterr);

/* Of a document: values may be nested 128 deep, each level of them twice. */
#define CLI_JSON_DEPTH 320

/* --- entries.c: entries of a snapshot --- */

/* "orders/clicks "user-1" @ 3600000 ["page"]", to stdout. */
void cli_entry_print_place(const cairn_snapshot *snapshot, const cairn_cat_entry *entry);
char *cli_entry_value_text(const cairn_state_info *state, const cairn_cat_entry *entry);
struct json_object *cli_entry_value_json(const cairn_state_info *state,
                                         const cairn_cat_entry *entry);
struct json_object *cli_entry_json(const cairn_snapshot *snapshot, const cairn_cat_entry *entry);
/* --key, --operator and --state as options of cairn_cat_open(). *ret_key is malloc'ed. */
int cli_cat_options(const struct cli_args *args, const cairn_snapshot *snapshot,
                    cairn_cat_options *options, uint8_t **ret_key, cairn_error **reterr);

/* --- definitions.c: operators and states as JSON --- */

void cli_json_fill_operator(struct json_object *o,
                            const cairn_operator_info *op); /* not its states */
void cli_json_fill_state(struct json_object *o, const cairn_state_info *state);

struct cli_schema {
    cairn_schema_info info;
    char *name;
    uint8_t *bytes;
};
struct cli_state {
    char *name;
    cairn_state_info info; /* name, kind, types and ttl_ms */
    cairn_serializer *serializer;
    cairn_schema_info schema;   /* the present one, if values have schemas */
    struct cli_schema *schemas; /* all of them, that one last */
    size_t schema_count;
};
struct cli_operator {
    char *uid, *name; /* name: NULL if there is none */
    uint32_t parallelism, max_parallelism;
    cairn_type key_type, namespace_type;
    struct cli_state *states;
    size_t state_count, state_capacity;
    bool states_unknown; /* verb_check.c: nothing was said of them */
};
/* CAIRN_EINVAL says what is wrong with the object. Fields that are not read here are not looked at.
 */
int cli_json_read_operator(struct json_object *o, struct cli_operator *ret, cairn_error **reterr);
int cli_json_read_state(struct json_object *o, struct cli_state *ret, cairn_error **reterr);
void cli_operator_done(struct cli_operator *op);
void cli_state_done(struct cli_state *state);
bool cli_json_is_int64(struct json_object *o); /* an integer, and one that fits */
/* 1, 0 (absent or null: *ret is untouched), or CAIRN_EINVAL. The text is the object's. */
int cli_json_get_text(struct json_object *o, const char *name, const char **ret,
                      cairn_error **reterr);
int cli_json_get_u64(struct json_object *o, const char *name, uint64_t max, uint64_t *ret,
                     cairn_error **reterr);
/* CAIRN_EINVAL if it has a field beside these; NULL ends them. */
int cli_json_check_fields(struct json_object *o, const char *const *names, cairn_error **reterr);

/* --- jsonl.c: what `export` writes and `import` reads, line by line --- */

enum cli_jsonl_what {
    CLI_JSONL_NOTHING, /* an empty line */
    CLI_JSONL_SNAPSHOT,
    CLI_JSONL_OPERATOR,
    CLI_JSONL_STATE,
    CLI_JSONL_ENTRY,
    CLI_JSONL_END
};
/* What was defined so far, and what the last line holds. */
struct cli_jsonl {
    struct cli_operator *operators;
    size_t operator_count, operator_capacity;
    bool has_snapshot;
    char *job;
    uint64_t id;
    bool has_end, has_end_count; /* the last line was there, and says how many entries there are */
    uint64_t end_count;
    /* Of the last line: indexes of the operator and state that it defines or belongs to; of an
     * entry its bytes, valid until the next line. */
    size_t op, state;
    cairn_entry entry;
    int64_t written_ms; /* -1: not said */
    uint8_t *parts[4];  /* what entry points to */
};
/* One line without its end. CAIRN_EINVAL says what is wrong with it. */
int cli_jsonl_read(struct cli_jsonl *jsonl, const char *line, size_t size,
                   enum cli_jsonl_what *ret_what, cairn_error **reterr);
void cli_jsonl_done(struct cli_jsonl *jsonl);

/* A composite key of the database, as docs/format.md has it. */
struct cli_composite {
    uint32_t key_group;
    const uint8_t *key, *ns, *map_key;
    size_t key_size, ns_size, map_key_size;
};
bool cli_composite_split(const uint8_t *data, size_t size, uint32_t max_parallelism,
                         struct cli_composite *ret);
/* For people, cut short; hex if it is not a composite key. `state` may be NULL. */
char *cli_composite_text(const cairn_operator_info *op, const cairn_state_info *state,
                         const uint8_t *data, size_t size);

/* --- json.c: documents; the field names are in cairn(1) --- */

struct json_object *cli_json_object(void);
struct json_object *cli_json_array(void);
void cli_json_put(struct json_object *object, const char *name, struct json_object *value);
void cli_json_put_u64(struct json_object *object, const char *name, uint64_t value);
void cli_json_put_i64(struct json_object *object, const char *name, int64_t value);
void cli_json_put_bool(struct json_object *object, const char *name, bool value);
void cli_json_put_text(struct json_object *object, const char *name, const char *text);
void cli_json_push(struct json_object *array, struct json_object *value);
struct json_object *cli_json_text(const char *text, size_t size);
struct json_object *cli_json_hex(const void *data, size_t size); /* a string of hex digits */
struct json_object *cli_json_record(const cairn_record_info *record);
/* op and state (may be NULL) tell how to read a table's key range. */
struct json_object *cli_json_file(const cairn_file_info *file, const cairn_operator_info *op,
                                  const cairn_state_info *state);
struct json_object *cli_json_amount(uint64_t count, uint64_t bytes);
void cli_json_print(struct json_object *document); /* and release */
/* Print documents of one job each: {"jobs": [...]} if `several`, else the only one. Releases. */
void cli_json_print_jobs(struct json_object *documents, bool several);

/* --- removals.c: what gc and dispose remove --- */

struct cli_removals {
    struct json_object *objects; /* NULL: lines are printed */
    bool dry_run;
};
void cli_removals_init(struct cli_removals *removals, const struct cli_args *args);
void cli_removals_done(struct cli_removals *removals);
/* For the library's `object` callbacks. */
void cli_removals_add(void *removals, const char *object, uint64_t size);
/* {what: name, "dry_run", "removed", "objects"}; takes the objects. */
struct json_object *cli_removals_json(struct cli_removals *removals, const char *what,
                                      const char *name, uint64_t count, uint64_t bytes);

/* --- progress.c: long work --- */

struct cli_progress {
    const char *what;
    uint64_t start_ms, drawn_ms;
    bool drawn;
};
/* From here on the first SIGINT or SIGTERM only asks the work to stop. */
void cli_interrupt_catch(void);
int cli_interrupted(void); /* by which signal; 0: not */
void cli_progress_start(struct cli_progress *progress, const char *what);
/* A cairn_progress_fn; the context is a struct cli_progress. */
int cli_progress_update(void *progress, uint64_t done_bytes, uint64_t total_bytes);
void cli_progress_erase(struct cli_progress *progress);

/* Around the opening of a store: somebody who waits at a terminal for one that does not answer is told
 * what for. */
void cli_wait_begin(void);
void cli_wait_end(void);

/* stdout is gone (a closed pipe): whoever prints much stops early. */
bool cli_output_gone(void);
/* Write out what is left. CAIRN_ENOSPC or CAIRN_EIO if it could not be; a closed pipe is no error.
 */
int cli_output_finish(cairn_error **reterr);

#endif
